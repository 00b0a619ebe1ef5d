"""Connections that end by the clock: drained over a window, or idle for too long."""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Sequence

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
    """Cuts flows in the given order, evenly over a window.

    The i-th of n is cut at `window_s * (i + 1) / n`, if it is still there. `rest` is called
    at the end of the window, unless the drain was cancelled.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        order: Sequence[Flow],
        window_s: float,
        cut: Cut,
        rest: Callable[[], None] | None = None,
    ) -> None:
        self._loop = loop
        self._order = order
        self._window_s = window_s
        self._cut = cut
        self._rest = rest
        self._done = 0
        self._start_s = monotonic_s()
        self._timer: TimerHandle | None = None
        self.over = False
        """It cuts nobody any more."""
        self._step()

    def cancel(self) -> None:
        """Cut nobody any more."""
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._order = ()

    def _step(self) -> None:
        passed_s = monotonic_s() - self._start_s
        total = len(self._order)
        share = passed_s / self._window_s if self._window_s > 0 else 1.0
        due = total if share >= 1 else int(total * share)
        for flow in self._order[self._done : due]:
            if flow in flow.listener.flows:
                self._cut(flow)
        if self.over:
            return  # the last flow has gone; what comes now came to a port that opened again
        self._done = due
        if due >= total:
            if self._rest is not None:
                self._rest()
            self.cancel()
            return
        next_s = self._window_s * (due + 1) / total - passed_s
        self._timer = self._loop.call_later(max(next_s, STEP_MIN_S), self._step)


def drain_listener(loop: AbstractEventLoop, listener: Listener, window_s: float, cut: Cut) -> Drain:
    """Cut the flows a listener has now, longest silent first; at the end later ones too."""

    def rest() -> None:
        for flow in tuple(listener.flows):
            cut(flow)

    return Drain(loop, sorted(listener.flows, key=last_ms), window_s, cut, rest)


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
