"""Has a byte gone either way? Asked of the kernel, for flows that are to be tried again.

What user space knows is not enough: of what it wrote it does not know what
the kernel still has, and the kernel relay passes bytes without a word. With TLS the kernel knows
too much: handshakes and tickets; there the socket that encrypts is asked.
"""

from __future__ import annotations

from typing import cast

from tenantproxy.dataplane.flow import Flow, unacknowledged, unread
from tenantproxy.dataplane.relay.tcp_info import TcpInfo
from tenantproxy.dataplane.tls_socket import TlsSocket

_SYN = 1
"""Which counts as a byte that was acknowledged."""


def server_spoke(flow: Flow) -> bool:
    """Return True when the server sent something for the client, or said FIN."""
    server = flow.server
    if flow.answered or server is None or server.eof:
        return True
    if server.sealed:  # tickets came unasked; what else came was read, or waits
        return unread(server.fd)
    try:
        return TcpInfo(server.sock).received > 0
    except OSError:
        return True


def may_be_tickets(flow: Flow) -> bool:
    """Return True when all that the server is known to have sent may be TLS's own, not yet read."""
    server = flow.server
    return server is not None and server.sealed and not flow.answered and not server.eof


def client_was_heard(flow: Flow) -> bool:
    """Return True when the server's socket took a byte of the client's, sent or not.

    In case of doubt True. An ACK that comes between the two questions to the kernel is counted
    twice; in the other order it would be missed.
    """
    server = flow.server
    if server is None:
        return True
    if server.sealed:
        return cast("TlsSocket", server.sock).spoken
    fin = flow.client.eof and not server.broken  # passed on, and counts as a byte
    try:
        taken = unacknowledged(server.fd) + TcpInfo(server.sock).acknowledged
    except OSError:
        return True
    return taken > _SYN + flow.said_bytes + fin


def only_said_fin(flow: Flow) -> bool:
    """Return True when the client ended without a byte, as TCP health checks do.

    Many a server answers that with an RST, and is well.
    """
    # What could not be sent is no end of input: the pump stops reading then.
    return flow.client.eof and not flow.unsent and not client_was_heard(flow)
