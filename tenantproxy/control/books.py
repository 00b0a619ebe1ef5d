"""Who owns which counter block, and what the counters say over all workers.

A listener gets its blocks when it opens for the first time: reading an
untouched block would cost a page of memory. When a listener is gone its
route counts are folded into its upstreams', which must never go down.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tenantproxy.dataplane.counters import (
    CLOSED_REASONS,
    CONNECT_ERRORS,
    HISTOGRAM_WORDS,
    REJECTED_REASONS,
    CounterFile,
    Header,
    Route,
    side_of,
)
from tenantproxy.dataplane.counters import Endpoint as EndpointWords
from tenantproxy.dataplane.counters import Listener as ListenerWords
from tenantproxy.dataplane.counters import Upstream as UpstreamWords
from tenantproxy.errors import ListenFailed
from tenantproxy.model.sides import NOTHING as NO_SIDE
from tenantproxy.model.sides import Side
from tenantproxy.model.views import Histogram, Totals

_N_CLOSED = len(CLOSED_REASONS)
RESTING = 256
"""So many signal blocks rest, a page of memory each, before one is used again."""


class Blocks:
    """Hands out numbers from 0 up: new ones while fewer than `rest` are free, then the oldest.

    `rest` keeps one that was given back from being used again while somebody may still write
    to it, for as long as there are others.
    """

    def __init__(self, capacity: int, what: str, *, rest: int = 0) -> None:
        self._capacity, self._what, self._rest = capacity, what, rest
        self._next = 0
        self._free: deque[int] = deque()

    def take(self) -> int:
        """Return a free number.

        Raises:
            ListenFailed: all are in use.
        """
        exhausted = self._next >= self._capacity
        if self._free and (exhausted or len(self._free) > self._rest):
            return self._free.popleft()
        if exhausted:
            raise ListenFailed(f"more than {self._capacity} {self._what} counters are in use")
        self._next += 1
        return self._next - 1

    @property
    def free(self) -> int:
        """How many may still be taken."""
        return self._capacity - self._next + len(self._free)

    def give_back(self, number: int) -> None:
        self._free.append(number)


class UpstreamGauges(NamedTuple):
    """The words of an upstream from `SLOTS` on, in their order."""

    slots: int
    waiting: int
    spares: int
    retries: int
    retries_denied: int


class Books:
    """The counters of all worker slots together."""

    def __init__(self, files: Sequence[CounterFile]) -> None:
        self.files = files
        capacity = files[0].capacity
        self._listeners = Blocks(capacity.listeners, "listener")
        self._routes = Blocks(capacity.routes, "route")
        self._upstreams = Blocks(capacity.upstreams, "upstream")
        self._endpoints = Blocks(capacity.endpoints, "endpoint")
        self._signals = Blocks(capacity.signals, "signal", rest=RESTING)
        self._endpoints_of: Counter[str] = Counter()
        """By tenant, those that are given back late among them."""
        self._folded: dict[int, list[int]] = {}
        """By upstream block: what routes that are gone had counted."""
        self._folding = threading.Lock()
        """A scrape in its thread must see a route either alone or folded, or a total goes down."""

    # Blocks ---------------------------------------------------------------

    def take_listener(self) -> int:
        return self._listeners.take()

    def take_route(self) -> int:
        return self._routes.take()

    def take_upstream(self) -> int:
        return self._upstreams.take()

    def take_endpoint(self, tenant: str) -> int:
        """Return a block for an endpoint of a tenant, which never has more than are left.

        So one that is alone may have half of all, and nobody can have the last.

        Raises:
            ListenFailed: all are in use, or too many by this tenant.
        """
        held, free = self._endpoints_of[tenant], self._endpoints.free
        if held and held >= free:
            raise ListenFailed(f"{tenant} has {held} endpoint counters, and only {free} are free")
        block = self._endpoints.take()
        self._endpoints_of[tenant] += 1
        return block

    def take_signals(self) -> int:
        """Return a block to count signals in. It may not begin at zero: take differences.

        Raises:
            ListenFailed: all are in use.
        """
        return self._signals.take()

    def give_back_signals(self, block: int) -> None:
        """Let a block be used again, late: a worker may still write to it for a while."""
        self._signals.give_back(block)

    def drop_listener(self, block: int) -> None:
        """Clear a block that no worker writes any more and let it be used again."""
        for file in self.files:
            file.clear_listener(block)
        self._listeners.give_back(block)

    def drop_route(
        self, block: int, upstream_block: int | None, of_upstream: set[int] | None = None
    ) -> None:
        """As `drop_listener`; the counts stay with the upstream, if there still is one.

        `of_upstream` is the set of its routes, from which this one is taken.
        """
        with self._folding:
            self._fold(block, upstream_block)
            if of_upstream is not None:
                of_upstream.discard(block)
        self._routes.give_back(block)

    def _fold(self, block: int, upstream_block: int | None) -> None:
        if upstream_block is not None:
            folded = self._folded.setdefault(upstream_block, [0, 0, 0])
            opened, _, bytes_in, bytes_out, _ = self._route(block)
            folded[0] += opened
            folded[1] += bytes_in
            folded[2] += bytes_out
        for file in self.files:
            file.clear_route(block)

    def drop_upstream(self, block: int) -> None:
        self._folded.pop(block, None)
        for file in self.files:
            file.clear_upstream(block)
        self._upstreams.give_back(block)

    def drop_endpoint(self, block: int, tenant: str) -> None:
        """As `drop_upstream`."""
        for file in self.files:
            file.clear_endpoint(block)
        self._endpoints.give_back(block)
        self._endpoints_of[tenant] -= 1
        if not self._endpoints_of[tenant]:
            del self._endpoints_of[tenant]

    def settle(
        self,
        worker: int,
        listeners: list[int],
        routes: list[int],
        now_s: float,
        upstreams: Sequence[int] = (),
        endpoints: Sequence[int] = (),
        signals: Sequence[int] = (),
    ) -> None:
        """Close in the books what a dead worker left open."""
        self.files[worker].settle(
            listeners, routes, int(now_s * 1000), upstreams, endpoints, signals
        )

    # Reading ----------------------------------------------------------------

    def activity(self, block: int | None, routes: Iterable[int]) -> tuple[int, float]:
        """Return connections now, and CLOCK_MONOTONIC of the last sign of life (0: none).

        The idle clock: cheap enough to be asked for one port at a time.
        """
        if block is None:
            return 0, 0.0
        live = last_ms = 0
        for file in self.files:
            words = file.listener(block)
            live += words[0] - sum(words[2:])
            last_ms = max(last_ms, words[ListenerWords.LAST_MS])
        for route in routes:
            last_ms = max(last_ms, self._route(route)[4])
        return max(live, 0), last_ms / 1000

    def route_totals(self, block: int) -> Totals:
        """Return what a listener sent to one upstream, and what came back."""
        opened, closed, bytes_in, bytes_out, last_ms = self._route(block)
        return Totals(
            connections=max(opened - closed, 0),
            connections_total=opened,
            bytes_in=bytes_in,
            bytes_out=bytes_out,
            last_activity_s=last_ms / 1000 if last_ms else None,
        )

    def listener_totals(self, block: int | None, routes: Iterable[Totals]) -> Totals:
        """Return everything counted for a listener; `routes` is what its routes counted."""
        if block is None:
            return NOTHING
        words = [
            sum(column) for column in zip(*(f.listener(block) for f in self.files), strict=True)
        ]
        last_s = max(file.listener(block)[ListenerWords.LAST_MS] for file in self.files) / 1000
        bytes_in = bytes_out = 0
        for route in routes:
            bytes_in, bytes_out = bytes_in + route.bytes_in, bytes_out + route.bytes_out
            last_s = max(last_s, route.last_activity_s or 0.0)
        return Totals(
            connections=max(words[0] - sum(words[2:]), 0),
            connections_total=words[0],
            closed=dict(zip(CLOSED_REASONS, words[2:], strict=False)),
            rejected=dict(zip(REJECTED_REASONS, words[2 + _N_CLOSED :], strict=True)),
            bytes_in=bytes_in,
            bytes_out=bytes_out,
            last_activity_s=last_s or None,
        )

    def upstream_totals(self, block: int, routes: Iterable[int]) -> Totals:
        """Return everything counted for an upstream."""
        live = last_ms = 0
        with self._folding:
            opened, bytes_in, bytes_out = self._folded.get(block, (0, 0, 0))
            for route in tuple(routes):
                began, ended, came, went, moved_ms = self._route(route)
                opened, live = opened + began, live + began - ended
                bytes_in, bytes_out = bytes_in + came, bytes_out + went
                last_ms = max(last_ms, moved_ms)
        return Totals(
            connections=max(live, 0),
            connections_total=opened,
            bytes_in=bytes_in,
            bytes_out=bytes_out,
            last_activity_s=last_ms / 1000 if last_ms else None,
        )

    def upstream_details(self, block: int) -> tuple[dict[str, int], Histogram, Histogram]:
        """Return connect errors by reason, connect times and first-byte times."""
        words = [
            sum(column) for column in zip(*(f.upstream(block) for f in self.files), strict=True)
        ]
        return (
            dict(zip(CONNECT_ERRORS, words, strict=False)),
            _histogram(words, UpstreamWords.CONNECT),
            _histogram(words, UpstreamWords.FIRST_BYTE),
        )

    def upstream_gauges(self, block: int) -> UpstreamGauges:
        """Return slots, who waits for one, spares, retries made and denied, over all workers."""
        words = [
            sum(column) for column in zip(*(f.upstream(block) for f in self.files), strict=True)
        ]
        first = UpstreamWords.SLOTS
        return UpstreamGauges(*words[first : first + len(UpstreamGauges._fields)])

    def endpoint_totals(self, block: int) -> tuple[int, int, int]:
        """Return an endpoint's connections now, those ever made, and its failures."""
        opened = closed = failed = 0
        for file in self.files:
            words = file.endpoint(block)
            opened += words[EndpointWords.OPENED]
            closed += words[EndpointWords.CLOSED]
            failed += words[EndpointWords.FAILED]
        return max(opened - closed, 0), opened, failed

    def side(self, blocks: Iterable[int]) -> Side:
        """Return what signal blocks hold, summed up over all workers."""
        words = [file.signals(block) for block in blocks for file in self.files]
        if not words:
            return NO_SIDE
        return side_of([sum(column) for column in zip(*words, strict=True)])

    def live(self, route: int) -> tuple[int, ...]:
        """Return the connections of a route that are open now, by worker."""
        words = (file.route(route) for file in self.files)
        return tuple(max(one[Route.OPENED] - one[Route.CLOSED], 0) for one in words)

    def loop_lag_s(self, worker: int) -> float:
        """Return the worker's last measured loop lag."""
        return self.files[worker].header()[Header.LOOP_LAG_US] / 1e6

    def heartbeat_s(self, worker: int) -> float:
        """Return CLOCK_MONOTONIC of the last time that the worker's loop turned."""
        return self.files[worker].header()[Header.HEARTBEAT_MS] / 1000

    def connections(self, worker: int) -> int:
        """Return the worker's connections in every state."""
        return self.files[worker].header()[Header.CONNECTIONS]

    def kernel_connections(self, worker: int) -> int:
        """Return how many of the worker's connections the kernel moves bytes for."""
        return self.files[worker].header()[Header.RELAY_KERNEL]

    def fds_free(self, worker: int) -> int:
        """Return how many descriptors the worker may take before it stops accepting."""
        return self.files[worker].header()[Header.FDS_FREE]

    def accept_pauses(self, worker: int) -> int:
        """Return how often the worker stopped accepting for want of descriptors."""
        return self.files[worker].header()[Header.ACCEPT_PAUSES]

    def close(self) -> None:
        """Unmap everything."""
        for file in self.files:
            file.close()

    def _route(self, block: int) -> tuple[int, int, int, int, int]:
        """Return opened, closed, bytes in, bytes out, last ms, over all workers."""
        opened = closed = bytes_in = bytes_out = last_ms = 0
        for file in self.files:
            words = file.route(block)
            opened += words[Route.OPENED]
            closed += words[Route.CLOSED]
            bytes_in += words[Route.BYTES_IN]
            bytes_out += words[Route.BYTES_OUT]
            last_ms = max(last_ms, words[Route.LAST_IN_MS], words[Route.LAST_OUT_MS])
        return opened, closed, bytes_in, bytes_out, last_ms


NOTHING = Totals(
    closed=dict.fromkeys(CLOSED_REASONS, 0), rejected=dict.fromkeys(REJECTED_REASONS, 0)
)
NO_GAUGES = UpstreamGauges(0, 0, 0, 0, 0)
NO_TIMES = Histogram((0,) * (HISTOGRAM_WORDS - 1), 0.0)


def _histogram(words: list[int], first: int) -> Histogram:
    *counts, sum_us = words[first : first + HISTOGRAM_WORDS]
    return Histogram(tuple(counts), sum_us / 1e6)
