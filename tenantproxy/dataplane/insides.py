"""Reading halves that speak TLS: what is decrypted already is no event of any epoll.

A full read may leave bytes inside, a handshake may have brought some, and a
half that was paused may have had some all along. Whoever knows of such bytes
has the half looked into; it is read in its turn, one chunk for each half, and
events, timers and accepts have theirs in between.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable

from tenantproxy.dataplane.flow import OVER, Flow, Half
from tenantproxy.dataplane.masks import IN


class Insides:
    """Reads by the pump's own means.

    `pump(half, events)` moves one chunk. `heard(half, flow, before)` is told of each read until
    it says that the server has answered. `touch` brings the pump's clock up to date. `on_error`
    as in the pump.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        pump: Callable[[Half, int], None],
        heard: Callable[[Half, Flow, int], bool],
        touch: Callable[[], object],
        on_error: Callable[[Half, Exception], None],
    ) -> None:
        self._loop = loop
        self._pump = pump
        self._heard = heard
        self._touch = touch
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
        if half.mask > 0 and half.mask & IN and half.sock.more:  # type: ignore[attr-defined]
            self.look(half)

    def _read_first(self, half: Half, events: int) -> None:
        """Read from a server that has not answered. Tickets come before, and are no answer."""
        flow, before = half.flow, half.cell[0]
        self._read(half, events)
        # It may be paused now, and is heard for the first time all the same.
        if self._heard(half, flow, before) and half.mask != OVER:
            half.read = self.read
            if half.on is self.read_first:
                half.on = self.read

    def _serve(self) -> None:
        self._touch()
        waiting, self._waiting = self._waiting, {}
        for half in waiting:
            if half.mask > 0 and half.mask & IN:
                try:
                    half.read(half, IN)
                except Exception as error:  # noqa: BLE001 - whatever it is, it ends this flow only
                    self._on_error(half, error)
