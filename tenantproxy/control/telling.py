"""Orders about upstreams go to workers at once, and a flood of changes goes as one.

The first change after a pause goes in the same turn of the loop; those that follow within
`COALESCE_S` go together. So a thousand endpoints that fail at once are a few orders.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from tenantproxy import clock
from tenantproxy.control.fleet import Fleet
from tenantproxy.control.upstream import Upstream
from tenantproxy.control.upstream_orders import UpstreamOrders
from tenantproxy.dataplane.messages import DropUpstreams

COALESCE_S = 0.02


class Telling:
    """Tells workers of upstreams that are `sent`.

    `decide(upstream, now_s)` is called before: it makes the choice, and says whether that or a
    weight is another than before.
    """

    def __init__(
        self, fleet: Fleet, orders: UpstreamOrders, decide: Callable[[Upstream, float], bool]
    ) -> None:
        self._fleet, self._orders, self._decide = fleet, orders, decide
        self._loop = asyncio.get_running_loop()
        self._changed: dict[Upstream, bool] = {}
        """Value: tell it whatever the decision."""
        self._flush: asyncio.Handle | None = None
        self._flushed_s = -COALESCE_S

    def soon(self, upstream: Upstream, *, anyhow: bool = False) -> None:
        """Decide soon; tell workers if something came of it, or `anyhow`."""
        if not upstream.sent:
            return
        self._changed[upstream] = anyhow or self._changed.get(upstream, False)
        if self._flush is None:
            wait_s = self._flushed_s + COALESCE_S - self._loop.time()
            self._flush = self._loop.call_later(max(0.0, wait_s), self._flush_now)

    def now(self, upstreams: Iterable[Upstream]) -> None:
        """Decide, and tell every ready worker before this returns."""
        now_s, telling = clock.monotonic_s(), [one for one in upstreams if one.sent]
        for one in telling:
            self._changed.pop(one, None)
            self._decide(one, now_s)
        self._fleet.broadcast(self._orders.messages(telling, now_s))

    def introduce(self, worker: int, upstreams: Iterable[Upstream]) -> None:
        """Tell a new worker everything that the others know."""
        known = (one for one in upstreams if one.sent)
        for message in self._orders.messages(known, clock.monotonic_s()):
            self._fleet.send(worker, message)

    def drop(self, upstream: Upstream) -> None:
        """Let workers forget it."""
        self._changed.pop(upstream, None)
        if upstream.sent:
            upstream.sent = False
            self._fleet.broadcast([DropUpstreams((upstream.id,))])

    def close(self) -> None:
        """Tell nothing any more."""
        self._changed.clear()
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None

    def _flush_now(self) -> None:
        self._flush = None
        self._flushed_s = self._loop.time()
        now_s = clock.monotonic_s()
        changed, self._changed = self._changed, {}
        telling = [one for one, anyhow in changed.items() if self._decide(one, now_s) or anyhow]
        self._fleet.broadcast(self._orders.messages(telling, now_s))
