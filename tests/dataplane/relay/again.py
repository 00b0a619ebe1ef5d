"""Connections at sequence numbers of our choice, so that TCP may send bytes a second time.

With TCP_REPAIR (the kernel's checkpoint and restore of connections) a socket
takes the place of another and goes on where it is told.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Any

_REPAIR, _QUEUE, _SEQUENCE, _OPTIONS, _WINDOW = 19, 20, 21, 22, 29
_RECEIVING, _SENDING = 1, 2
_ON, _OFF_WITHOUT_PROBE = 1, -1
_MSS, _WINDOW_SCALE = 2, 3
_MSS_BYTES = 32_767
"""The most that TCP_MAXSEG takes; two of them leave as one segment."""
_U32 = struct.Struct("I")
_WINDOWS = struct.Struct("5I")
"""snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup"""


@dataclass
class Frozen:
    """One end of a connection whose socket is gone; the other end does not know."""

    ours: Any
    theirs: Any
    sending: int
    receiving: int
    windows: tuple[int, ...]

    def thaw(self) -> socket.socket:
        """Return a socket that goes on, with no call longer than two seconds."""
        tcp = socket.IPPROTO_TCP
        sock = socket.socket()
        sock.settimeout(2)
        sock.setsockopt(tcp, _REPAIR, _ON)  # binds to any port, used or not
        sock.bind(self.ours)
        for queue, number in (_RECEIVING, self.receiving), (_SENDING, self.sending):
            sock.setsockopt(tcp, _QUEUE, queue)
            sock.setsockopt(tcp, _SEQUENCE, _U32.pack(number % 2**32))
        sock.setsockopt(tcp, socket.TCP_MAXSEG, _MSS_BYTES)
        sock.connect(self.theirs)
        options = struct.pack("4I", _MSS, _MSS_BYTES, _WINDOW_SCALE, 7 | 7 << 16)
        sock.setsockopt(tcp, _OPTIONS, options)
        _, *windows, _ = self.windows
        windows = [self.receiving % 2**32, *windows, self.receiving % 2**32]
        sock.setsockopt(tcp, _WINDOW, _WINDOWS.pack(*windows))
        sock.setsockopt(tcp, _REPAIR, _OFF_WITHOUT_PROBE)
        sock.setsockopt(tcp, socket.TCP_NODELAY, 1)
        return sock


def freeze(sock: socket.socket) -> Frozen:
    """Close the socket without a word on the wire, and say where it was."""
    tcp = socket.IPPROTO_TCP
    sock.setsockopt(tcp, _REPAIR, _ON)
    at = {}
    for queue in (_RECEIVING, _SENDING):
        sock.setsockopt(tcp, _QUEUE, queue)
        at[queue] = _U32.unpack(sock.getsockopt(tcp, _SEQUENCE, _U32.size))[0]
    windows = _WINDOWS.unpack(sock.getsockopt(tcp, _WINDOW, _WINDOWS.size))
    frozen = Frozen(sock.getsockname(), sock.getpeername(), at[_SENDING], at[_RECEIVING], windows)
    sock.close()
    return frozen
