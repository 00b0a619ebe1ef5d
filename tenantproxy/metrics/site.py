"""Puts an aiohttp application on an address, or says clearly why it cannot."""

from __future__ import annotations

import errno
import os
import socket

from aiohttp import web

from tenantproxy.errors import AddressRefused

_LAST_ANSWERS_S = 2.0
"""Time that requests under way get when the site closes."""

LINGER_S = 0.5
"""Time to read on after an answer that came before the body's end: closing at once resets the
connection, and the client would not see the answer."""

_HINTS = {
    errno.EADDRINUSE: "set {key}.port to a free port or end the process that has it",
    errno.EACCES: "set {key}.port to 1024 or above, or grant CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "set {key}.address to an address of this host",
}
_WHY = {
    errno.EADDRINUSE: "is taken",
    errno.EACCES: "may not be used by this process",
    errno.EADDRNOTAVAIL: "cannot be had: this host lacks the address",
}


async def start_site(
    app: web.Application, address: str, port: int, what: str
) -> tuple[web.AppRunner, int]:
    """Serve `app`; when this returns, clients are answered.

    Args:
        app: the application; the runner returned owns it from now on.
        address: an IP address; `::` serves IPv4 too.
        port: 0 lets the kernel choose.
        what: `admin` or `metrics`, the key of the document that says where.

    Returns:
        The runner (`cleanup()` ends the site) and the port really bound.

    Raises:
        AddressRefused: it cannot be bound; nothing is left open.
    """
    listening = _bind(address, port, what)
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=_LAST_ANSWERS_S, lingering_time=LINGER_S
    )
    try:
        await runner.setup()
        await web.SockSite(runner, listening).start()
    except BaseException:
        await runner.cleanup()
        listening.close()
        raise
    return runner, int(listening.getsockname()[1])


def _bind(address: str, port: int, what: str) -> socket.socket:
    """Bind and listen by hand: the loop's own way loses the errno in a sentence."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind((address, port))
        listening.listen(128)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        code = error.errno or 0
        why = _WHY.get(code, f"cannot be had: {os.strerror(code) if code else error}")
        hint = _HINTS.get(code, "set {key}.address and {key}.port to something that can be bound")
        raise AddressRefused(
            f"{what} port {port} on {address} {why}", hint=hint.format(key=f"proxy.{what}")
        ) from error
    return listening
