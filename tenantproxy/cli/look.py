"""Fetches what a kind and a name mean."""

from __future__ import annotations

from typing import Any

from tenantproxy.cli.client import Client, path_of
from tenantproxy.cli.names import IN_TENANT, singular
from tenantproxy.cli.output import Item
from tenantproxy.errors import NotFound

_PAGE = 1000


def rollout_path(tenant: str, listener: str, *more: str) -> str:
    """Return where the rollout of a listener is; `more` is a command to it."""
    return path_of("tenants", tenant, "listeners", listener, "rollout", *more)


async def fetch(client: Client, kind: str, name: str | None) -> tuple[list[Any], bool]:
    """Return the items that `name` means, and whether it names exactly one.

    Raises:
        NotFound: there is none of that name.
    """
    tenant, _, inner = (name or "").partition("/")
    match kind:
        case "tenants" if name:
            return [await client.get(path_of("tenants", name))], True
        case "listeners" | "upstreams" | "rollouts" if inner:
            path = path_of("tenants", tenant, kind, inner)
            if kind == "rollouts":
                path = rollout_path(tenant, inner)
            return [await client.get(path)], True
        case "listeners" | "upstreams" | "rollouts" if tenant:
            return (await client.get(path_of("tenants", tenant, kind)))["items"], False
        case "events":
            return await events_of(client, name), False
    items = (await client.get(path_of(kind)))["items"]
    if name is None or kind in ("tenants", *IN_TENANT):
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


async def events_of_rollout(client: Client, item: Item) -> list[Any]:
    """Return every kept event of a rollout, oldest first."""
    found = await events_of(client, f"{item['tenant']}/{item['listener']}")
    return [event for event in found if of_rollout(event, item["tenant"], item["listener"])]


def of_rollout(event: Item, tenant: str, listener: str) -> bool:
    """Tell whether an event is one of a listener's rollout."""
    return (
        event.get("tenant") == tenant
        and event.get("object") == f"listener/{listener}"
        and str(event["event"]).startswith("rollout_")
    )
