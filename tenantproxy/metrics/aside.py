"""Long Python work beside the event loop: scrapes, large lists, large documents.

A thread takes the interpreter lock from the loop, and the loop gets it back
only after the switch interval each time it has waited for something: 5 ms by
default, a hundred times in a row during a scrape. So the interval is set to
1 ms here, where the threads are made, and they run one at a time. Work given
to `Aside.run` must be made of short steps: a single call into C, such as
encoding 10 MB of JSON at once, keeps the lock to its end.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

SWITCH_INTERVAL_S = 0.001


class Aside:
    """Runs functions in a thread, one at a time, in the order they came."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        sys.setswitchinterval(SWITCH_INTERVAL_S)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `work` returns, or raise what it raises; the loop goes on meanwhile."""
        async with self._turn:
            return await asyncio.to_thread(work, *args, **kwargs)
