"""Which endpoint of an upstream gets the next connection.

Round robin walks a ring in which every endpoint appears as often as its
weight asks, spread evenly. Least connections takes the lowest
`(live + 1) / weight`; equal ones take turns. Weight 0 is never picked.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Collection, Sequence
from math import gcd
from pathlib import Path
from typing import Protocol

RING_MAX = 1024
"""Longest ring that weights may ask for; above it they are rounded, none to 0."""


class Endpoint:
    """One address, with the number of connections this worker has on it."""

    __slots__ = ("family", "live", "local", "may_self_connect", "sockaddr", "weight")

    def __init__(self, host: str, port: int, weight: int) -> None:
        self.family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sockaddr: tuple[str, int] | tuple[str, int, int, int] = (host, port)
        if "%" in host:
            name, zone = host.split("%", 1)
            scope = int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
            self.sockaddr = (name, port, 0, scope)
        self.weight = weight
        self.live = 0
        self.local = _is_local(host)
        """On this machine a connect is done when connect(2) returns."""
        self.may_self_connect = port in _EPHEMERAL and self.local
        """A connect to a port nobody listens on can meet itself (RFC 9293, 3.5: both ends SYN)."""


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


def _ephemeral_ports() -> range:
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
    except OSError:
        return range(1, 65536)
    low, high = map(int, text.split())
    return range(low, high + 1)


_EPHEMERAL = _ephemeral_ports()


def _is_local(host: str) -> bool:
    """Return True when `host` is an address of this machine: a socket can be bound to it."""
    if ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        return True
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True
