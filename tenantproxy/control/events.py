"""What was decided: a bounded list for the API, followers for watches, a line in the log."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog

from tenantproxy import clock
from tenantproxy.model.views import Event

KEPT = 10_000
FOLLOWER_KEPT = 20_000
"""Events a follower may lag behind before it is ended: a slow reader costs no memory."""

Detail = str | int | float | bool | None

_log = structlog.get_logger("tenantproxy")


class Follower:
    """One watch: the events since it began, in order."""

    def __init__(self, backlog: list[Event]) -> None:
        self._queue: deque[Event] = deque(backlog)
        self._more = asyncio.Event()
        self._ended = False

    async def next(self) -> Event:
        """Wait for the next event.

        Raises:
            StopAsyncIteration: the daemon ends, or this follower lagged too far behind.
        """
        while not self._queue:
            if self._ended:
                raise StopAsyncIteration
            self._more.clear()
            await self._more.wait()
        return self._queue.popleft()

    def put(self, event: Event) -> None:
        """Hand an event on; ends the follower if it does not read."""
        if len(self._queue) >= FOLLOWER_KEPT:
            self._queue.clear()
            self.end()
        elif not self._ended:
            self._queue.append(event)
            self._more.set()

    def end(self) -> None:
        """Let `next` raise once what is queued has been read."""
        self._ended = True
        self._more.set()


class Events:
    """The event log of one daemon."""

    def __init__(self) -> None:
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._followers: set[Follower] = set()
        self._number = 0
        self.counts: Counter[str] = Counter()
        """How many were noted, by the name of the event."""

    def add(
        self,
        event: str,
        reason: str,
        *,
        tenant: str | None = None,
        about: str | None = None,
        level: str = "info",
        values: Mapping[str, Detail] | None = None,
        **details: Detail,
    ) -> Event:
        """Note a decision; it goes to the list, to every follower and to the log."""
        details = {**details, **(values or {})}
        self._number += 1
        noted = Event(self._number, clock.wall_s(), event, tenant, about, reason, details)
        self._kept.append(noted)
        self.counts[event] += 1
        for follower in tuple(self._followers):
            follower.put(noted)
        extra = {"tenant": tenant, "object": about, "reason": reason, **details}
        shown = {k: v for k, v in extra.items() if v not in (None, "")}
        getattr(_log, level)(event, **shown)
        return noted

    def after(self, number: int, limit: int) -> list[Event]:
        """Return the newest `limit` kept events with a higher number, oldest first."""
        found = [event for event in self._kept if event.number > number]
        return found[-limit:] if limit else []

    @contextmanager
    def follow(self, after: int | None) -> Iterator[Follower]:
        """Follow from now on, or from the event after number `after`."""
        follower = Follower([] if after is None else self.after(after, KEPT))
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)

    def end(self) -> None:
        """End every follower."""
        for follower in tuple(self._followers):
            follower.end()
