"""A pump that gives things away: flows to be tried again, halves to the kernel relay."""

from __future__ import annotations

from collections.abc import Callable

from tenantproxy.dataplane.counters import Route
from tenantproxy.dataplane.flow import Flow, Half
from tenantproxy.dataplane.masks import IN, OUT, READ
from tenantproxy.dataplane.pump import Pump

_ROUTE_CLOSED = int(Route.CLOSED)  # an IntEnum is slower as an index


class LendingPump(Pump):
    """The pump of an engine. What is here runs once or twice in a flow's life."""

    def release(self, flow: Flow) -> bool:
        """Let go of a flow on which no byte went either way: it may `join` again. Always True.

        The server's socket is closed. What the client says meanwhile waits in
        its socket; what was read of it and not sent is sent to the next server.
        """
        client, server = flow.client, flow.server
        assert server is not None  # noqa: S101 - for the type checker
        if server.pending is not None:
            flow.unsent = bytes(server.pending)
        self._unwatch(client)
        del self._halves[client.fd], client.peer, server.peer
        client.paused = client.eof = client.broken = False
        flow.turns = 0
        flow.route.cells[_ROUTE_CLOSED] += 1
        self.drop_server(flow)
        return True

    # For the kernel relay: read in another way, or not at all for a while -------

    def read_by(self, half: Half, read: Callable[[Half, int], None]) -> None:
        """Call `read` when the half can be read; it may call `self.read`."""
        half.read = read
        if half.mask == READ:
            half.on = read

    def lend(self, half: Half, mask: int, on: Callable[[Half, int], None]) -> None:
        """Do not read the half until `take_back`; call `on` with the events of the mask."""
        half.paused = True
        self._watch(half, mask)
        half.on = on

    def pause(self, half: Half) -> None:
        """Do not read the half until `take_back`; what is pending is written."""
        half.paused = True
        self._watch(half, OUT if half.pending else 0)

    def take_back(self, half: Half, read: Callable[[Half, int], None]) -> None:
        """Read the half again, by `read`, unless its peer cannot be written to any more.

        Level-triggered: what waits already is reported. If the mask becomes `READ` later,
        `read` has to ask for the edge `again`.
        """
        half.paused = False
        half.read = read
        if not half.eof:
            self._watch(half, IN | OUT if half.pending else IN)

    def was_reset(self, half: Half) -> None:
        """The remote end of the half has reset it: end the flow."""
        self._reset(half)
