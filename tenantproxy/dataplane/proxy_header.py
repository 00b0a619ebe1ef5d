"""Headers of the PROXY protocol: what an endpoint is told of the client behind a connection.

Source: HAProxy, doc/proxy-protocol.txt, sections 2.1 (version 1, text) and 2.2 (version 2, binary).
"""

from __future__ import annotations

import ipaddress
import struct

from tenantproxy.dataplane.flow import Socket
from tenantproxy.model.spec import ProxyProtocol

LONGEST = 107
"""Bytes of the longest header that we write; it fits in one packet (2.1)."""

Name = tuple[str, int] | tuple[str, int, int, int] | None
"""What getpeername(2) and getsockname(2) say; None: nothing that the protocol knows."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_FIXED = struct.Struct(">12sBBH")
_PORTS = struct.Struct(">HH")


def header(version: ProxyProtocol, source: Name, destination: Name) -> bytes:
    """Return the bytes that go in front of everything else.

    Args:
        version: `v1` or `v2`.
        source: the client's address and port.
        destination: where the client connected to.

    Two IPv4 addresses make TCP4, also when they are written in IPv6 (RFC 4291, 2.5.5.2); else
    both are written in IPv6. Zones are left out. Without addresses it is `PROXY UNKNOWN`, or
    LOCAL: the endpoint then uses those of the connection.
    """
    if source is None or destination is None:
        return b"PROXY UNKNOWN\r\n" if version == "v1" else _FIXED.pack(_SIGNATURE, _LOCAL, 0, 0)
    ends = _address(source), _address(destination)
    if not all(end.version == 4 for end in ends):  # noqa: PLR2004 - IP's version
        ends = _in_v6(ends[0]), _in_v6(ends[1])
    is_v4 = ends[0].version == 4  # noqa: PLR2004
    if version == "v1":
        family = "TCP4" if is_v4 else "TCP6"
        line = f"PROXY {family} {ends[0]} {ends[1]} {source[1]} {destination[1]}\r\n"
        return line.encode("ascii")
    body = ends[0].packed + ends[1].packed + _PORTS.pack(source[1], destination[1])
    return _FIXED.pack(_SIGNATURE, _PROXY, _TCP4 if is_v4 else _TCP6, len(body)) + body


def header_of(version: ProxyProtocol, client: Socket) -> bytes:
    """Return the header for what came over a client's socket.

    Raises:
        OSError: the client has left, and took its address along.
    """
    return header(version, client.getpeername(), client.getsockname())


def _address(name: tuple[str, int] | tuple[str, int, int, int]) -> _Address:
    address = ipaddress.ip_address(name[0].partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address


def _in_v6(address: _Address) -> ipaddress.IPv6Address:
    if isinstance(address, ipaddress.IPv6Address):
        return address
    return ipaddress.IPv6Address(f"::ffff:{address}")
