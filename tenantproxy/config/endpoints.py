"""`host:port`, `[v6]:port` and names, taken apart and checked without asking DNS."""

from __future__ import annotations

import ipaddress
import re

MAX_PORT = 65_535
MAX_NAME = 253
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_EXAMPLE = "write for example 10.0.0.1:8080, web.acme.svc:8080 or [fd00::1]:8080"


def parse_endpoint(text: str) -> tuple[str, int]:
    """Return host and port; the host has no brackets.

    Raises:
        ValueError: it is not an endpoint; `message, hint` in one sentence.
    """
    if "://" in text:
        raise ValueError(f'"{text}" is a URL, {_EXAMPLE}')
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError(f'"{text}" has no port or no host, {_EXAMPLE}')
    if host.startswith("["):
        host = _v6(text, host)
    elif ":" in host:
        raise ValueError(f'"{text}" needs brackets around its address, write [{host}]:{port}')
    else:
        _check_host(text, host)
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= MAX_PORT):  # noqa: PLR2004
        raise ValueError(f'the port of "{text}" is not a number from 1 to {MAX_PORT}, {_EXAMPLE}')
    return host, int(port)


def is_address(host: str) -> bool:
    """Say whether it is an IP address, without brackets."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_name(text: str) -> bool:
    """Say whether DNS could know it: RFC 1035, with the underscores of SRV records (RFC 2782)."""
    labels = text.removesuffix(".").split(".")
    known = len(text) <= MAX_NAME and all(_LABEL.fullmatch(label) for label in labels)
    return known and not labels[-1].isdigit()


def _v6(text: str, host: str) -> str:
    address = host[1:-1]
    try:
        if not host.endswith("]"):
            raise ValueError
        ipaddress.IPv6Address(address)
    except ValueError:
        raise ValueError(f'"{text}" has no IPv6 address in its brackets, {_EXAMPLE}') from None
    return address


def _check_host(text: str, host: str) -> None:
    labels = host.removesuffix(".").split(".")
    if labels[-1].isdigit():
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise ValueError(f'"{host}" is not an IPv4 address, {_EXAMPLE}') from None
        return
    if not is_name(host):
        raise ValueError(f'the host of "{text}" is neither an IP address nor a name, {_EXAMPLE}')
