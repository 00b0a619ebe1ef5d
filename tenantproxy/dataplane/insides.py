"""Reading halves that speak TLS: what is decrypted already is no event of any epoll.

A full read may leave bytes inside, a handshake may have brought some, and a
half that was paused may have had some all along. Whoever knows of such bytes
has the half looked into; it is read in its turn, one chunk for each half, and
events, timers and accepts have theirs in between.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane.flow import Half

_IN = 1
"""EPOLLIN; also the bit of a mask that says that the half is read."""


class Insides:
    """`pump(half, events)` moves one chunk; `on_error` as in the pump; `before` runs first."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        pump: Callable[[Half, int], None],
        before: Callable[[], object],
        on_error: Callable[[Half, Exception], None],
    ) -> None:
        self._loop = loop
        self._pump = pump
        self._before = before
        self._on_error = on_error
        self._waiting: dict[Half, None] = {}
        self.read, self.read_first = self._read, self._read_first

    def look(self, half: Half) -> None:
        """Read the half soon, if it is still to be read then."""
        if not self._waiting:
            self._loop.call_soon(self._serve)
        self._waiting[half] = None

    def _read(self, half: Half, events: int) -> None:
        self._pump(half, events)
        if half.mask & _IN and half.sock.more:  # type: ignore[attr-defined]
            self.look(half)

    def _read_first(self, half: Half, events: int) -> None:
        """Read from a server until it has said something: what that takes is measured.

        Tickets come before, and are no answer.
        """
        flow, before = half.flow, half.cell[0]
        self._read(half, events)
        if half.cell[0] != before:
            flow.upstream.first_byte(monotonic_s() - flow.at_s)
            if half.read is self.read_first:
                half.read = self.read
                if half.on is self.read_first:
                    half.on = self.read

    def _serve(self) -> None:
        self._before()
        waiting, self._waiting = self._waiting, {}
        for half in waiting:
            if half.mask & _IN:
                try:
                    half.read(half, _IN)
                except Exception as error:  # noqa: BLE001 - whatever it is, it ends this flow only
                    self._on_error(half, error)
