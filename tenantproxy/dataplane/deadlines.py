"""Flows that have to come further by a given time."""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane.flow import Flow

SWEEP_S = 0.05
"""How late a deadline may be noticed."""


class Deadlines:
    """Calls `late(flow)` for those whose `deadline_s` passes; it forgets them before.

    One timer for all of them, and only while there are some.
    """

    def __init__(self, loop: AbstractEventLoop, late: Callable[[Flow], None]) -> None:
        self._loop = loop
        self._late = late
        self._flows: set[Flow] = set()
        self._timer: TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._flows)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def set(self, flow: Flow, at_s: float) -> None:
        """Set the deadline of a flow."""
        flow.deadline_s = at_s
        self._flows.add(flow)
        if self._timer is None:
            self._timer = self._loop.call_later(SWEEP_S, self._sweep)

    def drop(self, flow: Flow) -> None:
        """The flow has come further, or has ended."""
        flow.deadline_s = 0.0
        self._flows.discard(flow)

    def _sweep(self) -> None:
        now_s = monotonic_s()
        self._timer = None
        for flow in [flow for flow in self._flows if flow.deadline_s <= now_s]:
            if flow in self._flows:  # one that was late may have ended others
                self.drop(flow)
                self._late(flow)
        if self._flows and self._timer is None:
            self._timer = self._loop.call_later(SWEEP_S, self._sweep)
