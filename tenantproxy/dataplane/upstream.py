"""An upstream as a worker knows it: endpoints to pick from, and its counters."""

from __future__ import annotations

import errno
from bisect import bisect_left

from tenantproxy.dataplane import counters
from tenantproxy.dataplane.balancer import Balancer, make_balancer, random_turn
from tenantproxy.dataplane.endpoint import Endpoint
from tenantproxy.dataplane.messages import UpstreamOrder

_SUM = len(counters.BUCKETS_S) + 1
_CONNECT = int(counters.Upstream.CONNECT)  # an IntEnum is slower as an index
_FIRST_BYTE = int(counters.Upstream.FIRST_BYTE)
_ERRORS = {name: counters.Upstream.ERRORS + i for i, name in enumerate(counters.CONNECT_ERRORS)}
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

    __slots__ = ("_by_address", "balancer", "cells", "name", "timeout_s", "tries")

    def __init__(self, order: UpstreamOrder, cells: memoryview) -> None:
        self.cells = cells
        """Its counter block, words of `counters.Upstream`."""
        self._by_address: dict[tuple[str, int], Endpoint] = {}
        self.balancer: Balancer = make_balancer("round_robin", (), random_turn())
        self.apply(order)

    def apply(self, order: UpstreamOrder) -> None:
        """Take over endpoints, weights and timeouts; addresses that stay keep their counts."""
        self.name = order.name
        self.timeout_s = order.connect_timeout_s
        self.tries = order.connect_tries
        known: dict[tuple[str, int], Endpoint] = {}
        for wanted in order.endpoints:
            address = (wanted.host, wanted.port)
            endpoint = self._by_address.get(address)
            if endpoint is None:
                try:
                    endpoint = Endpoint(wanted.host, wanted.port, wanted.weight)
                except (OSError, ValueError):
                    continue  # an interface that went away: this endpoint only is of no use
            endpoint.weight = wanted.weight
            known[address] = endpoint
        self._by_address = known
        self.balancer = make_balancer(order.balance, tuple(known.values()), self.balancer.turn)

    def retire(self) -> None:
        """Count into nothing from now on: the block may soon be another upstream's."""
        self.cells = memoryview(bytearray(counters.UPSTREAM_WORDS * counters.WORD)).cast("Q")

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
