"""Which endpoint of an upstream gets the next connection.

Every balancer gives an endpoint what its weight asks for, and weight 0 is never
picked. One is made anew whenever endpoints or weights change, so making one
is cheap: half a millisecond for a thousand endpoints.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from math import gcd
from random import random
from typing import ClassVar, Protocol

from tenantproxy.dataplane.endpoint import Endpoint
from tenantproxy.dataplane.line import Line
from tenantproxy.dataplane.source_hash import SourceHash
from tenantproxy.model.spec import Balance
from tenantproxy.model.split import GOLDEN_STEP, LINE

RING_MAX = 1024
"""Longest ring; weights that ask for a longer one are walked on a line instead."""
SCAN_MAX = 16
"""So many endpoints are all looked at for the least connections; of more, two."""


class Balancer(Protocol):
    """Picks endpoints; keeps its turn in `turn` so that a successor can go on from there."""

    keyed: ClassVar[bool]
    """`pick` wants the `key` of the client (`client.client_key`); others must not make one:
    it costs a question to the kernel."""
    turn: int

    def pick(self, exclude: Collection[Endpoint], key: bytes = b"") -> Endpoint | None:
        """Return the next endpoint that is not in `exclude`, or None when there is none."""


def make_balancer(kind: Balance, endpoints: Sequence[Endpoint], turn: int) -> Balancer:
    """Return the balancer for these endpoints, with the weights they have now.

    `turn` is that of its predecessor, or `random_turn()`.
    """
    match kind:
        case "round_robin":
            short = sum(_shares(endpoints)) <= RING_MAX
            return RoundRobin(endpoints, turn) if short else LongRoundRobin(endpoints, turn)
        case "least_connections":
            few = sum(endpoint.weight > 0 for endpoint in endpoints) <= SCAN_MAX
            return LeastConnections(endpoints, turn) if few else LeastOfTwo(endpoints, turn)
        case "random":
            return Random(endpoints, turn)
        case "source_hash":
            return SourceHash(endpoints, turn)


class RoundRobin:
    """Weighted round robin on a ring, in which every endpoint stands as often as its weight asks.

    Second tries walk the ring on a count of their own. If they moved `turn`,
    two endpoints of which one is dead would fall into step, and every
    connection would meet the dead one first.
    """

    __slots__ = ("_again", "_length", "_ring", "turn")

    keyed: ClassVar[bool] = False

    def __init__(self, endpoints: Sequence[Endpoint], turn: int) -> None:
        self._ring = ring(endpoints)
        self._length = len(self._ring)
        self._again = turn
        self.turn = turn

    def pick(self, exclude: Collection[Endpoint], key: bytes = b"") -> Endpoint | None:  # noqa: ARG002
        """Return the next endpoint on the ring."""
        length = self._length
        if not exclude:
            self.turn = turn = self.turn + 1
            return self._ring[turn % length] if length else None
        for _ in range(length):
            self._again += 1
            endpoint = self._ring[self._again % length]
            if endpoint not in exclude:
                return endpoint
        return None


class LongRoundRobin:
    """Weighted round robin for weights of which a ring would be long: the golden walk on a line.

    As exact as the ring, and nearly as smooth: an endpoint's turns are never further apart than
    2.7 times its fair distance (three-distance theorem, see `model.split`).
    """

    __slots__ = ("_again", "_line", "turn")

    keyed: ClassVar[bool] = False

    def __init__(self, endpoints: Sequence[Endpoint], turn: int) -> None:
        self._line = Line(endpoints)
        self._again = turn
        self.turn = turn

    def pick(self, exclude: Collection[Endpoint], key: bytes = b"") -> Endpoint | None:  # noqa: ARG002
        """Return the endpoint at the next step of the walk."""
        if exclude:
            self._again += 1
            return self._line.at(_golden(self._again), exclude)
        self.turn += 1
        return self._line.at(_golden(self.turn))


class LeastConnections:
    """The lowest `(live + 1) / weight` of all; equal ones take turns."""

    __slots__ = ("_endpoints", "turn")

    keyed: ClassVar[bool] = False

    def __init__(self, endpoints: Sequence[Endpoint], turn: int) -> None:
        self._endpoints = tuple(e for e in endpoints if e.weight > 0)
        self.turn = turn

    def pick(self, exclude: Collection[Endpoint], key: bytes = b"") -> Endpoint | None:  # noqa: ARG002
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


class LeastOfTwo:
    """The lower `(live + 1) / weight` of two, drawn by weight: the power of two choices.

    Nearly as even as looking at all of them (Mitzenmacher 2001), at the price of two bisections;
    and workers that do not know of each other's connections do not all run to the same one.
    """

    __slots__ = ("_line", "turn")

    keyed: ClassVar[bool] = False

    def __init__(self, endpoints: Sequence[Endpoint], turn: int) -> None:
        self._line = Line(endpoints)
        self.turn = turn

    def pick(self, exclude: Collection[Endpoint], key: bytes = b"") -> Endpoint | None:  # noqa: ARG002
        """Return the less loaded of two endpoints; the one that was drawn first of equal ones."""
        one = self._line.at(random(), exclude)  # noqa: S311 - nothing secret is made of it
        if one is None:
            return None
        other = self._line.at(random(), (*exclude, one))  # noqa: S311
        if other is None or (one.live + 1) * other.weight <= (other.live + 1) * one.weight:
            return one
        return other


class Random:
    """Any endpoint, as likely as its weight says."""

    __slots__ = ("_line", "turn")

    keyed: ClassVar[bool] = False

    def __init__(self, endpoints: Sequence[Endpoint], turn: int) -> None:
        self._line = Line(endpoints)
        self.turn = turn

    def pick(self, exclude: Collection[Endpoint], key: bytes = b"") -> Endpoint | None:  # noqa: ARG002
        """Return an endpoint by chance."""
        return self._line.at(random(), exclude)  # noqa: S311 - nothing secret is made of it


def ring(endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """Return every endpoint `weight` times (in lowest terms), each spread evenly."""
    some = [e for e in endpoints if e.weight > 0]
    places = sorted(
        ((2 * k + 1) / share, i) for i, share in enumerate(_shares(some)) for k in range(share)
    )
    return tuple(some[i] for _, i in places)


def random_turn() -> int:
    """Return where to begin, so that many workers and upstreams do not begin alike."""
    return int.from_bytes(os.urandom(2))


def _shares(endpoints: Sequence[Endpoint]) -> list[int]:
    """Return the weights above 0, in lowest terms."""
    weights = [e.weight for e in endpoints if e.weight > 0]
    divisor = gcd(*weights) or 1
    return [weight // divisor for weight in weights]


def _golden(turn: int) -> float:
    """Return where the golden walk is at this turn, as a part of the line."""
    return (turn * GOLDEN_STEP % LINE) / LINE
