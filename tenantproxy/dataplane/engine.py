"""Everything a worker does, without the process around it: orders in, reports out.

The engine owns upstreams and listeners and keeps the books: every accepted
connection ends in exactly one word of its listener's block, whichever part
ended it.
"""

from __future__ import annotations

import os
import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable
from pathlib import PurePath

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane.acceptor import Acceptor
from tenantproxy.dataplane.connector import Connector
from tenantproxy.dataplane.counters import CounterFile, Endpoint, Header
from tenantproxy.dataplane.counters import Listener as Word
from tenantproxy.dataplane.ending import IdleSweeps, drain_listener, last_ms
from tenantproxy.dataplane.fallback import Fallbacks
from tenantproxy.dataplane.flow import Flow, Half, Socket, reset
from tenantproxy.dataplane.lending import LendingPump
from tenantproxy.dataplane.listener import CLOSED, REJECTED, Listener
from tenantproxy.dataplane.notices import Notices
from tenantproxy.dataplane.outcomes import Reports
from tenantproxy.dataplane.peers import Peers
from tenantproxy.dataplane.pulse import Pulse
from tenantproxy.dataplane.relay.probe import Verdict
from tenantproxy.dataplane.relay.switch import RelaySwitch
from tenantproxy.dataplane.route_ending import RouteEndings
from tenantproxy.dataplane.spares import Spares
from tenantproxy.dataplane.stopping import Stopping
from tenantproxy.dataplane.tls_contexts import TlsContexts
from tenantproxy.dataplane.upstream import Upstream
from tenantproxy.model.spec import RelayMode

_ACCEPTED = int(Word.ACCEPTED)  # an IntEnum is slower as an index
_LAST_MS = int(Word.LAST_MS)
_ENDPOINT_CLOSED = int(Endpoint.CLOSED)
_CONNECTIONS = int(Header.CONNECTIONS)


class Engine:
    """Serves on a loop until `close()`. `send` takes reports and never waits."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        counters: CounterFile,
        send: Callable[[m.Report], None],
        peers: Peers | None = None,
    ) -> None:
        self._loop = loop
        self._counters = counters
        self._send = send
        self._peers = peers or Peers()
        self._upstreams: dict[int, Upstream] = {}
        self._listeners: dict[int, Listener] = {}
        self._fallbacks = Fallbacks()
        self._flows = 0
        self._closing = False
        self._notices = Notices(loop, send)
        self._pump = LendingPump(loop, self._ended, self._broke_half)
        self._relay = RelaySwitch(loop, self._pump, self._relay_refused, self._broke_half)
        self._reports = Reports(loop, send)
        self._contexts = TlsContexts()
        self._acceptor = Acceptor(loop, self._begin, self._in_use, self._room, self._notices)
        self._acceptor.pauses = counters.words[Header.ACCEPT_PAUSES]  # a predecessor's count
        self._spares = Spares(loop, self._acceptor.free, self._acceptor.freed)
        self._connector = Connector(
            loop,
            pump=self._pump,
            relay=self._relay,
            upstreams=self._upstreams,
            peers=self._peers,
            notices=self._notices,
            reports=self._reports,
            spares=self._spares,
            on_reject=self._rejected,
            on_error=self._broke,
        )
        self._stopping = Stopping(loop, self._acceptor, send)
        self._idle = IdleSweeps(loop, self._cut_idle)
        self._route_endings = RouteEndings(loop, self._cut, self._pump.has)
        self._pulse = Pulse(loop, counters.words, self._gauges)

    @property
    def flows(self) -> int:
        """Connections alive, in every state."""
        return self._flows

    def carry_out(self, order: m.Message, fds: list[int]) -> None:
        """Carry out an order; its fds become ours. `Quit` is the process's business.

        An order that cannot be carried out is reported and leaves the rest alone.
        """
        try:
            self._carry_out(order, fds)
        except Exception as error:  # noqa: BLE001 - the worker serves on, whatever it was told
            self._broke(None, error)

    def _carry_out(self, order: m.Message, fds: list[int]) -> None:
        match order:
            case m.SetUpstreams():
                self._set_upstreams(order.upstreams)
            case m.DropUpstreams():
                self._drop_upstreams(order.ids)
            case m.OpenListeners():
                self._open(order.listeners, fds)
            case m.UpdateListeners():
                self._update(order.listeners)
            case m.StopListeners():
                self._stopping.stop(order.ids, self._known(order.ids), sweep=order.sweep)
            case m.EndConnections():
                self._end(order)
            case m.EndRoute():
                self._end_route(order)
            case m.Adopt():
                self._adopt(order.listener, fds)
            case m.SetRelay():
                verdict = self.turn_relay(order.mode, order.workers)
                self._send(m.Relay("kernel" if verdict.works else "pump", verdict.reason))
            case _:
                for fd in fds:
                    os.close(fd)

    def turn_relay(self, mode: RelayMode, workers: int = 1) -> Verdict:
        """Let the kernel move the bytes of chatty flows, if asked to and if it can."""
        return self._relay.turn(mode, workers)

    def close(self) -> None:
        """End everything at once, with RST; when this returns the loop is left as it was."""
        self._closing = True
        self._stopping.close()
        self._route_endings.close()
        for listener in self._listeners.values():
            listener.cancel_drain()
            self._idle.forget(listener)
            if listener.sock is not None:
                self._acceptor.remove(listener)
                listener.sock.close()
                listener.sock = None
            for flow in tuple(listener.flows):
                self._cut(flow, CLOSED["shutdown"], abort=True)
        self._gauges()
        for part in (
            self._acceptor,
            self._spares,
            self._connector,
            self._relay,
            self._pump,
            self._notices,
            self._reports,
            self._pulse,
            self._peers,
        ):
            part.close()

    # Orders -------------------------------------------------------------------

    def _known(self, ids: Iterable[int]) -> list[Listener]:
        return [self._listeners[number] for number in ids if number in self._listeners]

    def _set_upstreams(self, orders: Iterable[m.UpstreamOrder]) -> None:
        changed = set()
        for order in orders:
            changed.add(order.id)
            self._fallbacks.learn(order)
            if (known := self._upstreams.get(order.id)) is not None:
                had_no_limit = not known.limit
                known.apply(order)
                if known.limit and had_no_limit:
                    for listener in self._listeners.values():
                        self._connector.limited(known, listener.flows)
            else:
                known = self._upstreams[order.id] = Upstream(order, self._counters)
            known.seal, wrong = self._contexts.renew(known.seal, order.tls)
            if wrong:
                self._notices.add("upstream_tls", order.name, wrong)
            self._spares.keep(known, known.endpoints.values(), order.warm)
        self._connector.changed(changed)

    def _drop_upstreams(self, ids: Iterable[int]) -> None:
        self._fallbacks.drop(ids)
        for number in ids:
            if (upstream := self._upstreams.pop(number, None)) is not None:
                self._connector.dissolve(upstream)
                self._spares.keep(upstream, (), 0)
                upstream.retire()

    def _open(self, orders: tuple[m.ListenerOrder, ...], fds: list[int]) -> None:
        opened = []
        now_s = monotonic_s()
        for order, fd in zip(orders, fds, strict=False):
            sock = socket.socket(fileno=fd)
            sock.setblocking(False)
            listener = self._listeners.get(order.id)
            if listener is None:
                listener = self._listeners[order.id] = Listener(order, self._counters)
            else:
                listener.cancel_drain()
                self._stopping.finish(listener)
            listener.open(order, sock, now_s)
            self._fallbacks.follow(listener)
            self._acceptor.add(listener)
            self._idle.watch(listener)
            opened.append(order.id)
        if len(fds) < len(orders):
            missing = ", ".join(order.name for order in orders[len(fds) :])
            self._notices.add("fd_limit", "", f"no descriptors for {missing}")
        self._send(m.Opened(tuple(opened)))

    def _update(self, orders: Iterable[m.ListenerOrder]) -> None:
        for order in orders:
            listener = self._listeners.get(order.id)
            if listener is not None:
                listener.update(order)
                self._fallbacks.follow(listener)
                self._idle.again(listener)

    def _end(self, order: m.EndConnections) -> None:
        self._relay.count()  # a drain asks who has been silent the longest
        empty = [number for number in order.ids if number not in self._listeners]
        for listener in self._known(order.ids):
            listener.cancel_drain()
            self._route_endings.forget(listener.id)
            listener.ending = False
            if order.mode == "kill":
                for flow in tuple(listener.flows):
                    self._cut(flow, CLOSED["killed"], abort=True)
            elif order.mode == "drain" and listener.flows:
                listener.drain = drain_listener(
                    self._loop, listener, order.window_s, self._cut_drained
                )
            listener.forget = order.forget
            if listener.flows:
                listener.ending = True
            else:
                self._empty(listener)
                empty.append(listener.id)
        if empty:
            self._send(m.Drained(tuple(empty)))

    def _end_route(self, order: m.EndRoute) -> None:
        self._relay.count()
        for listener in self._known((order.listener,)):
            self._route_endings.end(listener, order)

    def _adopt(self, number: int, fds: list[int]) -> None:
        listener = self._listeners.get(number)
        for fd in fds:
            if listener is None:
                reset(Socket(fileno=fd))
                continue
            sock = Socket(fileno=fd)
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._serve(listener, sock, adopted=True)
        if listener is None and fds:
            self._notices.add("internal", "", f"connections of unknown listener {number}")

    # The life of a connection, as the books see it --------------------------------

    def _begin(self, listener: Listener, fd: int) -> None:
        # Family and kind are given: the constructor would ask the kernel for them.
        self._serve(listener, Socket(listener.family, socket.SOCK_STREAM, 0, fd), adopted=False)

    def _serve(self, listener: Listener, sock: Socket, *, adopted: bool) -> None:
        cells = listener.cells
        cells[_ACCEPTED] += 1
        cells[_LAST_MS] = self._pump.touch()
        flow = Flow(listener, listener.next_route(sock), sock)
        flow.adopted = adopted
        listener.flows.add(flow)
        self._flows += 1
        self._counters.words[_CONNECTIONS] = self._flows  # our peers look at it
        if listener.idle_timer is None:
            self._idle.watch(listener)
        self._connector.begin(flow)

    def _rejected(self, flow: Flow, word: int) -> None:
        reset(flow.client.sock)
        del flow.client.flow
        self._over(flow, word)

    def _ended(self, flow: Flow, word: int) -> None:
        self._relay.forget(flow)
        endpoint = flow.endpoint
        endpoint.live -= 1
        endpoint.cells[_ENDPOINT_CLOSED] += 1
        if flow.deadline_s:
            self._connector.in_time(flow)
        self._over(flow, word)

    def _over(self, flow: Flow, word: int) -> None:
        if flow.slot:
            self._connector.leave(flow)
        listener = flow.listener
        cells = listener.cells
        cells[word] += 1
        cells[_LAST_MS] = self._pump.now_ms
        listener.flows.discard(flow)
        self._flows -= 1
        self._acceptor.freed()
        if listener.ending and not listener.flows and not self._closing:
            self._empty(listener)
            self._send(m.Drained((listener.id,)))

    def _empty(self, listener: Listener) -> None:
        """The listener was told to end its connections, and has none left."""
        listener.cancel_drain()
        listener.ending = False
        if listener.forget:
            self._route_endings.forget(listener.id)
            self._idle.forget(listener)
            self._stopping.finish(listener)
            self._fallbacks.forget(listener)
            del self._listeners[listener.id]

    # Cutting ------------------------------------------------------------------------

    def _cut(self, flow: Flow, word: int, *, abort: bool) -> None:
        if self._pump.has(flow):
            self._relay.mover.end(flow, word, abort=abort)
        else:
            self._connector.give_up(flow, REJECTED["shutdown"])

    def _cut_drained(self, flow: Flow) -> None:
        self._cut(flow, CLOSED["drained"], abort=False)

    def _cut_idle(self, flow: Flow, before_ms: int) -> None:
        self._relay.count_flow(flow)  # the kernel may have moved bytes since the last look
        if last_ms(flow) <= before_ms and self._pump.has(flow):
            self._relay.mover.end(flow, CLOSED["idle_timeout"])

    def _broke_half(self, half: Half, error: Exception) -> None:
        self._broke(getattr(half, "flow", None), error)

    def _broke(self, flow: Flow | None, error: Exception) -> None:
        """Serving a flow raised what it should not: that flow ends, and people hear of it."""
        name = "" if flow is None else flow.listener.order.name
        self._notices.add("internal", name, f"{type(error).__name__}: {error}{_place(error)}")
        if flow is None or flow not in flow.listener.flows:
            return
        if self._pump.has(flow):
            self._relay.mover.end(flow, CLOSED["internal"], abort=True)
        else:
            self._connector.give_up(flow, REJECTED["internal"])

    def _relay_refused(self, error: OSError) -> None:
        self._notices.add("internal", "", f"kernel relay: {error.strerror} ({error.filename})")

    # Gauges ---------------------------------------------------------------------------

    def _in_use(self) -> int:
        spares = self._spares.descriptors
        return 2 * self._flows + self._pump.lingering + self._relay.descriptors + spares

    def _room(self) -> int:
        self._counters.words[_CONNECTIONS] = self._flows
        return self._peers.room(self._flows, self._pump.touch())

    def _gauges(self) -> None:
        words = self._counters.words
        self._pump.touch()
        self._relay.check()
        self._spares.relieve()
        words[Header.CONNECTIONS] = self._flows
        words[Header.RELAY_KERNEL] = self._relay.linked
        words[Header.FDS_FREE] = max(0, self._acceptor.free())
        words[Header.ACCEPT_PAUSES] = self._acceptor.pauses


def _place(error: Exception) -> str:
    """Return where an error was raised, for a notice of one line."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    return f" ({PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})"
