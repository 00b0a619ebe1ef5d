"""Sockets that wait to pass an RST on, until the other end has what came before it.

Until it has acknowledged that, and not only until it is sent: of a segment that
is lost nothing would be sent again, and the RST, whose number is then behind a
hole, is only answered with a challenge ACK (RFC 5961, 3.2), which Linux leaves out
when it has sent one to this end within half a second. The reader would wait for ever.
"""

from __future__ import annotations

import socket
from asyncio import AbstractEventLoop, TimerHandle

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane.flow import Socket, reset, unacknowledged

LINGER_S = 30.0
"""Longest wait for a reader to take what came before an RST."""
LINGER_STEP_S = 0.02


class Lingering:
    """Resets each socket when all that the kernel took is acknowledged, or the wait is over."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._until_s: dict[Socket, float] = {}
        self._timer: TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._until_s)

    def reset(self, sock: Socket) -> None:
        """Reset the socket, now or when nothing is under way any more."""
        if not unacknowledged(sock.fileno()):
            reset(sock)
            return
        self._until_s[sock] = monotonic_s() + LINGER_S
        if self._timer is None:
            self._timer = self._loop.call_later(LINGER_STEP_S, self._step)

    def close(self) -> None:
        """Reset those that wait."""
        if self._timer is not None:
            self._timer.cancel()
        for sock in self._until_s:
            reset(sock)
        self._until_s.clear()

    def _step(self) -> None:
        now_s = monotonic_s()
        for sock, until_s in tuple(self._until_s.items()):
            gone = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if gone or now_s >= until_s or not unacknowledged(sock.fileno()):
                del self._until_s[sock]
                reset(sock)
        self._timer = None
        if self._until_s:
            self._timer = self._loop.call_later(LINGER_STEP_S, self._step)
