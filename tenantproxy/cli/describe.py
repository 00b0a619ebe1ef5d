"""`describe`: everything about one object, for a person."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import click

from tenantproxy import clock
from tenantproxy.cli.client import Client, call, path_of
from tenantproxy.cli.columns import same_object
from tenantproxy.cli.look import events_of, events_of_rollout, fetch
from tenantproxy.cli.names import IN_TENANT, complete_kind, kind_of
from tenantproxy.cli.output import Item, echo_value, structured
from tenantproxy.cli.page import print_page
from tenantproxy.cli.settings import Settings, pass_settings, shared_options
from tenantproxy.cli.told import recent, told
from tenantproxy.errors import NotFound

_RECENT = 12


def _kind_or_daemon(value: str) -> str:
    return value if value == "daemon" else kind_of(value)


@click.command()
@click.argument("kind", type=_kind_or_daemon, metavar="KIND", shell_complete=complete_kind)
@click.argument("name", required=False)
@shared_options
@pass_settings
def describe(settings: Settings, kind: str, name: str | None) -> None:
    """Tell everything about one object, with its recent events and where its values come from.

    KIND is one of those of `get`, or `daemon`, which needs no NAME.
    """
    if kind != "daemon" and name is None:
        raise click.UsageError(f"describe {kind} needs a NAME; `get {kind}` lists them")
    if kind in IN_TENANT and "/" not in str(name):
        raise click.UsageError(f"{name!r} is not TENANT/NAME, such as acme/web")
    item, beside, events = call(settings, _gather(kind, name))
    if structured(settings.output):
        echo_value(item | {"events": events}, settings.output)
        return
    now_s = clock.wall_s()
    sections = told(kind, item, beside, now_s)
    if events:
        sections.append(recent(events, now_s))
    print_page(sections)


def _gather(kind: str, name: str | None) -> Callable[[Client], Awaitable[tuple[Any, Any, Any]]]:
    """Return what asks for the item, what stands beside it, and its recent events."""

    async def ask(client: Client) -> tuple[Any, list[Item], list[Item]]:
        if kind == "daemon":
            return (
                await client.get("/api/v1/status"),
                [],
                (await events_of(client, None))[-_RECENT:],
            )
        if kind == "events":
            wanted = await events_of(client, None)
            return _one(wanted, str(name)), [], []
        items, _ = await fetch(client, kind, name)
        item, beside, events = items[0], [], []
        tenant = item.get("tenant")
        if tenant and kind == "rollouts":
            events = await events_of_rollout(client, item)
        elif tenant:
            inner = "listeners" if kind == "upstreams" else "upstreams"
            beside = (await client.get(path_of("tenants", tenant, inner)))["items"]
            events = [e for e in await events_of(client, tenant) if same_object(e, kind, item)]
        return item, beside, events[-_RECENT:]

    return ask


def _one(events: list[Any], number: str) -> Any:
    for event in events:
        if str(event["number"]) == number:
            return event
    raise NotFound(f"no event {number} is kept", hint="`get events` lists those that are")
