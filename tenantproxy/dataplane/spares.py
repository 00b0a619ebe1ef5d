"""Spare connections: connected before somebody needs them, used once, by one client.

They are made in the background, a few at a time, and only while descriptors are
left over; when those get short, spares are given up. One that is used, that ended
or that is old is replaced. A spare is a TCP connection and nothing more: the header
of the PROXY protocol and TLS, which name a client, come when it is used.
"""

from __future__ import annotations

import _socket
import errno
import socket
from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from collections.abc import Callable, Iterable

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane import counters
from tenantproxy.dataplane.endpoint import Endpoint
from tenantproxy.dataplane.flow import Socket, met_itself
from tenantproxy.dataplane.upstream import Upstream, reason_of

AGE_S = 30.0
"""A spare that is older is closed: servers end what says nothing, often after a minute, and what
is on its way (a NAT, a firewall) forgets it."""
BEAT_S = 0.02
BURST = 32
"""Connects of one beat: 1,600 a second, less than half of what a worker can accept."""
BACKOFF_S, BACKOFF_MAX_S = 0.5, 10.0
"""Pause after a failed one; doubles at each. Clients that come meanwhile connect by themselves."""
LEFT_OVER = 64
"""Descriptors that have to be free, before accepting pauses, for one more spare."""
SHORT = 16
"""With fewer, spares are given up."""

_SPARES = int(counters.Upstream.SPARES)  # an IntEnum is slower as an index
_TYPE = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT


class Pool:
    """The spares of one endpoint."""

    __slots__ = ("backoff_s", "connecting", "endpoint", "not_before_s", "ready", "upstream", "want")

    def __init__(self, upstream: Upstream, endpoint: Endpoint) -> None:
        self.upstream = upstream
        self.endpoint = endpoint
        self.want = 0
        self.ready: deque[tuple[Socket, float]] = deque()
        """With the time when each becomes old; the oldest first."""
        self.connecting: dict[Socket, float] = {}
        """With the time until which each may try."""
        self.backoff_s = 0.0
        self.not_before_s = 0.0

    @property
    def missing(self) -> int:
        """How many have still to be begun."""
        return self.want - len(self.ready) - len(self.connecting)

    def gauge(self, change: int) -> None:
        """Count spares that are ready."""
        self.upstream.cells[_SPARES] += change


class Spares:
    """Keeps as many as each upstream wants.

    `free()` is how many descriptors are left before accepting pauses;
    `freed()` is called when some of ours were closed to make room.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        free: Callable[[], int],
        freed: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._free = free
        self._freed = freed
        self.on_failed: Callable[[Upstream, Endpoint, str], object] = _nothing
        """Called with the reason when a connect failed."""
        self.on_connected: Callable[[Upstream, Endpoint], object] = _nothing
        """Called when one worked."""
        self._pools: dict[Endpoint, Pool] = {}
        self._timer: TimerHandle | None = None
        self._beat_s = 0.0
        """When the next beat is due, while there is a timer."""
        self.descriptors = 0
        """How many we have open."""

    def keep(self, upstream: Upstream, endpoints: Iterable[Endpoint], warm: int) -> None:
        """Keep `warm` for each of these endpoints of the upstream, and none for its others."""
        wanted = {one for one in endpoints if warm and one.weight > 0}
        for endpoint in wanted:
            pool = self._pools.get(endpoint)
            if pool is None:
                pool = self._pools[endpoint] = Pool(upstream, endpoint)
            pool.want = warm
            while len(pool.ready) > warm:
                self._close(pool)
        for pool in [pool for pool in self._pools.values() if pool.upstream is upstream]:
            if pool.endpoint not in wanted:
                self._drop(pool)
        self._wake()

    def take(self, endpoint: Endpoint) -> Socket | None:
        """Return a connected socket that is alive and becomes the caller's; None: there is none."""
        pool = self._pools.get(endpoint)
        if pool is None:
            return None
        while pool.ready:
            sock, _ = pool.ready.popleft()
            pool.gauge(-1)
            self.descriptors -= 1
            self._wake()
            if _is_alive(sock):
                return sock
            sock.close()
        return None

    def relieve(self) -> None:
        """Give spares up if descriptors are short; call it now and then."""
        if self.descriptors and self._free() < SHORT:
            for pool in self._pools.values():
                while pool.ready:
                    self._close(pool)
            self._freed()

    def close(self) -> None:
        """Close all; when this returns the loop is left as it was."""
        for pool in tuple(self._pools.values()):
            self._drop(pool)
        if self._timer is not None:
            self._timer.cancel()

    # Making -------------------------------------------------------------------

    def _wake(self, at_s: float = 0.0) -> None:
        """Beat at a given time, or soon; never later than was said before."""
        now_s = monotonic_s()
        at_s = max(at_s, now_s + BEAT_S)
        if not self._pools or (self._timer is not None and self._beat_s <= at_s):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._beat_s = at_s
        self._timer = self._loop.call_later(at_s - now_s, self._beat)

    def _beat(self) -> None:
        """Close what is old or late, and make a few of what is missing."""
        self._timer = None
        now_s = monotonic_s()
        begun = 0
        next_s = now_s + AGE_S
        for pool in tuple(self._pools.values()):
            while pool.ready and pool.ready[0][1] <= now_s:
                self._close(pool)
            for sock in [one for one, until_s in pool.connecting.items() if until_s <= now_s]:
                self._give_up(pool, sock, "timeout")
            while pool.missing > 0 and now_s >= pool.not_before_s and begun < BURST:
                if self._free() < LEFT_OVER or not self._begin(pool, now_s):
                    break
                begun += 1
            if pool.ready:
                next_s = min(next_s, pool.ready[0][1])
            next_s = min((next_s, *pool.connecting.values()))
            if pool.missing > 0:
                next_s = min(next_s, pool.not_before_s)  # or at the next beat
        # A round that was cut short begins elsewhere the next time.
        if begun == BURST:
            first = next(iter(self._pools))
            self._pools[first] = self._pools.pop(first)
        self._wake(next_s)

    def _begin(self, pool: Pool, now_s: float) -> bool:
        endpoint = pool.endpoint
        try:
            sock = _socket.socket(endpoint.family, _TYPE, 0)
        except OSError:
            return False
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.descriptors += 1
        result = sock.connect_ex(endpoint.sockaddr)
        pool.connecting[sock] = now_s + pool.upstream.timeout_s
        self._loop.add_writer(sock.fileno(), self._outcome, pool, sock)
        if result not in (0, errno.EINPROGRESS):
            self._give_up(pool, sock, reason_of(result))
            return False
        return True

    def _outcome(self, pool: Pool, sock: Socket) -> None:
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._give_up(pool, sock, reason_of(error))
        elif pool.endpoint.may_self_connect and met_itself(sock):
            self._give_up(pool, sock, "self_connect")
        else:
            self._loop.remove_writer(sock.fileno())
            del pool.connecting[sock]
            pool.ready.append((sock, monotonic_s() + AGE_S))
            pool.gauge(+1)
            pool.backoff_s = 0.0
            self.on_connected(pool.upstream, pool.endpoint)

    def _give_up(self, pool: Pool, sock: Socket, reason: str) -> None:
        self._abandon(pool, sock)
        pool.backoff_s = min(2 * pool.backoff_s, BACKOFF_MAX_S) or BACKOFF_S
        pool.not_before_s = monotonic_s() + pool.backoff_s
        self._wake(pool.not_before_s)
        self.on_failed(pool.upstream, pool.endpoint, reason)

    # Closing ------------------------------------------------------------------

    def _abandon(self, pool: Pool, sock: Socket) -> None:
        del pool.connecting[sock]
        self._loop.remove_writer(sock.fileno())
        sock.close()
        self.descriptors -= 1

    def _close(self, pool: Pool) -> None:
        sock, _ = pool.ready.popleft()
        pool.gauge(-1)
        sock.close()
        self.descriptors -= 1

    def _drop(self, pool: Pool) -> None:
        del self._pools[pool.endpoint]
        for sock in tuple(pool.connecting):
            self._abandon(pool, sock)
        while pool.ready:
            self._close(pool)


def _is_alive(sock: Socket) -> bool:
    """Return False when the server has ended it. One that speaks first is alive."""
    try:
        return bool(sock.recv(1, _PEEK))
    except BlockingIOError:
        return True
    except OSError:
        return False


def _nothing(*_about: object) -> None:
    pass
