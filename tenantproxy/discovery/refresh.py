"""The loop of everything that is asked again and again: how often, and what is told.

TTLs are honoured, and failures are repeated ever more slowly. `again_in` and `retry_in` decide
when; chance keeps thousands of names from being asked at the same instant.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from tenantproxy.discovery.source import Failed
from tenantproxy.errors import Unresolved

T = TypeVar("T")
Ask = Callable[[], Awaitable[tuple[T, float]]]
"""Gives what there is and for how many seconds that is true; raises `Unresolved`."""

SHORTEST_S = 1.0
"""A TTL of 0 says "do not keep", which an endpoint in use cannot obey."""
LONGEST_S = 300.0
"""A record that allows a day is often changed before its owner thinks of the TTL; one question in
five minutes is cheap, and the name server answers from its own cache anyway."""
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 30.0
_JITTER = 0.1
_LATEST_S = 1.0
"""A change is to be followed within TTL + 2 s, so chance adds no more than this to a TTL."""


async def refresh(
    ask: Ask[T],
    *,
    chance: Callable[[], float] = random.random,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[T | Failed]:
    """Yield each answer that differs from the last, and each failure whose reason is new.

    After a failure the answer is yielded even if it is the same as before: all is well again.
    """
    last: T | None = None
    reason, failures = "", 0
    while True:
        try:
            found, ttl_s = await ask()
        except Unresolved as error:
            failures += 1
            pause_s = retry_in(failures, chance())
            if str(error) != reason:
                reason = str(error)
                yield Failed(reason)
        else:
            failures = 0
            pause_s = again_in(ttl_s, chance())
            if found != last or reason:
                last, reason = found, ""
                yield found
        await sleep(pause_s)


def again_in(ttl_s: float, chance: float) -> float:
    """Return after how many seconds to ask again; `chance` is from 0 to 1."""
    base_s = min(max(ttl_s, SHORTEST_S), LONGEST_S)
    return base_s + min(base_s * _JITTER, _LATEST_S) * chance


def retry_in(failures: int, chance: float) -> float:
    """Return after how many seconds to ask again after `failures` (from 1) in a row."""
    base_s = min(FIRST_RETRY_S * 2.0 ** min(failures - 1, 16), LONGEST_RETRY_S)
    return base_s * (1 - _JITTER * chance)
