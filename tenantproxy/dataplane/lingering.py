"""Sockets that wait to pass an RST on, until their reader has taken what came before it."""

from __future__ import annotations

import socket
from asyncio import AbstractEventLoop, TimerHandle

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane.flow import Socket, reset, unsent

LINGER_S = 30.0
"""Longest wait for a reader to take what came before an RST."""
LINGER_STEP_S = 0.02


class Lingering:
    """Resets each socket when the kernel has sent what it took, or the wait is over."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._until_s: dict[Socket, float] = {}
        self._timer: TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._until_s)

    def reset(self, sock: Socket) -> None:
        """Reset the socket, now or when nothing is unsent any more."""
        if not unsent(sock):
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
            if gone or now_s >= until_s or not unsent(sock):
                del self._until_s[sock]
                reset(sock)
        self._timer = None
        if self._until_s:
            self._timer = self._loop.call_later(LINGER_STEP_S, self._step)
