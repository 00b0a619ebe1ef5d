"""What comes to the pump and what it gives away: connects, flows, halves for the kernel relay."""

from __future__ import annotations

from collections.abc import Callable

from tenantproxy.dataplane.counters import Route
from tenantproxy.dataplane.flow import OVER, UNWATCHED, Flow, Half, reset
from tenantproxy.dataplane.masks import IN, OUT, READ
from tenantproxy.dataplane.pump import Pump

_ROUTE_CLOSED = int(Route.CLOSED)  # an IntEnum is slower as an index


class LendingPump(Pump):
    """The pump of an engine. What is here runs once or twice in a flow's life."""

    # To the pump, and back --------------------------------------------------

    def has(self, flow: Flow) -> bool:
        """Return True from `join` until the flow ends."""
        return self._halves.get(flow.client.fd) is flow.client

    def connecting(self, half: Half, on: Callable[[Half, int], None], mask: int = OUT) -> None:
        """Call `on` with the events of the mask, as of a connect that has an outcome."""
        self._halves[half.fd] = half
        self._watch(half, mask)
        half.on = on

    def drop_server(self, flow: Flow) -> None:
        """Close the server's socket of a flow that is not connected."""
        server = flow.server
        if server is not None:
            flow.server = None
            if server.mask != UNWATCHED:
                del self._halves[server.fd], server.on
            server.mask = OVER
            del server.flow
            reset(server.sock)

    def join(self, flow: Flow) -> None:
        """Begin to pump: the server is connected."""
        client, server = flow.client, flow.server
        assert server is not None  # noqa: S101 - for the type checker
        route = flow.route
        client.peer, server.peer = server, client
        client.cell, server.cell = route.bytes_in, route.bytes_out
        client.last_ms = server.last_ms = self.now_ms
        client.read = self.read
        server.read = self._insides.read_first if server.sealed else self.read_first
        self._halves[client.fd] = client
        self._halves[server.fd] = server
        if server.sealed:
            self._insides.look(server)
        if flow.unsent:
            server.pending, flow.unsent = memoryview(flow.unsent), b""
            client.paused = True
            self._watch(client, 0)
            self._watch(server, IN | OUT)
            return
        self._watch(server, READ)
        # Most clients have spoken by now: not waiting for the epoll to say so saves a wake-up.
        self._pump(client, IN)
        if client.mask == UNWATCHED:
            self._watch(client, READ)

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
