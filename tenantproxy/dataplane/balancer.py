"""Which endpoint of an upstream gets the next connection.

Round robin walks a ring in which every endpoint appears as often as its
weight asks, spread evenly. Least connections takes the lowest
`(live + 1) / weight`; equal ones take turns. Weight 0 is never picked.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from math import gcd
from typing import Protocol

from tenantproxy.dataplane.endpoint import Endpoint

RING_MAX = 1024
"""Longest ring that weights may ask for; above it they are rounded, none to 0."""


class Balancer(Protocol):
    """Picks endpoints; keeps its turn in `turn` so that a successor can go on from there."""

    turn: int

    def pick(self, exclude: Collection[Endpoint]) -> Endpoint | None:
        """Return the next endpoint that is not in `exclude`, or None when there is none."""


class RoundRobin:
    """Weighted round robin.

    Second tries walk the ring on a count of their own. If they moved `turn`,
    two endpoints of which one is dead would fall into step, and every
    connection would meet the dead one first.
    """

    __slots__ = ("_again", "_ring", "turn")

    def __init__(self, endpoints: Sequence[Endpoint], turn: int) -> None:
        self._ring = ring(endpoints)
        self._again = turn
        self.turn = turn

    def pick(self, exclude: Collection[Endpoint]) -> Endpoint | None:
        """Return the next endpoint on the ring."""
        length = len(self._ring)
        if not exclude:
            self.turn += 1
            return self._ring[self.turn % length] if length else None
        for _ in range(length):
            self._again += 1
            endpoint = self._ring[self._again % length]
            if endpoint not in exclude:
                return endpoint
        return None


class LeastConnections:
    """Fewest live connections for their weight."""

    __slots__ = ("_endpoints", "turn")

    def __init__(self, endpoints: Sequence[Endpoint], turn: int) -> None:
        self._endpoints = tuple(e for e in endpoints if e.weight > 0)
        self.turn = turn

    def pick(self, exclude: Collection[Endpoint]) -> Endpoint | None:
        """Return the least loaded endpoint; the first in turn of equal ones."""
        endpoints = self._endpoints
        length = len(endpoints)
        self.turn += 1
        best: Endpoint | None = None
        least = 0.0
        for i in range(self.turn, self.turn + length):
            endpoint = endpoints[i % length]
            load = (endpoint.live + 1) / endpoint.weight
            if (best is None or load < least) and endpoint not in exclude:
                best, least = endpoint, load
        return best


def ring(endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """Return every endpoint `weight` times (in lowest terms), each spread evenly."""
    some = [e for e in endpoints if e.weight > 0]
    divisor = gcd(*(e.weight for e in some)) or 1
    shares = [e.weight // divisor for e in some]
    if (total := sum(shares)) > RING_MAX:
        shares = [max(1, round(share * RING_MAX / total)) for share in shares]
    places = sorted(
        ((2 * k + 1) / share, i) for i, share in enumerate(shares) for k in range(share)
    )
    return tuple(some[i] for _, i in places)


def random_turn() -> int:
    """Return where to begin, so that many workers and upstreams do not begin alike."""
    return int.from_bytes(os.urandom(2))
