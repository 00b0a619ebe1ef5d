"""What the kernel says of a TCP socket (TCP_INFO, linux/tcp.h), as far as bytes are counted."""

from __future__ import annotations

import socket
import struct

from tenantproxy.dataplane.flow import Socket

_BYTES = 232
"""Up to and with `tcpi_bytes_retrans`: Linux 4.19."""
_RECEIVED, _NOT_SENT, _SENT = 128, 144, 200
_U64 = struct.Struct("Q")
_U32 = struct.Struct("I")
_TWO_U64 = struct.Struct("2Q")
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
    def written(self) -> int:
        """Bytes that the socket took to send, sent or not: sent, less sent again, and unsent."""
        sent, again = _TWO_U64.unpack_from(self._raw, _SENT)
        unsent: int = _U32.unpack_from(self._raw, _NOT_SENT)[0]
        count: int = sent - again + unsent
        return count
