"""`get --watch`: the list, then a row each time an event says that it changed."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import click

from tenantproxy import clock
from tenantproxy.cli.client import Client
from tenantproxy.cli.columns import COLUMNS, full_name, name_of
from tenantproxy.cli.look import fetch
from tenantproxy.cli.names import singular
from tenantproxy.cli.output import Item, Table, echo_json, echo_yaml
from tenantproxy.errors import NotFound

_TOLD_OF = {"listeners": "listener", "upstreams": "upstream", "rollouts": "listener"}
"""What events are about that change a kind whose names are TENANT/NAME."""


class Rows:
    """Prints items that differ from how they were printed last."""

    def __init__(self, output: str, kind: str) -> None:
        self._output = output
        self._kind = kind
        self._table = Table(COLUMNS[kind], wide=output == "wide")
        self._last: dict[str, Item] = {}

    def update(self, items: list[Item], *, whole: bool) -> None:
        """Print what is new or changed; with `whole`, what is not among the items is gone."""
        named = {name_of(item, self._kind): item for item in items}
        if whole:
            for name in self._last.keys() - named.keys():
                self.remove(name)
        changed = [item for name, item in named.items() if self._last.get(name) != item]
        self._last.update(named)
        self._print(changed)

    def remove(self, name: str) -> None:
        """Say that an object is gone; standard output gets what a program can tell apart."""
        if self._last.pop(name, None) is None:
            return
        if self._output == "json":
            echo_json({"removed": f"{singular(self._kind)}/{name}"}, one_line=True)
        elif self._output == "yaml":
            echo_yaml({"removed": f"{singular(self._kind)}/{name}"}, more=True)
        else:
            click.echo(f"{name}   removed")

    def _print(self, items: list[Item]) -> None:
        if self._output == "json":
            for item in items:
                echo_json(item, one_line=True)
        elif self._output == "yaml":
            for item in items:
                echo_yaml(item, more=True)
        elif self._output == "name":
            for item in items:
                click.echo(full_name(item, self._kind))
        elif items:
            now_s = clock.wall_s()
            self._table.show([self._table.cells(item, now_s) for item in items])


async def follow(client: Client, output: str, kind: str, name: str | None) -> None:
    """Print until the stream ends.

    Raises:
        ServerUnreachable: the daemon went away.
    """
    rows = Rows(output, kind)
    async with aclosing(client.events()) as stream:
        async for event in stream:
            if event is None:  # the start, or some were missed: look at everything
                items, _ = await fetch(client, kind, name)
                rows.update(items, whole=kind != "events")
            elif kind != "events":
                await _refresh(client, rows, kind, name, event)
            elif _concerns(event, name):
                rows.update([event], whole=False)


async def _refresh(
    client: Client, rows: Rows, kind: str, name: str | None, event: dict[str, Any]
) -> None:
    """Look again at what the event is about: at one object where it names one, else at all."""
    about, _, inner = str(event.get("object") or "").partition("/")
    tenant = event.get("tenant")
    target = None
    if tenant and kind == "tenants":
        target = str(tenant)
    elif tenant and kind in _TOLD_OF and inner:
        if about != _TOLD_OF[kind]:
            return
        target = f"{tenant}/{inner}"
    if target is not None and name not in (None, tenant, target):
        return
    try:
        items, _ = await fetch(client, kind, target or name)
    except NotFound:
        if (gone := target or name) is not None:
            rows.remove(gone)
        return
    rows.update([_plain(item) for item in items], whole=target is None)


def _plain(item: Item) -> Item:
    """Return an item of a single GET as it stands in a list."""
    return {key: value for key, value in item.items() if key != "spec"}


def _concerns(event: dict[str, Any], name: str | None) -> bool:
    tenant, _, inner = (name or "").partition("/")
    if tenant and event.get("tenant") != tenant:
        return False
    return not inner or str(event.get("object")).partition("/")[2] == inner
