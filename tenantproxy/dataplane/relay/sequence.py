"""Where a stream goes on: the sequence number of the byte that is read next (tcp(7), TCP_REPAIR).

The program compares it with what comes, so that a segment which was sent again
brings nothing that user space had read before the link.
"""

from __future__ import annotations

import socket
from errno import EOPNOTSUPP

from tenantproxy.dataplane.flow import Socket, waiting
from tenantproxy.dataplane.relay.tcp_info import TRIES, TcpInfo

_REPAIR, _QUEUE, _SEQUENCE = 19, 20, 21
_ON, _OFF_WITHOUT_PROBE = 1, -1
_RECEIVING = 1


def next_sequence(sock: Socket, read: int | None = None) -> int:
    """Return the sequence number of the first byte that user space has not read.

    Args:
        sock: established, and nobody reads it meanwhile.
        read: how many bytes user space has read by its own books; None: not known.

    Raises:
        OSError: the kernel refuses; `filename` names the step. EOPNOTSUPP: it is not established
            any more, more comes all the time, or the kernel's books say otherwise (an urgent
            mark waits, say).
    """
    reuse = sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, _REPAIR, _ON)
    except OSError as error:
        raise OSError(error.errno, error.strerror, "ask where a stream goes on") from None
    try:
        sock.setsockopt(socket.IPPROTO_TCP, _QUEUE, _RECEIVING)
        for _ in range(TRIES):
            end = _end(sock)
            info, unread = TcpInfo(sock), waiting(sock.fileno())
            # Asked last, so that all three are of one moment. A FIN has a number of its own.
            if end == _end(sock) and info.established:
                if read is None or info.received - unread == read:
                    return (end - unread) % 2**32
                break
    finally:
        sock.setsockopt(socket.IPPROTO_TCP, _REPAIR, _OFF_WITHOUT_PROBE)
        # Repair turns it off, and nobody could bind the port again while this connection lives.
        # (Who binds it just now finds it taken, as he might by anybody's socket.)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    raise OSError(EOPNOTSUPP, "the place in the stream is not known")


def _end(sock: Socket) -> int:
    """Return the sequence number that follows all that was received in order."""
    return sock.getsockopt(socket.IPPROTO_TCP, _SEQUENCE) % 2**32
