"""`rollout`: start, look at, pause, resume, promote, abort and take back canary rollouts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import click

from tenantproxy import clock
from tenantproxy.cli.changes import show_changes
from tenantproxy.cli.client import Client, call
from tenantproxy.cli.columns import COLUMNS, full_name
from tenantproxy.cli.look import events_of_rollout, rollout_path
from tenantproxy.cli.names import in_tenant
from tenantproxy.cli.output import Item, Table, echo_value, structured, talk
from tenantproxy.cli.page import print_page
from tenantproxy.cli.rollout_screen import EVENTS, Screen
from tenantproxy.cli.rollout_shows import Lines, Records
from tenantproxy.cli.rollout_wait import exit_code, follow
from tenantproxy.cli.settings import Settings, pass_settings, shared_options
from tenantproxy.cli.terminal import draws
from tenantproxy.cli.told import recent
from tenantproxy.cli.told_rollout import told_rollout
from tenantproxy.config.units import parse_duration_s

DRAW_S = 1.0
"""Of the live screen, whose clock runs."""
POLL_S = 5.0
"""Of all else: events tell what happens, and this is for those that never came."""
PATIENCE_S = 60.0
"""A command waits until every worker has the weights."""


def duration(value: str) -> float:
    """Return seconds; for an option's `type`.

    Raises:
        click.BadParameter: it is not a duration.
    """
    try:
        return parse_duration_s(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_listener = click.argument("listener", type=in_tenant, metavar="TENANT/LISTENER")
_wait = click.option(
    "--wait",
    is_flag=True,
    help="Return when it has ended (exit code 0, or 1 if not well or not in time)"
    " or is paused (3).",
)
_timeout = click.option(
    "--timeout", type=duration, metavar="TIME", help="With --wait: longest time, such as 30m."
)


@click.group(name="rollout")
def rollout_group() -> None:
    """Command and watch canary rollouts, by the name of their listener.

    `get rollouts` lists those that there are.
    """


@rollout_group.command()
@_listener
@click.option("-w", "--watch", is_flag=True, help="Go on, and show it as it moves.")
@_wait
@_timeout
@shared_options
@pass_settings
def status(
    settings: Settings,
    listener: tuple[str, str],
    *,
    watch: bool,
    wait: bool,
    timeout: float | None,
) -> None:
    """Show where a rollout is, and why.

    That is its steps, both sides beside each other, and what judges say. With --watch it
    is a live screen on a terminal, and a line for each event elsewhere; with `-o json`
    one object for each change.

    \b
    tenantproxy rollout status acme/web --watch
    tenantproxy rollout status acme/web --wait --timeout 30m && echo good
    """  # noqa: D301 - \b is how click is told to keep the lines
    _fits(wait=wait, timeout=timeout)
    if watch and not wait:
        with suppress(KeyboardInterrupt):
            call(settings, lambda client: _watch(client, settings, listener, wait=False))
    elif watch:
        work = partial(_watch, settings=settings, listener=listener, wait=True, timeout_s=timeout)
        sys.exit(exit_code(call(settings, work)))
    elif wait:
        item = call(settings, partial(_await, listener=listener, timeout_s=timeout))
        _show(settings, item)
        sys.exit(exit_code(item))
    else:
        item, events = call(settings, partial(_page, listener=listener))
        _show_page(settings, item, events)


def _commanding(name: str, text: str) -> click.Command:
    """Make the command that posts `name`."""

    @rollout_group.command(name=name, help=text)
    @_listener
    @_wait
    @_timeout
    @click.option("--dry-run", is_flag=True, help="Check that it may be done; change nothing.")
    @shared_options
    @pass_settings
    def command(
        settings: Settings,
        listener: tuple[str, str],
        *,
        wait: bool,
        timeout: float | None,
        dry_run: bool,
    ) -> None:
        _fits(wait=wait and not dry_run, timeout=timeout)
        path = rollout_path(*listener, name)

        async def post(client: Client) -> Any:
            params = {"dry_run": "true"} if dry_run else None
            answer = await client.send("POST", path, params=params, patience_s=PATIENCE_S)
            if not wait or dry_run:
                return answer
            return await _await(client, listener, timeout)

        answer = call(settings, post)
        if dry_run:
            _show_dry(settings, answer)
            return
        _show(settings, answer)
        if wait:
            sys.exit(exit_code(answer, name))

    return command


start = _commanding("start", "Start a rollout that waits, or start one again that ended.")
pause = _commanding("pause", "Keep the weight as it is; nothing is judged until `resume`.")
resume = _commanding("resume", "Go on after a pause.")
promote = _commanding(
    "promote",
    """Give the canary everything now.

    Steps and gates that are left are skipped; it is looked at once more all the same.
    """,
)
abort = _commanding("abort", "End a rollout: new connections go to stable at once.")
rollback = _commanding(
    "rollback",
    """Go back to what was stable, after success.

    That is possible while `rollback_window` lasts; `rollout status` says how long that is.
    """,
)


def _fits(*, wait: bool, timeout: float | None) -> None:
    if timeout is not None and not wait:
        raise click.UsageError("--timeout is for --wait")


async def _page(client: Client, listener: tuple[str, str]) -> tuple[Item, list[Item]]:
    item = await client.get(rollout_path(*listener))
    return item, (await events_of_rollout(client, item))[-EVENTS:]


async def _await(client: Client, listener: tuple[str, str], timeout_s: float | None) -> Item:
    """Wait, and tell what happens on standard error: standard output gets the end."""
    show = Lines(talk)
    return await follow(client, listener, show, every_s=POLL_S, wait=True, timeout_s=timeout_s)


async def _watch(
    client: Client,
    settings: Settings,
    listener: tuple[str, str],
    *,
    wait: bool,
    timeout_s: float | None = None,
) -> Item:
    go: Callable[..., Any] = partial(follow, client, listener, wait=wait, timeout_s=timeout_s)
    if structured(settings.output) or settings.output == "name":
        end: Item = await go(Records(settings.output), every_s=POLL_S)
    elif not draws(sys.stdout):
        end = await go(Lines(), every_s=POLL_S)
    else:
        with Screen() as screen:
            end = await go(screen, every_s=DRAW_S)
        _show_page(settings, *await _page(client, listener))
    return end


def _show_page(settings: Settings, item: Item, events: list[Item]) -> None:
    if structured(settings.output):
        echo_value(item, settings.output)
    elif settings.output == "name":
        click.echo(full_name(item, "rollouts"))
    else:
        now_s = clock.wall_s()
        print_page([*told_rollout(item, now_s), *([recent(events, now_s)] if events else [])])


def _show(settings: Settings, item: Item) -> None:
    """Print the rollout that the daemon answered with, as `get` does."""
    if structured(settings.output):
        echo_value(item, settings.output)
    elif settings.output == "name":
        click.echo(full_name(item, "rollouts"))
    else:
        table = Table(COLUMNS["rollouts"], wide=settings.output == "wide")
        table.show([table.cells(item, clock.wall_s())])


def _show_dry(settings: Settings, answer: Item) -> None:
    if structured(settings.output):
        echo_value(answer, settings.output)
    else:
        show_changes(answer["changes"])
        talk("dry run: nothing was changed")
