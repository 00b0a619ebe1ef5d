"""Addresses that stand in the document, with the zones of this host."""

from __future__ import annotations

import ipaddress
import socket


def literal(host: str) -> str | None:
    """Return an IP address in its usual form; None for a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


def zone_is_here(host: str) -> bool:
    """Say whether the interface that an IPv6 address names (RFC 4007) is one of this host."""
    zone = host.partition("%")[2]
    if not zone or zone.isdigit():
        return True
    try:
        socket.if_nametoindex(zone)
    except OSError:
        return False
    return True
