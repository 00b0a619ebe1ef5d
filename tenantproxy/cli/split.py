"""`set split`: reweigh; connections stay where they are."""

from __future__ import annotations

import click

from tenantproxy.cli.changes import show_changes
from tenantproxy.cli.client import call, path_of
from tenantproxy.cli.names import in_tenant
from tenantproxy.cli.output import echo_value, structured, talk
from tenantproxy.cli.ports import show_listener
from tenantproxy.cli.settings import Settings, pass_settings, shared_options


def member(value: str) -> tuple[str, int]:
    """Return the name and the weight of `UPSTREAM=WEIGHT`.

    Raises:
        click.BadParameter: it is not of that form.
    """
    name, _, weight = value.partition("=")
    if not (name and weight.isascii() and weight.isdigit()):
        raise click.BadParameter(f"{value!r} is not UPSTREAM=WEIGHT, such as web-v1=90")
    return name, int(weight)


@click.group(name="set")
def set_group() -> None:
    """Change one thing of one object."""


@set_group.command()
@click.argument("listener", type=in_tenant, metavar="TENANT/LISTENER")
@click.argument("members", type=member, nargs=-1, required=True, metavar="UPSTREAM=WEIGHT...")
@click.option("--dry-run", is_flag=True, help="Check and show; change nothing.")
@shared_options
@pass_settings
def split(
    settings: Settings,
    listener: tuple[str, str],
    members: tuple[tuple[str, int], ...],
    *,
    dry_run: bool,
) -> None:
    """Set the weights of a listener's split; connections stay where they are.

    Weights are relative to each other. An upstream that is left out leaves
    the split; one with weight 0 stays in it without traffic.

    \b
    tenantproxy set split acme/web web-v1=90 web-v2=10
    """  # noqa: D301 - \b is how click is told to keep the lines
    weights = dict(members)
    if len(weights) < len(members):
        raise click.UsageError("an upstream is named twice")
    path = path_of("tenants", listener[0], "listeners", listener[1], "split")
    answer = call(
        settings,
        lambda client: client.send(
            "PUT", path, body=weights, params={"dry_run": "true"} if dry_run else None
        ),
    )
    if dry_run and structured(settings.output):
        echo_value(answer, settings.output)
    elif dry_run:
        show_changes(answer["changes"])
        talk("dry run: nothing was changed")
    else:
        show_listener(settings, answer)
