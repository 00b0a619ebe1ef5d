"""Who may ask next: a bound over all, a bound for each group, and turns among groups."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator


class Turns:
    """Slots that groups share.

    A free slot goes to the group that holds the fewest of those that wait, and among equal ones
    to the one that has waited longest. So a group that holds none is served before any that holds
    some, and when each slot is held for `t` at most it waits for at most
    `t * ceil(groups like it / at_once)`, however many others wait in front of it.
    """

    def __init__(self, at_once: int, at_once_per_group: int) -> None:
        self._free, self._per_group = at_once, at_once_per_group
        self._held: Counter[str] = Counter()
        """Groups that hold none are not in it."""
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """In the order of who has waited longest since its last turn; no queue is empty."""

    @contextlib.asynccontextmanager
    async def slot(self, group: str) -> AsyncIterator[None]:
        """Hold a slot; those of one group get theirs in the order in which they came."""
        await self._take(group)
        try:
            yield
        finally:
            self._give_back(group)

    async def _take(self, group: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(group, deque()).append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._leave(group, turn)
            else:  # cancelled after its turn had come
                self._give_back(group)
            raise

    def _give_back(self, group: str) -> None:
        self._free += 1
        self._held[group] -= 1
        if not self._held[group]:
            del self._held[group]
        self._hand_out()

    def _hand_out(self) -> None:
        while self._free and (group := self._next()) is not None:
            queue = self._waiting.pop(group)
            turn = queue.popleft()
            if queue:
                self._waiting[group] = queue
            if not turn.done():  # else it is cancelled, and about to leave
                turn.set_result(None)
                self._free -= 1
                self._held[group] += 1

    def _next(self) -> str | None:
        group = min(self._waiting, key=self._held.__getitem__, default=None)
        return None if group is None or self._held[group] >= self._per_group else group

    def _leave(self, group: str, turn: asyncio.Future[None]) -> None:
        queue = self._waiting.get(group)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._waiting[group]
