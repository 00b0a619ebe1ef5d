"""`open`, `sleep` and `close`: one port at a time."""

from __future__ import annotations

from typing import Any

import click

from tenantproxy import clock
from tenantproxy.cli.client import call, path_of
from tenantproxy.cli.columns import COLUMNS, full_name
from tenantproxy.cli.names import in_tenant
from tenantproxy.cli.output import Table, echo_value, structured, talk
from tenantproxy.cli.settings import Settings, pass_settings, shared_options

PATIENCE_S = 3600.0
"""A port may take its whole `wake.timeout`; the daemon answers when that is over."""

_connections = click.option(
    "--connections",
    type=click.Choice(["drain", "keep", "kill"]),
    default="drain",
    show_default=True,
    help="What happens to live ones: end over the drain window, go on, or end now.",
)


@click.command(name="open")
@click.argument("listener", type=in_tenant, metavar="TENANT/LISTENER")
@shared_options
@pass_settings
def open_port(settings: Settings, listener: tuple[str, str]) -> None:
    """Open a port; returns when clients are accepted."""
    _post(settings, listener, "open", {})


@click.command(name="sleep")
@click.argument("listener", type=in_tenant, metavar="TENANT/LISTENER")
@_connections
@shared_options
@pass_settings
def sleep_port(settings: Settings, listener: tuple[str, str], *, connections: str) -> None:
    """Put a port to sleep; the next connection wakes it."""
    _post(settings, listener, "sleep", {"connections": connections})


@click.command(name="close")
@click.argument("listener", type=in_tenant, metavar="TENANT/LISTENER")
@_connections
@shared_options
@pass_settings
def close_port(settings: Settings, listener: tuple[str, str], *, connections: str) -> None:
    """Close a port until `open`; its number stays reserved for it."""
    _post(settings, listener, "close", {"connections": connections})


def _post(
    settings: Settings, listener: tuple[str, str], verb: str, params: dict[str, str | int]
) -> None:
    path = path_of("tenants", listener[0], "listeners", listener[1], verb)
    answer = call(
        settings,
        lambda client: client.send("POST", path, params=params, patience_s=PATIENCE_S),
    )
    show_listener(settings, answer)


def show_listener(settings: Settings, answer: dict[str, Any]) -> None:
    """Print the listener that the daemon answered with."""
    if structured(settings.output):
        echo_value(answer, settings.output)
    elif settings.output == "name":
        click.echo(full_name(answer, "listeners"))
    else:
        table = Table(COLUMNS["listeners"], wide=settings.output == "wide")
        table.show([table.cells(answer, clock.wall_s())])
    if answer.get("reason"):
        talk(f"{answer['state']}: {answer['reason']}")
