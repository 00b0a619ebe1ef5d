"""Workers that live and do nothing are found and replaced."""

from __future__ import annotations

import asyncio

from tenantproxy import clock
from tenantproxy.control.books import Books
from tenantproxy.control.fleet import Fleet

PERIOD_S = 1.0
SILENT_S = 30.0
"""A worker notes ten times a second that its loop turns; nothing sane takes this long."""


class Watchdog:
    """Kills a ready worker that has given no sign of life for `SILENT_S`.

    If we ourselves were held up (a suspended machine, a starved one) nobody
    is judged: the workers had no time either.
    """

    def __init__(self, fleet: Fleet, books: Books) -> None:
        self._fleet, self._books = fleet, books

    async def run(self) -> None:
        """Look once a second, until cancelled."""
        before_s = clock.monotonic_s()
        while True:
            await asyncio.sleep(PERIOD_S)
            now_s = clock.monotonic_s()
            if now_s - before_s < PERIOD_S * 2:
                self._look(now_s)
            before_s = now_s

    def _look(self, now_s: float) -> None:
        for index in self._fleet.ready():
            ready_s = self._fleet.workers[index].ready_since_s or now_s
            silent_s = now_s - max(self._books.heartbeat_s(index), ready_s)
            if silent_s > SILENT_S:
                self._fleet.kill(index, f"gave no sign of life for {silent_s:.0f} s")
