"""One check of one endpoint: spoken to as a client's connection would be, answered in one value."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from typing import Final

from tenantproxy.clock import monotonic_s
from tenantproxy.health import http, tcp
from tenantproxy.health.target import Result, Target
from tenantproxy.health.wire import TlsWire, Wire, connected
from tenantproxy.model.span import span
from tenantproxy.model.spec import ProxyProtocol

PROXY_HEADERS: Final[dict[ProxyProtocol, bytes]] = {
    "v1": b"PROXY UNKNOWN\r\n",
    "v2": b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00",
}
"""Of a connection that nobody is behind: v1 has only UNKNOWN for it, v2 the command LOCAL
(PROXY protocol, sections 2.1 and 2.2)."""

_UNABLE: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
"""Our own want. That no local port is free is not one: connections of clients fail of it too."""
_REASONS: Final = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset before it answered",
    errno.EPIPE: "closed before it answered",
    errno.ETIMEDOUT: "timed out",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
    errno.EADDRNOTAVAIL: "no local address or port",
}
_LONGEST_REASON: Final = 120


async def check(target: Target, timeout_s: float) -> Result:
    """Ask an endpoint whether it is well.

    It takes at most `timeout_s`, connecting and TLS included, and leaves no socket behind, also
    when it is cancelled. It never raises but for a fault of ours. The reason is short and holds
    nothing of an answer but the HTTP code.
    """
    began_s = monotonic_s()
    passed, reason, unable = False, "", False
    deadline = asyncio.timeout(timeout_s)
    try:
        async with deadline:
            passed, reason = await _ask(target, deadline)
    except socket.gaierror:
        reason = "no such address on this host"
    except ssl.SSLError as error:
        reason = f"no TLS: {_tls_reason(error)}"
    except OSError as error:
        if deadline.expired():
            reason = f"timed out after {span(timeout_s)}"
        else:
            reason, unable = _reason(error), error.errno in _UNABLE
    return Result(passed, reason[:_LONGEST_REASON], monotonic_s() - began_s, unable)


async def _ask(target: Target, deadline: asyncio.Timeout) -> tuple[bool, str]:
    rule = target.rule
    async with connected(target.host, rule.port or target.port) as plain:
        if target.send_proxy is not None:
            await plain.send(PROXY_HEADERS[target.send_proxy])
        wire: Wire = plain
        if target.tls is not None:
            name = target.server_name or target.host.partition("%")[0]
            try:
                secured = TlsWire(plain, target.tls, name)
            except ValueError:  # DNS may say what is no host name: `a..b`, or a label too long
                return False, "no TLS: the name is not that of a host"
            await secured.handshake()
            wire = secured
        if rule.http is not None:
            return await http.ask(wire, rule.http, target.name, deadline)
        assert rule.tcp is not None  # noqa: S101 - the document promises one of the two
        return await tcp.ask(wire, rule.tcp)


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLEOFError):
        return "closed before it answered"
    return (error.reason or "protocol error").lower().replace("_", " ")


def _reason(error: OSError) -> str:
    number = error.errno or 0
    return _REASONS.get(number) or os.strerror(number).lower()
