"""From an accepted client to a connected server: a slot, a try, tries elsewhere, or the end.

No connect is ever waited for. A try has a deadline; a failed one is followed
at once by a try on an endpoint that has not failed this flow, as long as no
byte went either way, tries are left, and not too many flows do the same.
While its listener is waking, a flow that found nobody is held and begins
again later.
"""

from __future__ import annotations

import _socket
import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable
from errno import EINPROGRESS
from functools import partial

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane import counters
from tenantproxy.dataplane.client import client_key
from tenantproxy.dataplane.counters import Route
from tenantproxy.dataplane.deadlines import Deadlines
from tenantproxy.dataplane.elsewhere import Elsewhere
from tenantproxy.dataplane.endpoint import Endpoint
from tenantproxy.dataplane.flow import Flow, Half, Socket, met_itself, outcome_now, unread
from tenantproxy.dataplane.greeter import Greeter
from tenantproxy.dataplane.holding import Holding
from tenantproxy.dataplane.lending import LendingPump
from tenantproxy.dataplane.listener import REJECTED
from tenantproxy.dataplane.masks import GONE
from tenantproxy.dataplane.notices import Notices
from tenantproxy.dataplane.outcomes import Reports
from tenantproxy.dataplane.peers import Peers
from tenantproxy.dataplane.queueing import Queueing
from tenantproxy.dataplane.relay.switch import RelaySwitch
from tenantproxy.dataplane.spares import Spares
from tenantproxy.dataplane.turns import Turns
from tenantproxy.dataplane.upstream import Upstream, reason_of

_OPENED = int(Route.OPENED)  # an IntEnum is slower as an index
_RETRIES = int(counters.Upstream.RETRIES)
_RETRIES_DENIED = int(counters.Upstream.RETRIES_DENIED)
_ENDPOINT_OPENED = int(counters.Endpoint.OPENED)
_NO_SLOT = {REJECTED["upstream_full"], REJECTED["queue_timeout"]}
_TYPE = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC


class Connector:
    """Connects flows and hands them to the mover; `on_reject(flow, word)` ends the others.

    When `on_reject` is called the server's socket is closed and the client's
    is still open. `on_error` gets what trying raised and should not have.
    `upstreams` is the engine's own table.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        *,
        pump: LendingPump,
        relay: RelaySwitch,
        upstreams: dict[int, Upstream],
        peers: Peers,
        notices: Notices,
        reports: Reports,
        spares: Spares,
        on_reject: Callable[[Flow, int], None],
        on_error: Callable[[Flow, Exception], None],
    ) -> None:
        self._loop = loop
        self._pump = pump
        self._relay = relay
        self._upstreams = upstreams
        self._notices = notices
        self._reports = reports
        self._spares = spares
        spares.on_failed, spares.on_connected = reports.count, reports.spare_connected
        self._greeter = Greeter(pump, notices, self._connected, self._ungreeted, self._client_gone)
        self._on_reject = on_reject
        self._on_error = on_error
        self._deadlines = Deadlines(loop, self._late)
        self._holding = Holding(loop, self.begin, self.reject)
        self._queueing = Queueing(loop, peers, self.begin, self.reject)
        self._turns = Turns(loop, self.begin, self._denied)
        self.leave = self._queueing.leave
        """Call when a flow that has a slot ends."""
        self.in_time = self._deadlines.drop
        """Call when a connected flow that has a deadline ends."""
        self._elsewhere = Elsewhere(
            loop,
            relay=relay,
            upstreams=upstreams,
            reports=reports,
            deadlines=self._deadlines,
            again=self._next,
        )
        pump.on_answer, pump.on_early_reset = self._elsewhere.answered, self._elsewhere.reset

    def close(self) -> None:
        """Stop the timers; every flow must have ended before."""
        self._deadlines.close()
        self._queueing.close()
        self._turns.close()

    def begin(self, flow: Flow, reason: str = "") -> None:
        """Try to connect, up to the tries of the upstream, each on another endpoint.

        `reason` is why the try before failed. May be called from anywhere but
        a batch of events (see `Pump.later`).
        """
        try:
            self._begin(flow, reason)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this flow only
            self._on_error(flow, error)

    def give_up(self, flow: Flow, word: int) -> None:
        """End a flow that is not connected, whatever it waits for."""
        if flow.server is not None:
            self._drop_try(flow)
        else:
            self._turns.forget(flow)
            if not flow.slot:
                self._queueing.forget(flow)
        self.reject(flow, word)

    def reject(self, flow: Flow, word: int) -> None:
        """End a flow that has no server socket."""
        if flow.deadline_s:
            self._deadlines.drop(flow)
        if flow.backoff_s:
            self._holding.forget(flow)
        if word in _NO_SLOT and flow.route.signals is not None:
            flow.route.signals.failed()
        self._on_reject(flow, word)

    def limited(self, upstream: Upstream, flows: Iterable[Flow]) -> None:
        """The upstream has got a limit: those of these flows that are on it have a slot now."""
        for flow in flows:
            if flow.server is not None and flow.upstream is upstream:
                self._queueing.have(flow)

    def changed(self, upstream_ids: set[int]) -> None:
        """Something about these upstreams changed: see who may begin now."""
        self._holding.kick(upstream_ids)
        for number in upstream_ids:
            upstream = self._upstreams.get(number)
            if upstream is not None and upstream.waiting:
                self._queueing.serve(upstream)

    def dissolve(self, upstream: Upstream) -> None:
        """The upstream has left the table: nobody waits for it any more."""
        self._queueing.dissolve(upstream)

    # A try ----------------------------------------------------------------------

    def _begin(self, flow: Flow, reason: str) -> None:
        upstream = self._upstreams.get(flow.route.upstream_id)
        if upstream is None:
            self._nobody(flow, None, "unknown")
            return
        if flow.slot and flow.upstream is not upstream:
            self.leave(flow)  # that one has gone, and come again as another
        flow.upstream = upstream
        if upstream.limit and not flow.slot and not self._queueing.enter(flow, upstream):
            return
        while len(flow.tried) < upstream.tries:
            if upstream.keyed:
                endpoint = upstream.balancer.pick(flow.tried, client_key(flow.client.sock))
            else:
                endpoint = upstream.balancer.pick(flow.tried)
            if endpoint is None:
                break
            if flow.tried:
                if not upstream.may_retry():
                    self._turns.wait(flow, reason)
                    return
                upstream.cells[_RETRIES] += 1
            if not (reason := self._try(flow, endpoint)):
                return
            self._count_failure(flow, reason)
            flow.tried += (endpoint,)
        self._nobody(flow, upstream, reason)

    def _try(self, flow: Flow, endpoint: Endpoint) -> str:
        """Connect; return why that failed at once, or nothing: it is under way, done or over."""
        flow.endpoint = endpoint
        sock = self._spares.take(endpoint) if flow.upstream.warm and not flow.stale else None
        flow.spare = sock is not None
        if sock is not None:
            flow.at_s = monotonic_s()
            self._begun(flow, sock)
            self._there(flow)
            return ""
        try:
            sock = _socket.socket(endpoint.family, _TYPE, 0)
        except OSError as error:
            self.reject(flow, REJECTED["overload"])
            self._notices.add("fd_limit", "", f"no socket for an upstream: {error.strerror}")
            return ""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if unread(flow.client.fd):
            # The ACK that ends the handshake rides on these bytes: a packet less (0006).
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        flow.at_s = monotonic_s()
        result = sock.connect_ex(endpoint.sockaddr)
        if result == EINPROGRESS and endpoint.local and not endpoint.may_self_connect:
            result = outcome_now(sock)  # saves an event and an epoll_ctl: 4 % of a connection
        if result and result != EINPROGRESS:
            sock.close()
            return reason_of(result)
        server = self._begun(flow, sock)
        if result:
            self._pump.connecting(server, self._outcome)
            self._limit(flow)
        else:
            self._there(flow)
        return ""

    def _begun(self, flow: Flow, sock: Socket) -> Half:
        flow.endpoint.live += 1
        if flow.tried:
            flow.upstream.retrying += 1
        flow.server = server = Half(sock, sock.fileno(), flow)
        return server

    def _limit(self, flow: Flow) -> None:
        """Give the try its time, which began when the connect did."""
        at_s = flow.at_s + flow.upstream.timeout_s
        if flow.backoff_s:
            at_s = min(at_s, flow.listener.hold_until_s)
        self._deadlines.set(flow, at_s)

    def _outcome(self, half: Half, events: int) -> None:
        flow = half.flow
        error = 0
        if events & GONE:
            error = half.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._failed(flow, reason_of(error))
        elif flow.endpoint.may_self_connect and met_itself(half.sock):
            self._failed(flow, "self_connect")
        else:
            self._there(flow)

    def _there(self, flow: Flow) -> None:
        """The endpoint has taken the connection: greet it, if it wants that."""
        upstream = flow.upstream
        if upstream.send_proxy is None and upstream.seal is None:
            self._connected(flow)
            return
        if not flow.deadline_s:
            self._limit(flow)
        self._greeter.greet(flow, upstream.send_proxy, upstream.seal)

    def _connected(self, flow: Flow) -> None:
        """The server is there, and all is said that has to be said before the client."""
        upstream, endpoint, listener = flow.upstream, flow.endpoint, flow.listener
        if flow.deadline_s:
            self._deadlines.drop(flow)
        listener.waking = False
        if flow.backoff_s:
            self._holding.forget(flow)
        if flow.tried:
            self._over(upstream)
        now_s = monotonic_s()
        took_s = now_s - flow.at_s
        upstream.connected(took_s)
        flow.at_s = now_s
        route = flow.route
        route.cells[_OPENED] += 1
        if route.signals is not None:
            flow.sample = route.signals.opened(took_s)
        endpoint.cells[_ENDPOINT_OPENED] += 1
        if endpoint.trouble is not None:
            self._reports.connected(endpoint)
        if upstream.first_byte_s:
            self._deadlines.set(flow, now_s + upstream.first_byte_s)
        self._relay.mover.join(flow)

    def _failed(self, flow: Flow, reason: str) -> None:
        """The try under way has failed; what is next waits until the batch of events is over."""
        self._lose(flow, reason)
        self._pump.later.append(partial(self._next, flow, reason))

    def _ungreeted(self, flow: Flow, reason: str) -> None:
        """As `_failed`; but greeting may have begun outside of a batch."""
        if flow.spare:
            self._drop_try(flow)
            flow.stale = True
        else:
            self._lose(flow, reason)
        self._loop.call_soon(self._next, flow, reason)

    def _lose(self, flow: Flow, reason: str) -> None:
        self._count_failure(flow, reason)
        self._drop_try(flow)
        flow.tried += (flow.endpoint,)

    def _client_gone(self, flow: Flow) -> None:
        self.give_up(flow, REJECTED["client_gone"])

    def _next(self, flow: Flow, reason: str) -> None:
        if flow in flow.listener.flows:
            self.begin(flow, reason)

    def _drop_try(self, flow: Flow) -> None:
        if flow.tried:
            self._over(flow.upstream)
        self._deadlines.drop(flow)
        flow.endpoint.live -= 1
        flow.said_bytes = 0
        self._pump.drop_server(flow)

    def _count_failure(self, flow: Flow, reason: str) -> None:
        flow.upstream.failed(reason)
        self._reports.count(flow.upstream, flow.endpoint, reason)
        signals = flow.route.signals
        if signals is not None and not self._may_be_held(flow):
            signals.failed()

    @staticmethod
    def _may_be_held(flow: Flow) -> bool:
        """While a listener wakes, failures are to be expected; who is refused in the end counts."""
        listener = flow.listener
        return flow.backoff_s > 0 or (listener.waking and monotonic_s() < listener.hold_until_s)

    def _over(self, upstream: Upstream) -> None:
        """A second attempt is no longer under way."""
        upstream.retrying -= 1
        self._turns.freed(upstream)

    def _denied(self, flow: Flow, reason: str) -> None:
        flow.upstream.cells[_RETRIES_DENIED] += 1
        self._nobody(flow, flow.upstream, reason)

    def _late(self, flow: Flow) -> None:
        """The deadline has passed: to connect, or for the first byte."""
        if self._pump.has(flow):
            self._elsewhere.late(flow)
        else:
            self._lose(flow, "timeout")
            self._next(flow, "timeout")

    # Nobody there ---------------------------------------------------------------

    def _nobody(self, flow: Flow, upstream: Upstream | None, reason: str) -> None:
        """Every endpoint that may be tried was, or there is none."""
        now_s = monotonic_s()
        uncounted = not flow.tried or self._may_be_held(flow)
        word = self._holding.reason_not_to(flow, now_s)
        flow.tried = ()
        if not word:
            if flow.slot:
                self.leave(flow)
            self._holding.hold(flow, now_s)
            return
        signals = flow.route.signals
        if signals is not None and uncounted:
            signals.failed()
        self.reject(flow, REJECTED[word])
        self._notices.add(
            "upstream_unreachable",
            flow.listener.order.name if upstream is None else upstream.name,
            reason or "no usable endpoint",
        )
