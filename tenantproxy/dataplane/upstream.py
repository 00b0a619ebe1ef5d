"""An upstream as a worker knows it: endpoints to pick from, and its counters."""

from __future__ import annotations

import errno
from bisect import bisect_left
from typing import TYPE_CHECKING

from tenantproxy.dataplane import counters
from tenantproxy.dataplane.balancer import Balancer, make_balancer, random_turn
from tenantproxy.dataplane.endpoint import Endpoint
from tenantproxy.dataplane.messages import EndpointOrder, UpstreamOrder

if TYPE_CHECKING:
    from collections import OrderedDict

    from tenantproxy.dataplane.flow import Flow
    from tenantproxy.dataplane.tls_contexts import Seal

_SUM = len(counters.BUCKETS_S) + 1
_CONNECT = int(counters.Upstream.CONNECT)  # an IntEnum is slower as an index
_FIRST_BYTE = int(counters.Upstream.FIRST_BYTE)
_ERRORS = {name: counters.Upstream.ERRORS + i for i, name in enumerate(counters.CONNECT_ERRORS)}
ALWAYS = 3
"""Second attempts that may be under way whatever the budget is: else an upstream with a handful
of connections could not retry at all (Envoy: `min_retry_concurrency`)."""
_NAMES = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETDOWN: "unreachable",
    errno.ECONNRESET: "reset",
}


class Upstream:
    """Replaced in place by `apply`: live connections keep the endpoint they are on."""

    __slots__ = (
        "_away", "at", "balancer", "budget", "cells", "endpoints", "first_byte_s", "id", "keyed",
        "limit", "name", "queue_s", "queue_size", "report", "retrying", "seal", "send_proxy",
        "timeout_s", "tries", "waiting", "warm", "words",
    )  # fmt: skip

    def __init__(self, order: UpstreamOrder, words: counters.CounterFile) -> None:
        self.words = words
        self.id = order.id
        self.at = words.upstream_at(order.block)
        """Where its counter block is, in the files of all workers."""
        self.cells = words.words[self.at : self.at + counters.UPSTREAM_WORDS]
        """Its counter block, words of `counters.Upstream`."""
        self.endpoints: dict[int, Endpoint] = {}
        """Those of the order, by number."""
        self._away: dict[int, Endpoint] = {}
        """Those that have left the order and still have connections; they may come back."""
        self.retrying = 0
        """Attempts under way that follow a failed one."""
        self.waiting: OrderedDict[Flow, float] | None = None
        """Who waits for a slot, since when; the first is the next. Few upstreams ever need one."""
        self.seal: Seal | None = None
        """TLS to the endpoints, see `TlsContexts.renew`."""
        self.balancer: Balancer = make_balancer("round_robin", (), random_turn())
        self.apply(order)

    def apply(self, order: UpstreamOrder) -> None:
        """Take over endpoints, weights, limits and timeouts; endpoints that stay keep counting."""
        self.name = order.name
        self.timeout_s = order.connect_timeout_s
        self.tries = order.connect_tries
        self.budget = order.retry_budget
        self.first_byte_s = order.first_byte_timeout_s
        self.report = order.report
        self.limit = order.max_connections
        self.queue_size = order.queue_size
        self.queue_s = order.queue_timeout_s
        self.warm = order.warm
        self.send_proxy = order.send_proxy
        known: dict[int, Endpoint] = {}
        for wanted in order.endpoints:
            endpoint = known.get(wanted.id) or self._endpoint(wanted)
            if endpoint is not None:
                endpoint.weight, endpoint.server_name = wanted.weight, wanted.server_name
                known[wanted.id] = endpoint
                if not order.report:
                    endpoint.trouble = None
        for endpoint in self.endpoints.values():
            if known.get(endpoint.id) is not endpoint:
                self._leave(endpoint)
        self._away = {number: one for number, one in self._away.items() if one.live}
        self.endpoints = known
        self.balancer = make_balancer(order.balance, tuple(known.values()), self.balancer.turn)
        self.keyed = self.balancer.keyed
        """Of the balancer, at hand."""

    def retire(self) -> None:
        """Count into nothing from now on: the blocks may soon be another upstream's."""
        for endpoint in self.endpoints.values():
            self._leave(endpoint)
        self.endpoints, self._away = {}, {}
        cells = memoryview(bytearray(counters.UPSTREAM_WORDS * counters.WORD)).cast("Q")
        for gauge in counters.UPSTREAM_GAUGES:  # what was counted up will be counted down
            cells[gauge], self.cells[gauge] = self.cells[gauge], 0
        self.cells = cells

    # Endpoints ----------------------------------------------------------------

    def _endpoint(self, wanted: EndpointOrder) -> Endpoint | None:
        """Return the endpoint that is wanted: as it is, as it was, or new."""
        address = (wanted.host, wanted.port)
        known = self.endpoints.get(wanted.id)
        if known is not None and known.address == address:
            return known
        cells = self._cells(wanted.block)
        back = self._away.pop(wanted.id, None)
        if back is not None and back.address == address:
            back.return_to(cells)
            return back
        try:
            return Endpoint(
                *address, wanted.weight, id=wanted.id, cells=cells, server_name=wanted.server_name
            )
        except (OSError, ValueError):
            return None  # an interface that went away: this endpoint only is of no use

    def _cells(self, block: int) -> memoryview:
        at = self.words.endpoint_at(block)
        return self.words.words[at : at + counters.ENDPOINT_WORDS]

    def _leave(self, endpoint: Endpoint) -> None:
        endpoint.leave()
        self._away[endpoint.id] = endpoint

    # Retries ----------------------------------------------------------------------

    def may_retry(self) -> bool:
        """Return True while second attempts are few compared to the live connections."""
        retrying = self.retrying
        return retrying < ALWAYS or retrying < self.budget * sum(
            endpoint.live for endpoint in self.endpoints.values()
        )

    # Counting -------------------------------------------------------------------

    def failed(self, reason: str) -> None:
        """Count a connect that failed, by one of `counters.CONNECT_ERRORS`."""
        self.cells[_ERRORS[reason]] += 1

    def connected(self, took_s: float) -> None:
        """Count a connect and its time."""
        self._observe(_CONNECT, took_s)

    def first_byte(self, took_s: float) -> None:
        """Count the time from connected to the first byte of an answer."""
        self._observe(_FIRST_BYTE, took_s)

    def _observe(self, histogram: int, took_s: float) -> None:
        cells = self.cells
        cells[histogram + bisect_left(counters.BUCKETS_S, took_s)] += 1
        cells[histogram + _SUM] += int(took_s * 1e6)


def reason_of(error: int) -> str:
    """Return the member of `counters.CONNECT_ERRORS` for an errno of connect(2)."""
    return _NAMES.get(error, "other")
