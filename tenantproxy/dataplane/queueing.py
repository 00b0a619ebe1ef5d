"""Slots of upstreams with a limit: who gets one, who waits for one, who is refused.

The limit counts the connections of all workers. Each writes how many slots it
has in a word of its own, and takes one by counting up first and looking at all
words then: two workers that take the last one at the same moment both see too
many and both step back, so there are never too many connections. Nobody tells
a worker that another has given a slot back, so while somebody waits it looks.
"""

from __future__ import annotations

import random
import threading
from asyncio import AbstractEventLoop, TimerHandle
from collections import OrderedDict
from collections.abc import Callable

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane import counters
from tenantproxy.dataplane.flow import Flow, has_left
from tenantproxy.dataplane.listener import REJECTED
from tenantproxy.dataplane.peers import Peers
from tenantproxy.dataplane.upstream import Upstream

POLL_S = 0.01
"""Longest time between two looks for slots that others have given back, while somebody waits.
How long is drawn each time: connections that last as long as each other would else keep in step
with the looks of one worker."""
BATCH = 64
"""Flows that begin at once when many slots become free; the next ones after other work."""
STEPS = 3
"""Times that the last slot is tried to be had when another worker tries in the same moment."""
NO_LIMIT = 1 << 62
"""While those who waited begin, for their limit has gone."""

_SLOTS, _WAITING = int(counters.Upstream.SLOTS), int(counters.Upstream.WAITING)


class Queueing:
    """`begin(flow)` is called for those that waited and have their slot now.

    `reject(flow, word)` ends those for whom there is none.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        peers: Peers,
        begin: Callable[[Flow], None],
        reject: Callable[[Flow, int], None],
    ) -> None:
        self._loop = loop
        self._peers = peers
        self._begin = begin
        self._reject = reject
        self._fence = threading.Lock()
        self._full: set[Upstream] = set()
        """Upstreams for which somebody waits."""
        self._sifted: set[Upstream] = set()
        """Those of which nobody has just left, as far as was seen since the last look."""
        self._poll: TimerHandle | None = None

    def close(self) -> None:
        """Stop the timer; nobody waits any more."""
        if self._poll is not None:
            self._poll.cancel()

    def enter(self, flow: Flow, upstream: Upstream) -> bool:
        """Return True when the flow has a slot now; else it waits, or has been rejected."""
        if not upstream.waiting and not self._others_wait(upstream) and self._take(upstream):
            flow.slot = True
            return True
        waiting = upstream.waiting
        if waiting is None:
            waiting = upstream.waiting = OrderedDict()
        if len(waiting) >= upstream.queue_size:
            self._drop_gone(upstream, waiting)
            if len(waiting) >= upstream.queue_size:
                self._reject(flow, REJECTED["upstream_full"])
                return False
        waiting[flow] = monotonic_s()
        upstream.cells[_WAITING] = len(waiting)
        self._full.add(upstream)
        self._look_later()
        return False

    def have(self, flow: Flow) -> None:
        """The flow was there before the limit: it has a slot now, be there room or not."""
        if not flow.slot:
            flow.slot = True
            flow.upstream.cells[_SLOTS] += 1

    def leave(self, flow: Flow) -> None:
        """Give the flow's slot back."""
        upstream = flow.upstream
        flow.slot = False
        upstream.cells[_SLOTS] -= 1
        if upstream.waiting and not self._others_wait(upstream):
            # Not now: this may be in the middle of a batch of events, see `Pump.later`.
            self._loop.call_soon(self.serve, upstream)

    def forget(self, flow: Flow) -> None:
        """The flow waits no longer, if it did."""
        upstream: Upstream | None = getattr(flow, "upstream", None)
        waiting = None if upstream is None else upstream.waiting
        if upstream is not None and waiting and waiting.pop(flow, None) is not None:
            upstream.cells[_WAITING] = len(waiting)

    def serve(self, upstream: Upstream) -> None:
        """Let those begin for whom there are slots, and reject those who waited for too long."""
        waiting = upstream.waiting
        now_s = monotonic_s()
        for _ in range(BATCH):
            if not waiting:
                self._full.discard(upstream)
                return
            flow, since_s = next(iter(waiting.items()))
            late = now_s - since_s >= upstream.queue_s
            if not late and not self._take(upstream):
                return
            del waiting[flow]
            upstream.cells[_WAITING] = len(waiting)
            if late:
                self._reject(flow, REJECTED["queue_timeout"])
                continue
            flow.slot = True
            if has_left(flow.client):
                self._reject(flow, REJECTED["client_gone"])
            else:
                self._begin(flow)
        self._loop.call_soon(self.serve, upstream)

    def dissolve(self, upstream: Upstream) -> None:
        """The upstream is no more: whoever waits begins, and hears of it."""
        self._full.discard(upstream)
        waiting, upstream.waiting = upstream.waiting, None
        for flow in waiting or ():
            self._begin(flow)

    def _drop_gone(self, upstream: Upstream, waiting: OrderedDict[Flow, float]) -> None:
        """Make room where clients have left; once between two looks, for each is asked."""
        if not waiting or upstream in self._sifted:
            return
        self._sifted.add(upstream)
        for flow in [flow for flow in waiting if has_left(flow.client)]:
            self.forget(flow)
            self._reject(flow, REJECTED["client_gone"])

    def _others_wait(self, upstream: Upstream) -> bool:
        """Return True when clients of other workers wait, which with no queue here is nothing."""
        return bool(upstream.queue_size and self._peers.total(upstream.at + _WAITING))

    def _take(self, upstream: Upstream) -> bool:
        """Take a slot if all workers together stay within the limit."""
        cells, at = upstream.cells, upstream.at + _SLOTS
        limit = upstream.limit or NO_LIMIT
        for _ in range(STEPS):
            if cells[_SLOTS] + self._peers.total(at) >= limit:
                return False
            cells[_SLOTS] += 1
            # Two workers must not both look before they can see what the other has counted; a
            # CPU may let a later load overtake a store (the SB test of "x86-TSO", Sewell 2010),
            # and the compare-and-swap of a lock keeps them in order.
            with self._fence:
                pass
            if cells[_SLOTS] + self._peers.total(at) <= limit:
                return True
            cells[_SLOTS] -= 1
        return False

    def _look_later(self) -> None:
        if self._poll is None:
            delay_s = random.uniform(0.1, 1) * POLL_S  # noqa: S311 - no secret
            self._poll = self._loop.call_later(delay_s, self._look)

    def _look(self) -> None:
        self._poll = None
        self._sifted.clear()
        for upstream in tuple(self._full):
            self.serve(upstream)
        if self._full:
            self._look_later()
