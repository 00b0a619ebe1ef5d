"""Fetches what a kind and a name mean."""

from __future__ import annotations

from typing import Any

from tenantproxy.cli.client import Client, path_of
from tenantproxy.cli.names import singular
from tenantproxy.errors import NotFound

_PAGE = 1000


async def fetch(client: Client, kind: str, name: str | None) -> tuple[list[Any], bool]:
    """Return the items that `name` means, and whether it names exactly one.

    Raises:
        NotFound: there is none of that name.
    """
    tenant, _, inner = (name or "").partition("/")
    match kind:
        case "tenants" if name:
            return [await client.get(path_of("tenants", name))], True
        case "listeners" | "upstreams" if inner:
            return [await client.get(path_of("tenants", tenant, kind, inner))], True
        case "listeners" | "upstreams" if tenant:
            return (await client.get(path_of("tenants", tenant, kind)))["items"], False
        case "events":
            return await events_of(client, name), False
    items = (await client.get(path_of(kind)))["items"]
    if name is None or kind in ("tenants", "listeners", "upstreams"):
        return items, False
    key = "name" if kind == "policies" else "number"
    found = [item for item in items if str(item[key]) == name]
    if not found:
        raise NotFound(f"there is no {singular(kind)} {name}")
    return found, True


async def events_of(client: Client, name: str | None) -> list[Any]:
    """Return every kept event of a tenant, of TENANT/LISTENER, or of all."""
    tenant, _, inner = (name or "").partition("/")
    params: dict[str, str | int] = {"limit": _PAGE} | ({"tenant": tenant} if tenant else {})
    found: list[Any] = []
    while page := (await client.get(path_of("events"), **params))["items"]:
        found += page
        params["after"] = page[-1]["number"]
    if not inner:
        return found
    return [event for event in found if str(event["object"]).partition("/")[2] == inner]
