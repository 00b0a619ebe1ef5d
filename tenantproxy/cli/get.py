"""`get`: lists of what there is."""

from __future__ import annotations

from contextlib import suppress

import click

from tenantproxy import clock
from tenantproxy.cli.client import call
from tenantproxy.cli.columns import COLUMNS, full_name
from tenantproxy.cli.look import fetch
from tenantproxy.cli.names import complete_kind, kind_of
from tenantproxy.cli.output import Item, Table, echo_value, structured, talk
from tenantproxy.cli.settings import Settings, pass_settings, shared_options
from tenantproxy.cli.watch import follow


@click.command()
@click.argument("kind", type=kind_of, metavar="KIND", shell_complete=complete_kind)
@click.argument("name", required=False)
@click.option(
    "-w", "--watch", is_flag=True, help="Go on, and print a row when an event changes it."
)
@shared_options
@pass_settings
def get(settings: Settings, kind: str, name: str | None, *, watch: bool) -> None:
    """List tenants, listeners, upstreams, rollouts, policies, events or generations.

    Singular and short names do as well: tn, li, up, ro, po, ev, gen. NAME is a
    tenant, or TENANT/NAME for one listener, its rollout, or one upstream.

    \b
    tenantproxy get listeners
    tenantproxy get li acme/web -o wide
    tenantproxy get events --watch
    """  # noqa: D301 - \b is how click is told to keep the lines
    if watch:
        with suppress(KeyboardInterrupt):
            call(settings, lambda client: follow(client, settings.output, kind, name))
        return
    items, single = call(settings, lambda client: fetch(client, kind, name))
    if structured(settings.output):
        echo_value(items[0] if single else {"items": items}, settings.output)
    elif settings.output == "name":
        if items:
            click.echo("\n".join(full_name(item, kind) for item in items))
    else:
        _show(items, kind, wide=settings.output == "wide")


def _show(items: list[Item], kind: str, *, wide: bool) -> None:
    if not items:
        talk(f"no {kind}")
        return
    now_s = clock.wall_s()
    table = Table(COLUMNS[kind], wide=wide)
    table.show([table.cells(item, now_s) for item in items])
