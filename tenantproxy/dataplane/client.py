"""Who a client is, for choices that must come out the same each time it comes."""

from __future__ import annotations

import socket

from tenantproxy.dataplane.flow import Socket

_MAPPED = bytes(10) + b"\xff\xff"
"""Before an IPv4 address that speaks to an IPv6 socket (RFC 4291, 2.5.5.2)."""


def client_key(sock: Socket) -> bytes:
    """Return the client's address, without its port: 4 bytes of IPv4 or 16 of IPv6.

    An IPv4 client of an IPv6 socket is that IPv4 client. Empty when the client has left.
    """
    try:
        host = sock.getpeername()[0]
    except OSError:
        return b""
    if ":" not in host:
        return socket.inet_aton(host)
    packed = socket.inet_pton(socket.AF_INET6, host)
    return packed[12:] if packed.startswith(_MAPPED) else packed
