"""Connections that end by the clock: drained over a window, or idle for too long."""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane.flow import Flow
from tenantproxy.dataplane.listener import Listener

STEP_MIN_S = 0.001
IDLE_PERIOD_MIN_S = 0.25
IDLE_PERIODS = 10
"""Sweeps in one idle timeout: it is kept to a tenth."""

Cut = Callable[[Flow], None]
CutIdle = Callable[[Flow, int], None]
"""Called with the millisecond since which no byte is known to have moved."""


def last_ms(flow: Flow) -> int:
    """Return when a byte last moved, in milliseconds of the monotonic clock; 0 is never."""
    server = flow.server
    return max(flow.client.last_ms, server.last_ms if server is not None else 0)


class Drain:
    """Cuts the flows a listener has now, longest silent first, evenly over a window.

    The i-th of n is cut at `window_s * (i + 1) / n`, if it is still there.
    At the end of the window every flow is cut, later ones too.
    """

    def __init__(
        self, loop: AbstractEventLoop, listener: Listener, window_s: float, cut: Cut
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._window_s = window_s
        self._cut = cut
        self._order = sorted(listener.flows, key=last_ms)
        self._done = 0
        self._start_s = monotonic_s()
        self._timer: TimerHandle | None = None
        self._cancelled = False
        self._step()

    def cancel(self) -> None:
        """Cut nobody any more."""
        self._cancelled = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._order.clear()

    def _step(self) -> None:
        flows = self._listener.flows
        passed_s = monotonic_s() - self._start_s
        total = len(self._order)
        share = passed_s / self._window_s if self._window_s > 0 else 1.0
        due = total if share >= 1 else int(total * share)
        for flow in self._order[self._done : due]:
            if flow in flows:
                self._cut(flow)
        if self._cancelled:
            return  # the last flow has gone; what comes now came to a port that opened again
        self._done = due
        if due >= total:
            for flow in tuple(flows):
                self._cut(flow)
            self.cancel()
            return
        next_s = self._window_s * (due + 1) / total - passed_s
        self._timer = self._loop.call_later(max(next_s, STEP_MIN_S), self._step)


class IdleSweeps:
    """Ends connected flows on which no byte moved for their listener's idle timeout.

    One timer for each listener that has flows; a timeout of 0 or less is none.
    """

    def __init__(self, loop: AbstractEventLoop, cut: CutIdle) -> None:
        self._loop = loop
        self._cut = cut

    def watch(self, listener: Listener) -> None:
        """See to it that the listener is swept while it has flows."""
        timeout_s = listener.order.idle_timeout_s
        if listener.idle_timer is None and timeout_s > 0 and listener.flows:
            period_s = max(IDLE_PERIOD_MIN_S, timeout_s / IDLE_PERIODS)
            listener.idle_timer = self._loop.call_later(period_s, self._sweep, listener)

    def again(self, listener: Listener) -> None:
        """The timeout has changed."""
        self.forget(listener)
        self.watch(listener)

    def forget(self, listener: Listener) -> None:
        """Stop the listener's timer."""
        if listener.idle_timer is not None:
            listener.idle_timer.cancel()
            listener.idle_timer = None

    def _sweep(self, listener: Listener) -> None:
        listener.idle_timer = None
        before_ms = int((monotonic_s() - listener.order.idle_timeout_s) * 1000)
        for flow in [f for f in listener.flows if 0 < last_ms(f) <= before_ms]:
            self._cut(flow, before_ms)
        self.watch(listener)
