"""Waits until a rollout needs nobody to wait any more, and says by an exit code how it ended."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from tenantproxy.cli import human
from tenantproxy.cli.client import Client
from tenantproxy.cli.output import Item
from tenantproxy.cli.rollout_follow import looks
from tenantproxy.cli.rollout_shows import Show
from tenantproxy.cli.told_rollout import name_of_rollout
from tenantproxy.errors import TenantProxyError

DONE, ENDED_BADLY, PERSON_NEEDED = 0, 1, 3
ENDED = ("succeeded", "rolled_back", "failed", "aborted")
_ASKED_FOR = {"abort": "aborted", "rollback": "rolled_back"}
"""How a rollout ends when a command has done what it was told to."""


class StillUnderWay(TenantProxyError):
    """The rollout did not end within the time that was given."""

    code, blame = "still_under_way", "environment"


async def follow(
    client: Client,
    listener: tuple[str, str],
    show: Show,
    *,
    every_s: float,
    wait: bool,
    timeout_s: float | None = None,
) -> Item:
    """Show a rollout as it moves; with `wait` return it when it has ended or is paused.

    Args:
        client: the daemon.
        listener: tenant and name.
        show: is told every look.
        every_s: a look is made so often though no event came.
        wait: else it goes on until it is cancelled.
        timeout_s: longest time to wait.

    Raises:
        StillUnderWay: it was too long.
        NotFound: there is no such rollout, or not any more.
        ServerUnreachable: the daemon went away.
    """
    last: Item | None = None
    try:
        async with (
            asyncio.timeout(timeout_s),
            aclosing(looks(client, *listener, every_s=every_s)) as found,
        ):
            async for look in found:
                last = look.item
                show.update(look)
                if wait and settled(last):
                    return last
    except TimeoutError:
        raise _too_long(listener, last, timeout_s or 0.0) from None
    raise AssertionError("looks have no end but by an error")


def settled(item: Item) -> bool:
    """Tell whether it has ended, or is paused: nothing but a person goes on from there."""
    return item["state"] in ENDED or item["state"] == "paused"


def exit_code(item: Item, command: str | None = None) -> int:
    """Return 0 for success, 1 for any other end, 3 for a pause that a person has to end.

    After `abort` and `rollback` the end that was asked for is the success.
    """
    if item["state"] == "paused":
        return PERSON_NEEDED
    wanted = _ASKED_FOR.get(command or "", "succeeded")
    return DONE if item["state"] == wanted else ENDED_BADLY


def _too_long(listener: tuple[str, str], last: Item | None, after_s: float) -> StillUnderWay:
    name = "/".join(listener) if last is None else name_of_rollout(last)
    how = "not known" if last is None else f"{last['state']}: {human.text(last['reason'])}"
    return StillUnderWay(
        f"the rollout of {name} has not ended in {human.span(after_s)}; it is {how}",
        hint=f"it goes on: `tenantproxy rollout status {name} --wait` waits again",
    )
