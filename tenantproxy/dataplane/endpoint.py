"""One address of an upstream, as a worker knows it."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from tenantproxy.dataplane import counters

if TYPE_CHECKING:
    from tenantproxy.dataplane.outcomes import Trouble

_OPENED, _CLOSED, _FAILED = map(int, counters.Endpoint)  # an IntEnum is slower as an index
_LEFT_OPEN = _FAILED + 1
"""Of a block of nobody's: what was open when its endpoint left the order."""


class Endpoint:
    """One address, with the number of connections this worker has on it."""

    __slots__ = (
        "address", "cells", "family", "id", "live", "local", "may_self_connect", "seed",
        "server_name", "sockaddr", "trouble", "weight",
    )  # fmt: skip

    def __init__(
        self,
        host: str,
        port: int,
        weight: int,
        *,
        id: int = 0,  # noqa: A002 - as in `EndpointOrder`
        cells: memoryview | None = None,
        server_name: str = "",
    ) -> None:
        self.address = (host, port)
        """As the order says it."""
        self.family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sockaddr: tuple[str, int] | tuple[str, int, int, int] = (host, port)
        if "%" in host:
            name, zone = host.split("%", 1)
            scope = int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
            self.sockaddr = (name, port, 0, scope)
        self.weight = weight
        """Relative to the other endpoints, slow start included. Balancers look at it when made."""
        self.live = 0
        self.id = id
        """`EndpointOrder.id`."""
        self.cells = cells if cells is not None else nowhere()
        """Its counter block, words of `counters.Endpoint`; without one, a block nobody reads."""
        self.server_name = server_name
        """For TLS: the name under which it is known; empty: its address."""
        self.seed = 0
        """Its number in `source_hash`; 0 until that asked for it."""
        self.trouble: Trouble | None = None
        """What fails with it at present; None: nothing, as nearly always."""
        self.local = _is_local(host)
        """On this machine a connect is done when connect(2) returns."""
        self.may_self_connect = port in _EPHEMERAL and self.local
        """A connect to a port nobody listens on can meet itself (RFC 9293, 3.5: both ends SYN)."""

    def leave(self) -> None:
        """Count into nothing, until `return_to`: the block may soon be another endpoint's.

        Its connections live on; in the block none is open any more.
        """
        block, self.cells, self.trouble = self.cells, nowhere(), None
        still_open = block[_OPENED] - block[_CLOSED]
        block[_CLOSED] = block[_OPENED]
        self.cells[_OPENED] = self.cells[_LEFT_OPEN] = still_open

    def return_to(self, block: memoryview) -> None:
        """Count again in the block that it left, as if it had not left."""
        away, self.cells = self.cells, block
        block[_OPENED] += away[_OPENED] - away[_LEFT_OPEN]
        block[_CLOSED] = max(0, block[_CLOSED] + away[_CLOSED] - away[_LEFT_OPEN])
        block[_FAILED] += away[_FAILED]


def nowhere() -> memoryview:
    """Return a counter block that nobody reads."""
    return memoryview(bytearray(counters.ENDPOINT_WORDS * counters.WORD)).cast("Q")


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
