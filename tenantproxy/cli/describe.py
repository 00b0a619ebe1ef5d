"""`describe`: everything about one object, for a person."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tenantproxy import clock
from tenantproxy.cli.client import Client, call, path_of
from tenantproxy.cli.columns import same_object
from tenantproxy.cli.look import events_of, fetch
from tenantproxy.cli.names import complete_kind, kind_of
from tenantproxy.cli.output import Item, echo_value, structured
from tenantproxy.cli.sections import Section
from tenantproxy.cli.settings import Settings, pass_settings, shared_options
from tenantproxy.cli.terminal import wants_colour
from tenantproxy.cli.told import recent, told
from tenantproxy.errors import NotFound

_RECENT = 12
_WIDE_ENOUGH = 10_000
"""Columns when nobody's terminal says otherwise: nothing is wrapped in a file."""


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
    if kind in ("listeners", "upstreams") and "/" not in str(name):
        raise click.UsageError(f"{name!r} is not TENANT/NAME, such as acme/web")
    item, beside, events = call(settings, _gather(kind, name))
    if structured(settings.output):
        echo_value(item | {"events": events}, settings.output)
        return
    now_s = clock.wall_s()
    sections = told(kind, item, beside, now_s)
    if events:
        sections.append(recent(events, now_s))
    _print(sections)


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
        if tenant:
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


def _print(sections: list[Section]) -> None:
    out = sys.stdout
    colour = wants_colour(out)
    console = Console(
        file=out,
        width=None if out.isatty() else _WIDE_ENOUGH,
        no_color=not colour,
        highlight=False,
        markup=False,
        emoji=False,
    )
    for number, section in enumerate(sections):
        if number:
            console.print()
        if section.title:
            console.print(Text(section.title, style="bold" if colour else ""))
        grid = Table.grid(padding=(0, 3, 0, 0))
        for row in section.rows:
            first = f"  {row[0]}" if section.title else str(row[0])
            grid.add_row(Text(first), *(Text(str(cell)) for cell in row[1:]))
        with console.capture() as captured:
            console.print(grid)
        click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()), file=out)
