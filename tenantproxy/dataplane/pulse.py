"""The worker's pulse: how late the loop is, and that it lives."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane.counters import Header

PERIOD_S = 0.1


class Pulse:
    """Writes the gauges of the header every 100 ms."""

    def __init__(
        self, loop: AbstractEventLoop, words: memoryview, gauges: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._words = words
        self._gauges = gauges
        self._due_s = monotonic_s()
        self._beat()

    def close(self) -> None:
        """Beat no more."""
        self._timer.cancel()

    def _beat(self) -> None:
        now_s = monotonic_s()
        self._words[Header.LOOP_LAG_US] = max(0, int((now_s - self._due_s) * 1e6))
        self._words[Header.HEARTBEAT_MS] = int(now_s * 1000)
        self._gauges()
        self._due_s = now_s + PERIOD_S
        self._timer = self._loop.call_later(PERIOD_S, self._beat)
