"""Is a flow chatty? The pump reads it, and each turn of the conversation is counted.

A turn is a read of the one after a read of the other; two make a round trip.
Whoever fills a buffer is not talking.
"""

from __future__ import annotations

from collections.abc import Callable

from tenantproxy.dataplane.flow import FIRST_SIZE, OVER, Flow, Half
from tenantproxy.dataplane.lending import LendingPump

_ROUND_TRIP = 2


class Trial:
    """Calls `chatty(flow)` after so many round trips, just when the server has answered.

    If that returns False it is called again after the next round trip.
    """

    def __init__(self, pump: LendingPump, round_trips: int, chatty: Callable[[Flow], bool]) -> None:
        self._pump = pump
        self._turns = _ROUND_TRIP * round_trips
        self._chatty = chatty
        self._read, self._read_first = self._on_read, self._on_first_read

    def begin(self, flow: Flow) -> None:
        """Look at a flow that the pump has just joined."""
        self._pump.read_by(flow.client, self._read)
        if flow.server is not None:
            self._pump.read_by(flow.server, self._read_first)

    def dismiss(self, flow: Flow) -> None:
        """Look no more; the pump keeps the flow."""
        pump = self._pump
        pump.read_by(flow.client, pump.read)
        if flow.server is not None:
            first = flow.server.read in (self._read_first, pump.read_first)
            pump.read_by(flow.server, pump.read_first if first else pump.read)

    def _on_first_read(self, half: Half, events: int) -> None:
        self._count(half, events, self._pump.read_first)

    def _on_read(self, half: Half, events: int) -> None:
        self._count(half, events, self._pump.read)

    def _count(self, half: Half, events: int, read: Callable[[Half, int], None]) -> None:
        flow = half.flow
        before = half.cell[0]
        read(half, events)
        if half.mask == OVER:
            return
        if half.read is not self._read:  # it was the first: the pump has put its own in place
            self._pump.read_by(half, self._read)
        got = half.cell[0] - before
        if got >= FIRST_SIZE:
            self.dismiss(flow)
            return
        of_server = half is flow.server
        if got and of_server == flow.turns % 2:
            flow.turns += 1
            if of_server and flow.turns >= self._turns and not self._chatty(flow):
                flow.turns -= _ROUND_TRIP
