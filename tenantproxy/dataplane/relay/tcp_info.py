"""What the kernel says of a TCP socket (TCP_INFO, linux/tcp.h), as far as bytes are counted."""

from __future__ import annotations

import socket
import struct
from errno import EAGAIN

from tenantproxy.dataplane.flow import Socket, unacknowledged

_BYTES = 136
"""Up to and with `tcpi_bytes_received`: Linux 4.1."""
_ACKNOWLEDGED, _RECEIVED = 120, 128
_U64 = struct.Struct("Q")
TRIES = 3
"""Questions about one moment that are asked again when something came between them."""
ESTABLISHED, CLOSED = 1, 7
"""TCP_ESTABLISHED: no FIN went or came. TCP_CLOSE: reset, or closed both ways."""


class TcpInfo:
    """One answer of the kernel."""

    __slots__ = ("_raw",)

    def __init__(self, sock: Socket) -> None:
        """Ask; the socket's lock is taken, so what was being received has been received.

        Raises:
            OSError: the socket is closed.
        """
        self._raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES)

    @property
    def established(self) -> bool:
        """Neither end has said FIN or RST."""
        return self._raw[0] == ESTABLISHED

    @property
    def closed(self) -> bool:
        """Nothing can be written any more."""
        return self._raw[0] == CLOSED

    @property
    def received(self) -> int:
        """Bytes that came in order, a FIN counted as one."""
        count: int = _U64.unpack_from(self._raw, _RECEIVED)[0]
        return count

    @property
    def acknowledged(self) -> int:
        """Bytes that the other end has acknowledged; our SYN and FIN count as one each."""
        count: int = _U64.unpack_from(self._raw, _ACKNOWLEDGED)[0]
        return count


def written(sock: Socket, info: TcpInfo | None = None) -> int:
    """Return how many bytes the socket took to send, sent or not; SYN and FIN count as one each.

    `info` is what the kernel has just said of it; without it, it is asked. An ACK that comes
    between the two questions makes it fewer, never more. What was sent and sent again
    (`tcpi_bytes_sent`) is no account of it: a segment that the queue of the device drops is
    counted each time it is tried.

    Raises:
        OSError: the socket is closed.
    """
    return (info or TcpInfo(sock)).acknowledged + unacknowledged(sock.fileno())


def exactly_written(sock: Socket) -> int:
    """Return `written`, when no ACK came between the two questions.

    Raises:
        OSError: as `written`; EAGAIN: one came each time.
    """
    for _ in range(TRIES):
        before, waits = TcpInfo(sock).acknowledged, unacknowledged(sock.fileno())
        if TcpInfo(sock).acknowledged == before:
            return before + waits
    raise BlockingIOError(EAGAIN, "ACKs come all the time")


def totals(sock: Socket) -> tuple[int, int]:
    """Return how many bytes the socket took to send, as `written`, and how many came in order.

    ACKs that come between the questions all the time make the first one more, never fewer.

    Raises:
        OSError: the socket is closed.
    """
    fd = sock.fileno()
    waits, info = unacknowledged(fd), TcpInfo(sock)
    for _ in range(TRIES):
        if not waits or (now := unacknowledged(fd)) == waits:
            break
        waits, info = now, TcpInfo(sock)
    return info.acknowledged + waits, info.received
