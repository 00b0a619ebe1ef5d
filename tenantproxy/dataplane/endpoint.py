"""One address of an upstream, as a worker knows it."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

from tenantproxy.dataplane import counters


class Endpoint:
    """One address, with the number of connections this worker has on it."""

    __slots__ = (
        "cells", "family", "id", "live", "local", "may_self_connect", "seed", "server_name",
        "sockaddr", "weight",
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
        self.cells = cells if cells is not None else _nowhere()
        """Its counter block, words of `counters.Endpoint`; without one, a block nobody reads."""
        self.server_name = server_name
        """For TLS: the name under which it is known; empty: its address."""
        self.seed = 0
        """Its number in `source_hash`; 0 until that asked for it."""
        self.local = _is_local(host)
        """On this machine a connect is done when connect(2) returns."""
        self.may_self_connect = port in _EPHEMERAL and self.local
        """A connect to a port nobody listens on can meet itself (RFC 9293, 3.5: both ends SYN)."""


def _nowhere() -> memoryview:
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
