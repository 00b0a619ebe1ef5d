"""Second attempts that the retry budget does not allow yet: each waits for its turn, not for long.

In a burst half of the clients may meet a dead endpoint in one moment. To refuse
those above the budget would be an error that waiting a millisecond avoids, and
the budget holds all the same: it bounds what is under way.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections import OrderedDict
from collections.abc import Callable

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane.flow import Flow
from tenantproxy.dataplane.upstream import Upstream

_Line = OrderedDict[Flow, tuple[float, str]]


class Turns:
    """`begin(flow, reason)` is called at its turn, `deny(flow, reason)` when its time is over.

    A turn comes when another second attempt has an outcome: as long as the budget
    is used up there is one under way, and it has a deadline.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        begin: Callable[[Flow, str], None],
        deny: Callable[[Flow, str], None],
    ) -> None:
        self._loop = loop
        self._begin = begin
        self._deny = deny
        self._lines: dict[Upstream, _Line] = {}
        self._timers: dict[Upstream, TimerHandle] = {}
        self._due: set[Upstream] = set()

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def close(self) -> None:
        """Stop the timers; every flow must have ended before."""
        for timer in self._timers.values():
            timer.cancel()

    def wait(self, flow: Flow, reason: str) -> None:
        """Let the flow wait, for the connect timeout of its upstream at most."""
        upstream = flow.upstream
        line = self._lines.setdefault(upstream, OrderedDict())
        line[flow] = (monotonic_s() + upstream.timeout_s, reason)
        self._watch(upstream)

    def freed(self, upstream: Upstream) -> None:
        """A second attempt of the upstream is over: the next may begin, in a turn of the loop."""
        if upstream in self._lines and upstream not in self._due:
            self._due.add(upstream)
            self._loop.call_soon(self._serve, upstream)

    def forget(self, flow: Flow) -> None:
        """The flow ends: it does not wait any more, if it did."""
        line = self._lines.get(flow.upstream) if flow.tried else None
        if line is not None and line.pop(flow, None) is not None and not line:
            self._over(flow.upstream)

    def _serve(self, upstream: Upstream) -> None:
        self._due.discard(upstream)
        line = self._lines.get(upstream)
        if line is None or not upstream.may_retry():
            return
        flow, (_, reason) = line.popitem(last=False)
        if not line:
            self._over(upstream)
        self._begin(flow, reason)
        self.freed(upstream)  # what failed at once was never under way

    def _watch(self, upstream: Upstream) -> None:
        if upstream not in self._timers:
            first_s, _ = next(iter(self._lines[upstream].values()))
            delay_s = max(0.0, first_s - monotonic_s())
            self._timers[upstream] = self._loop.call_later(delay_s, self._expire, upstream)

    def _expire(self, upstream: Upstream) -> None:
        del self._timers[upstream]
        now_s = monotonic_s()
        line = self._lines[upstream]
        late = [flow for flow, (end_s, _) in line.items() if end_s <= now_s]
        for flow in late:
            entry = line.pop(flow, None)
            if entry is not None:  # ending one may end others
                self._deny(flow, entry[1])
        if line:
            self._watch(upstream)
        else:
            self._lines.pop(upstream, None)

    def _over(self, upstream: Upstream) -> None:
        del self._lines[upstream]
        timer = self._timers.pop(upstream, None)
        if timer is not None:
            timer.cancel()
