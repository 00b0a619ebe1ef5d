"""Is a flow chatty? The pump reads it, and each turn of the conversation is counted.

A turn is a read of the one after a read of the other; two make a round trip.
Whoever fills a buffer is not talking.
"""

from __future__ import annotations

from collections.abc import Callable

from tenantproxy.dataplane.flow import FIRST_SIZE, OVER, Flow, Half
from tenantproxy.dataplane.pump import Pump

_ROUND_TRIP = 2


class Trial:
    """Calls `chatty(flow)` after so many round trips, just when the server has answered.

    If that returns False it is called again after the next round trip.
    """

    def __init__(self, pump: Pump, round_trips: int, chatty: Callable[[Flow], bool]) -> None:
        self._pump = pump
        self._turns = _ROUND_TRIP * round_trips
        self._chatty = chatty
        self._read = self._on_read

    def begin(self, flow: Flow) -> None:
        """Look at a flow that the pump has just joined."""
        self._pump.read_by(flow.client, self._read)
        if flow.server is not None:
            self._pump.read_by(flow.server, self._read)

    def dismiss(self, flow: Flow) -> None:
        """Look no more; the pump keeps the flow."""
        pump = self._pump
        pump.read_by(flow.client, pump.read)
        if flow.server is not None:
            pump.read_by(flow.server, self._as_pump(flow, flow.server))

    def _as_pump(self, flow: Flow, half: Half) -> Callable[[Half, int], None]:
        """Return how the pump would read; the server's first read is measured."""
        first = half is flow.server and flow.turns < _ROUND_TRIP
        return self._pump.read_first if first else self._pump.read

    def _on_read(self, half: Half, events: int) -> None:
        flow = half.flow
        before = half.cell[0]
        self._as_pump(flow, half)(half, events)
        if half.mask == OVER:
            return
        got = half.cell[0] - before
        if got >= FIRST_SIZE:
            self.dismiss(flow)
            return
        self._pump.read_by(half, self._read)  # the pump's first read puts its own in place
        of_server = half is flow.server
        if got and of_server == flow.turns % 2:
            flow.turns += 1
            if of_server and flow.turns >= self._turns and not self._chatty(flow):
                flow.turns -= _ROUND_TRIP
