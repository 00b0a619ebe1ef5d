"""The hot path: bytes from one half of a flow to the other.

One epoll holds every half; its fd is one reader of the loop. A half of which
nothing is wanted but reading is edge-triggered, and an edge is never reported
again: so a FIN, an RST or an urgent mark that is reported together with data
is looked after at once, and a read that filled its buffer asks for the edge
once more. Rules:

* one chunk for each half and event, so that no flow starves another;
* a half with pending bytes pauses its peer: that is all of back-pressure;
* FIN goes on after the last byte, RST goes on as RST, and what came before an
  RST is delivered first;
* an error stays on its flow.

Hot are `ready`, `_pump` and `_watch`: attributes are read once, calls that the
kernel makes unnecessary are left out, and there is one `except` for a batch's
flow. Everything else runs once or twice in a flow's life.
"""

from __future__ import annotations

import select
import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane.counters import Route
from tenantproxy.dataplane.flow import OVER, UNWATCHED, Flow, Half, reset
from tenantproxy.dataplane.insides import Insides
from tenantproxy.dataplane.lingering import Lingering
from tenantproxy.dataplane.listener import CLOSED
from tenantproxy.dataplane.masks import (
    DONTWAIT,
    GONE,
    IN,
    LAST,
    NO_MEMORY,
    OUT,
    RDHUP,
    READ,
    WITH_FIN,
)
from tenantproxy.dataplane.tls_socket import LAST_WORD

BUFFER_BYTES = 262_144
"""Longest read; 1 MiB measured worse for bulk (it leaves the CPU's cache)."""
STALLED_SIZE = 16_384
"""Length of a read after the peer could not take it all: what a stopped reader costs us."""
PARTS = 1024
"""Lengths of which a slice is kept."""
EVENTS = 512
"""Events of one wake-up; the rest waits until timers and accepts had their turn."""
MEMORY_PAUSE_S = 0.01
_ROUTE_CLOSED = int(Route.CLOSED)  # an IntEnum is slower as an index
_DONE = CLOSED["done"]
_CLIENT_RESET = CLOSED["client_reset"]
_UPSTREAM_RESET = CLOSED["upstream_reset"]


class Pump:
    """Moves bytes of the flows it was given by `LendingPump.join`, until they end.

    `on_end(flow, word)` is called once for each, when its sockets are closed;
    `word` is the word of the listener block that counts the reason.
    `on_error(half, error)` is called when serving a half raised what it should not.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        on_end: Callable[[Flow, int], None],
        on_error: Callable[[Half, Exception], None],
    ) -> None:
        self._loop = loop
        self._on_end = on_end
        self._on_error = on_error
        self._epoll = select.epoll()
        self._halves: dict[int, Half] = {}
        # Bound once: a bound method of its own for each half would cost 64 bytes.
        self.read, self.read_first = self._pump, self._first_byte
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._insides = Insides(loop, self._pump, self._heard, self.touch, on_error)
        self._parts: dict[int, memoryview] = {}
        """The beginning of the buffer in lengths that came before: messages are often of one
        length, and to slice is 8 % of the user's instructions of a request."""
        self._lingering = Lingering(loop)
        self.later: list[Callable[[], None]] = []
        """Run after the batch of events: whatever makes sockets. A new fd may have the number
        of one closed a moment ago, whose events are still in the batch."""
        self.now_ms = int(monotonic_s() * 1000)
        """The time of the batch; close enough for idle clocks."""
        self.on_answer: Callable[[Flow], object] = _nothing
        """Called when a server speaks first (or ends without a word), if anybody wants to know:
        its endpoint is in trouble, or the flow has a deadline."""
        self.on_early_reset: Callable[[Flow], bool] = _nothing
        """Called when a server resets before its first byte. True: the flow was released (see
        `LendingPump`)."""
        loop.add_reader(self._epoll.fileno(), self.ready)

    @property
    def lingering(self) -> int:
        """How many sockets wait to pass an RST on."""
        return len(self._lingering)

    def close(self) -> None:
        """Leave the loop; lingering sockets are reset. Flows must have ended before."""
        self._loop.remove_reader(self._epoll.fileno())
        self._lingering.close()
        self._epoll.close()

    def touch(self) -> int:
        """Bring `now_ms` up to date and return it."""
        self.now_ms = now_ms = int(monotonic_s() * 1000)
        return now_ms

    # The hot path ---------------------------------------------------------

    def ready(self) -> None:
        """Serve one batch of events."""
        self.now_ms = int(monotonic_s() * 1000)
        get = self._halves.get
        for fd, events in self._epoll.poll(0, EVENTS):
            half = get(fd)
            if half is not None:
                try:
                    half.on(half, events)
                except Exception as error:  # noqa: BLE001 - whatever it is, it ends this flow only
                    self._on_error(half, error)
        if self.later:
            work, self.later = self.later, []
            for call in work:
                call()

    def _pump(self, half: Half, events: int) -> None:
        size = half.size
        try:
            got = half.sock.recv_into(self._buffer, size, DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            self._reset(half)
            return
        if not got:
            self._end_of_input(half, events)
            return
        cell = half.cell
        cell[0] += got
        cell[1] = half.last_ms = self.now_ms
        peer = half.peer
        try:
            last = events == LAST and got < size
            part = self._parts.get(got) or self._part(got)
            sent = peer.sock.send(part, WITH_FIN if last else DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            if error.errno not in NO_MEMORY:
                self._cannot_write(peer, self._view[:got])
                return
            sent = 0
            self._loop.call_soon(self._breathe, peer)
        if sent != got:
            peer.pending = memoryview(bytes(self._view[sent:got]))
            half.paused = True
            half.size = STALLED_SIZE
            self._watch(half, OUT if half.pending else 0)
            self._watch(peer, OUT if peer.eof or peer.paused else IN | OUT)
        elif got == size:
            if size != BUFFER_BYTES:
                half.size = size * 4
            self.again(half)
        elif events & RDHUP:
            self._pump(half, events)  # the FIN is next: a wake-up less
        elif events != IN:
            self.again(half)

    def _part(self, size: int) -> memoryview:
        part = self._view[:size]
        if len(self._parts) < PARTS:
            self._parts[size] = part
        return part

    def _first_byte(self, half: Half, events: int) -> None:
        """Read from a server for the first time: what it takes is measured."""
        flow = half.flow
        before = half.cell[0]
        half.read = self.read
        if half.mask == READ:
            half.on = self.read
        self._pump(half, events)
        self._heard(half, flow, before)

    def _heard(self, half: Half, flow: Flow, before: int) -> bool:
        """A server was read that had not answered; return True if it has now, or has ended."""
        if half.cell[0] != before:
            flow.answered = True
            took_s = monotonic_s() - flow.at_s
            flow.upstream.first_byte(took_s)
            if flow.sample is not None:
                flow.sample.heard(took_s)
        elif not half.eof:
            return False
        if flow.endpoint.trouble is not None or flow.deadline_s:
            self.on_answer(flow)
        return True

    # Everything but plain reading -------------------------------------------

    def _watch(self, half: Half, mask: int) -> None:
        if half.mask == UNWATCHED:
            self._epoll.register(half.fd, mask)
        else:
            self._epoll.modify(half.fd, mask)
        half.mask = mask
        half.on = half.read if mask == READ else self._blocked

    def again(self, half: Half) -> None:
        """Have the edge reported once more: there may be more to read."""
        if half.mask == READ:
            self._epoll.modify(half.fd, READ)

    def _unwatch(self, half: Half) -> None:
        if half.mask != UNWATCHED:
            self._epoll.unregister(half.fd)
            half.mask = UNWATCHED

    def _blocked(self, half: Half, events: int) -> None:
        """Serve a half that is not only read: it has pending bytes, is paused, or gave its FIN."""
        if events & OUT and half.pending is not None:
            self._flush(half)
        if half.mask < 0 or not events & ~OUT:
            return
        if half.mask & IN:
            half.read(half, events)
        elif events & GONE:
            if half.eof:
                self._reset(half)
            elif half.paused:
                # Its bytes are still wanted, but the epoll would report it without end.
                self._unwatch(half)

    def _flush(self, half: Half) -> None:
        pending = half.pending
        assert pending is not None  # noqa: S101 - for the type checker
        try:
            sent = half.sock.send(pending, DONTWAIT)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno in NO_MEMORY:
                self._breathe(half)
            else:
                self._cannot_write(half, pending)
            return
        half.last_ms = self.now_ms
        if sent != len(pending):
            half.pending = pending[sent:]
            return
        half.pending = None
        peer = half.peer
        if half.eof and peer.eof:  # TLS's last word was pending
            self.end(half.flow, _DONE)
            return
        self._watch(half, 0 if half.eof or half.paused else READ)
        if peer.paused:
            peer.paused = False
            self._watch(peer, IN | OUT if peer.pending else READ)
            if peer.sealed:
                self._insides.look(peer)

    def _breathe(self, half: Half) -> None:
        """Write again in a moment: the epoll knows nothing of memory and asks without end."""
        if half.mask >= 0 and half.pending is not None:
            self._watch(half, half.mask & ~OUT)
            self._loop.call_later(MEMORY_PAUSE_S, self._write_again, half)

    def _write_again(self, half: Half) -> None:
        if half.mask >= 0 and half.pending is not None:
            self._watch(half, half.mask | OUT)

    def _end_of_input(self, half: Half, events: int) -> None:
        # The peer has nothing pending, or this half would not have been read.
        if half.broken:
            self._reset(half)
            return
        half.eof = True
        peer, flow = half.peer, half.flow
        if flow.sample is not None and half is flow.server:
            flow.sample.server_said_fin(flow)
        if peer.eof and half.pending is None and not (peer.sealed and self._finish(peer)):
            self.end(flow, _DONE)
            return
        if peer.eof:
            self._await_last_word(half, peer)
            return
        if half.mask == READ and not events & GONE:
            half.mask = 0  # for us; an RST is an edge, which the epoll reports
            half.on = self._blocked
        else:
            self._watch(half, OUT if half.pending else 0)
        self._finish(peer)

    def _await_last_word(self, half: Half, peer: Half) -> None:
        """Both have ended, and TLS's last word to one waits for room; `_flush` ends the flow."""
        plain, sealed = (peer, half) if half.sealed else (half, peer)
        self._unwatch(plain)  # it has nothing to say but that FINs went both ways: HUP
        self._watch(sealed, OUT)
        if half.sealed:
            self._finish(plain)

    def _finish(self, half: Half) -> bool:
        """Say that nothing more comes; True: the last word of TLS has to wait for room."""
        try:
            half.sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            half.pending = LAST_WORD
            self._watch(half, OUT if half.eof or half.paused else IN | OUT)
            return True
        except OSError:
            half.broken = True  # it was reset; its own event says so
        return False

    def _cannot_write(self, half: Half, lost: memoryview) -> None:
        """The half was reset. Pass on what it sent before; its peer need say no more."""
        half.pending = None
        if half is half.flow.server and not half.flow.answered and lost is not LAST_WORD:
            half.flow.unsent = bytes(lost)  # another server may get it
        if half.eof:
            self._reset(half)
            return
        half.broken = True
        peer = half.peer
        peer.paused = False
        peer.eof = True
        self._watch(peer, OUT if peer.pending else 0)
        self._watch(half, 0 if half.paused else READ)

    # The end --------------------------------------------------------------------

    def end(self, flow: Flow, word: int, *, abort: bool = False) -> None:
        """End a pumped flow: with FIN if all was passed on and not `abort`, else with RST."""
        client, server = flow.client, flow.server
        assert server is not None  # noqa: S101 - for the type checker
        abort = abort or client.pending is not None or server.pending is not None
        self._forget(flow, client, server, word)
        for sock in (client.sock, server.sock):
            if abort:
                reset(sock)
            else:
                sock.close()
        self._on_end(flow, word)

    def _reset(self, half: Half) -> None:
        """The half was reset by its remote end: pass that on."""
        flow, peer = half.flow, half.peer
        word = _CLIENT_RESET if half is flow.client else _UPSTREAM_RESET
        if half is not flow.client and not flow.answered and self.on_early_reset(flow):
            return
        assert flow.server is not None  # noqa: S101 - for the type checker
        if peer.sealed:  # its last word may be pending: there may be room for it all the while
            self._unwatch(peer)
        self._forget(flow, flow.client, flow.server, word)
        half.sock.close()
        self._lingering.reset(peer.sock)
        self._on_end(flow, word)

    def _forget(self, flow: Flow, client: Half, server: Half, word: int) -> None:
        """Take a flow out of everything; without references in a circle, counting frees it."""
        if flow.sample is not None:
            flow.sample.ended(flow, word)
        if flow.adopted and client.mask != UNWATCHED:
            self._epoll.unregister(client.fd)
        client.mask = server.mask = OVER
        client.pending = server.pending = None
        del self._halves[client.fd], self._halves[server.fd]
        del client.peer, server.peer, client.flow, server.flow
        flow.route.cells[_ROUTE_CLOSED] += 1


def _nothing(_flow: Flow) -> bool:
    return False
