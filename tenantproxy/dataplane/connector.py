"""From an accepted client to a connected server: try, try elsewhere, hold, refuse.

No connect is ever waited for. A try has a deadline; a failed one is followed
at once by a try on an endpoint that this flow has not tried. While its
listener is waking, a flow that found nobody is held and begins again later.
"""

from __future__ import annotations

import _socket
import errno
import socket
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from functools import partial

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane.counters import Route
from tenantproxy.dataplane.flow import Flow, Half, Socket, unread
from tenantproxy.dataplane.listener import REJECTED
from tenantproxy.dataplane.notices import Notices
from tenantproxy.dataplane.pump import GONE, Pump
from tenantproxy.dataplane.upstream import Upstream, reason_of

SWEEP_S = 0.05
"""How late a deadline may be noticed."""
BACKOFF_S = 0.02
"""First pause of a held flow; doubles at each try."""
BACKOFF_MAX_S = 0.5
KICK_SPACING_S = 0.0002
"""Between held flows that are tried at once because their upstream appeared."""

_IN_PROGRESS = errno.EINPROGRESS
_OPENED = int(Route.OPENED)  # an IntEnum is slower as an index
_TYPE = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC


class Connector:
    """Connects flows and hands them to the pump; `on_reject(flow, word)` ends the others.

    When `on_reject` is called the server's socket is closed and the client's
    is still open. `on_error` gets what trying raised and should not have.
    `upstreams` is the engine's own table.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        pump: Pump,
        join: Callable[[Flow], None],
        upstreams: dict[int, Upstream],
        notices: Notices,
        on_reject: Callable[[Flow, int], None],
        on_error: Callable[[Flow, Exception], None],
    ) -> None:
        self._loop = loop
        self._pump = pump
        self._join = join
        self._upstreams = upstreams
        self._notices = notices
        self._on_reject = on_reject
        self._on_error = on_error
        self._connecting: set[Flow] = set()
        self._sweeper: TimerHandle | None = None
        self._held: dict[Flow, TimerHandle] = {}

    def close(self) -> None:
        """Stop the timers; every flow must have ended before."""
        if self._sweeper is not None:
            self._sweeper.cancel()

    def begin(self, flow: Flow, reason: str = "") -> None:
        """Try to connect, up to the tries of the upstream, each on another endpoint.

        `reason` is why the try before failed. May be called from anywhere but
        a batch of events (see `Pump.later`).
        """
        try:
            self._begin(flow, reason)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this flow only
            self._on_error(flow, error)

    def _begin(self, flow: Flow, reason: str) -> None:
        upstream = self._upstreams.get(flow.route.upstream_id)
        if upstream is None:
            self._nobody(flow, None, "unknown")
            return
        flow.upstream = upstream
        while len(flow.tried) < upstream.tries:
            endpoint = upstream.balancer.pick(flow.tried)
            if endpoint is None:
                break
            flow.tried += (endpoint,)
            try:
                sock = _socket.socket(endpoint.family, _TYPE, 0)
            except OSError as error:
                flow.tried = ()
                self.reject(flow, REJECTED["overload"])
                self._notices.add("fd_limit", "", f"no socket for an upstream: {error.strerror}")
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if unread(flow.client.fd):
                # The ACK that ends the handshake rides on these bytes: a packet less (0006).
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
            flow.at_s = now_s = monotonic_s()
            result = sock.connect_ex(endpoint.sockaddr)
            if result == _IN_PROGRESS and endpoint.local and not endpoint.may_self_connect:
                result = _outcome_now(sock)  # saves an event and an epoll_ctl: 4 % of a connection
            if result in (0, _IN_PROGRESS):
                flow.endpoint = endpoint
                endpoint.live += 1
                flow.server = server = Half(sock, sock.fileno(), flow)
                if result:
                    self._pump.connecting(server, self._outcome)
                    self._await(flow, now_s)
                else:
                    self._connected(flow)
                return
            sock.close()
            reason = reason_of(result)
            upstream.failed(reason)
        self._nobody(flow, upstream, reason)

    def give_up(self, flow: Flow, word: int) -> None:
        """End a flow that is not connected, whatever it waits for."""
        if flow.server is not None:
            self._drop_try(flow)
        self.reject(flow, word)

    def reject(self, flow: Flow, word: int) -> None:
        """End a flow that has no server socket."""
        if flow.backoff_s:
            flow.listener.held -= 1
            timer = self._held.pop(flow, None)
            if timer is not None:
                timer.cancel()
        self._on_reject(flow, word)

    def kick(self, upstream_ids: set[int]) -> None:
        """Try the held flows of these upstreams now: something about them changed."""
        due = [flow for flow in self._held if flow.route.upstream_id in upstream_ids]
        for i, flow in enumerate(due):
            self._held[flow].cancel()
            self._held[flow] = self._loop.call_later(i * KICK_SPACING_S, self._again, flow)

    # One try ------------------------------------------------------------------

    def _await(self, flow: Flow, now_s: float) -> None:
        flow.deadline_s = now_s + flow.upstream.timeout_s
        if flow.backoff_s:
            flow.deadline_s = min(flow.deadline_s, flow.listener.hold_until_s)
        self._connecting.add(flow)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    def _outcome(self, half: Half, events: int) -> None:
        flow = half.flow
        error = 0
        if events & GONE:
            error = half.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._failed(flow, reason_of(error))
        elif flow.endpoint.may_self_connect and _met_itself(half.sock):
            self._failed(flow, "self_connect")
        else:
            self._connected(flow)

    def _connected(self, flow: Flow) -> None:
        self._connecting.discard(flow)
        listener = flow.listener
        listener.waking = False
        if flow.backoff_s:
            listener.held -= 1
            flow.backoff_s = 0.0
        flow.tried = ()
        now_s = monotonic_s()
        flow.upstream.connected(now_s - flow.at_s)
        flow.at_s = now_s
        flow.route.cells[_OPENED] += 1
        self._join(flow)

    def _failed(self, flow: Flow, reason: str) -> None:
        flow.upstream.failed(reason)
        self._drop_try(flow)
        self._pump.later.append(partial(self._next, flow, reason))

    def _next(self, flow: Flow, reason: str) -> None:
        if flow in flow.listener.flows:
            if len(flow.tried) < flow.upstream.tries:
                self.begin(flow, reason)
            else:
                self._nobody(flow, flow.upstream, reason)

    def _drop_try(self, flow: Flow) -> None:
        self._connecting.discard(flow)
        flow.endpoint.live -= 1
        self._pump.drop_server(flow)

    def _sweep(self) -> None:
        now_s = monotonic_s()
        self._sweeper = None
        for flow in [flow for flow in self._connecting if flow.deadline_s <= now_s]:
            flow.upstream.failed("timeout")
            self._drop_try(flow)
            self._next(flow, "timeout")
        if self._connecting and self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    # Nobody there ---------------------------------------------------------------

    def _nobody(self, flow: Flow, upstream: Upstream | None, reason: str) -> None:
        """Every endpoint that may be tried was, or there is none."""
        listener = flow.listener
        now_s = monotonic_s()
        word = REJECTED["connect_failed" if flow.tried else "no_endpoint"]
        flow.tried = ()
        if flow.backoff_s:
            if now_s < listener.hold_until_s:
                self._hold(flow, now_s)
                return
            word = REJECTED["wake_timeout"]
        elif listener.waking:
            if now_s < listener.hold_until_s:
                if listener.held < listener.order.hold:
                    listener.held += 1
                    self._hold(flow, now_s)
                    return
                word = REJECTED["hold_full"]
            else:
                listener.waking = False
        self.reject(flow, word)
        self._notices.add(
            "upstream_unreachable",
            listener.order.name if upstream is None else upstream.name,
            reason or "no usable endpoint",
        )

    def _hold(self, flow: Flow, now_s: float) -> None:
        flow.backoff_s = min(flow.backoff_s * 2, BACKOFF_MAX_S) or BACKOFF_S
        delay_s = min(flow.backoff_s, flow.listener.hold_until_s - now_s)
        self._held[flow] = self._loop.call_later(delay_s, self._again, flow)

    def _again(self, flow: Flow) -> None:
        del self._held[flow]
        if _has_left(flow.client):
            self.reject(flow, REJECTED["client_gone"])
        else:
            self.begin(flow)


def _outcome_now(sock: Socket) -> int:
    """Return the errno of a connect under way; 0 is connected.

    Sending nothing asks for no more than that, and is a third of the work of
    `getpeername`, which makes a text of the address.
    """
    try:
        sock.send(b"", socket.MSG_DONTWAIT)
    except BlockingIOError:
        return _IN_PROGRESS
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _met_itself(sock: Socket) -> bool:
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:
        return False  # connected, and reset already: the pump finds that out


def _has_left(client: Half) -> bool:
    """Return True when the client closed or reset, having sent nothing."""
    try:
        return not client.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
