"""Second attempts that the retry budget does not allow yet: each waits for its turn, not for long.

In a burst half of the clients may meet a dead endpoint in one moment. To refuse
those above the budget would be an error that waiting a millisecond avoids, and
the budget holds all the same: it bounds what is under way.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections import OrderedDict
from collections.abc import Callable

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane.deadlines import Deadlines
from tenantproxy.dataplane.flow import Flow
from tenantproxy.dataplane.upstream import Upstream


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
        self._lines: dict[Upstream, OrderedDict[Flow, str]] = {}
        """Who waits, and why the try before failed; no line is empty."""
        self._deadlines = Deadlines(loop, self._late)
        self._due: set[Upstream] = set()

    def __len__(self) -> int:
        return len(self._deadlines)

    def close(self) -> None:
        """Stop the timer; every flow must have ended before."""
        self._deadlines.close()

    def wait(self, flow: Flow, reason: str) -> None:
        """Let the flow wait, for the connect timeout of its upstream at most."""
        upstream = flow.upstream
        self._lines.setdefault(upstream, OrderedDict())[flow] = reason
        self._deadlines.set(flow, monotonic_s() + upstream.timeout_s)

    def freed(self, upstream: Upstream) -> None:
        """A second attempt of the upstream is over: the next may begin, in a turn of the loop."""
        if upstream in self._lines and upstream not in self._due:
            self._due.add(upstream)
            self._loop.call_soon(self._serve, upstream)

    def forget(self, flow: Flow) -> None:
        """The flow ends: it does not wait any more, if it did."""
        if flow.tried and flow in self._lines.get(flow.upstream, ()):
            self._take(flow)

    def _serve(self, upstream: Upstream) -> None:
        self._due.discard(upstream)
        line = self._lines.get(upstream)
        if line is None or not upstream.may_retry():
            return
        flow = next(iter(line))
        self._begin(flow, self._take(flow))
        self.freed(upstream)  # what failed at once was never under way

    def _late(self, flow: Flow) -> None:
        self._deny(flow, self._take(flow))

    def _take(self, flow: Flow) -> str:
        """Take a flow out of its line; return why its try before failed."""
        line = self._lines[flow.upstream]
        reason = line.pop(flow)
        self._deadlines.drop(flow)
        if not line:
            del self._lines[flow.upstream]
        return reason
