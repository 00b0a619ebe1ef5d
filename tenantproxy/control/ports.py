"""The life of every port: asleep, open, draining, closed. The only module that moves states.

A listener's sockets stay here whatever the workers do, so nothing that a
client is promised by a completed handshake is lost: while workers stop, the
sockets go back to the sleepers, and what waits in a queue opens them again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from tenantproxy import clock
from tenantproxy.control import sockets
from tenantproxy.control.books import Books
from tenantproxy.control.closing import Closing
from tenantproxy.control.events import Events
from tenantproxy.control.fleet import Fleet
from tenantproxy.control.listener import Listener
from tenantproxy.control.orders import Orders
from tenantproxy.control.registry import RESERVED_S, Registry
from tenantproxy.control.sleepers import Sleepers
from tenantproxy.control.upstreams import Upstreams
from tenantproxy.errors import Conflict, TenantProxyError, WakeTimeout
from tenantproxy.model.lifecycle import State
from tenantproxy.model.spec import Connections, ListenerKey, ListenerSpec
from tenantproxy.tasks import Background

RETRY_FIRST_S, RETRY_MOST_S = 1.0, 60.0
MOST_REFUSED = 1000
"""Connections refused at once when nobody opened the port for them."""


class Ports:
    """Every listener of one daemon; actions of the planner come in as method calls."""

    def __init__(
        self,
        registry: Registry,
        fleet: Fleet,
        books: Books,
        upstreams: Upstreams,
        events: Events,
        background: Background,
    ) -> None:
        self.registry = registry
        self._upstreams = upstreams
        self._events, self._background = events, background
        self.orders = Orders(fleet, books, upstreams)
        self._sleepers = Sleepers(self._knocked)
        self._closing = Closing(registry, self.orders, self._sleepers)
        self._loop = asyncio.get_running_loop()
        self._locks: dict[int, asyncio.Lock] = {}
        self.on_open: Callable[[Listener], None] = lambda _: None
        """Called when a listener has become open."""
        self.on_free: Callable[[ListenerKey], None] = lambda _: None
        """Called when a listener has reached `cooling`, or may be tried again: plan again."""

    # Carrying out plans -------------------------------------------------------

    def place(
        self, spec: ListenerSpec, port: int, fds: tuple[int, ...], generation: int
    ) -> Listener:
        """Put a listener on its sockets; it is asleep when this returns."""
        self._take_over(port, fds)
        listener = self.registry.enter(spec, port, generation)
        self.registry.hold(listener, fds)
        listener.failures = 0
        self._move(listener, State.ASLEEP, "bound; opens at the first connection")
        self._sleepers.watch(listener)
        return listener

    def failed(
        self, spec: ListenerSpec, port: int, error: TenantProxyError, generation: int
    ) -> Listener:
        """Note that a listener cannot have its port; it is tried again with back-off."""
        listener = self.registry.enter(spec, port, generation)
        self._fail(listener, str(error), code=error.code)
        return listener

    def open_many(self, listeners: Sequence[Listener], reason: str) -> None:
        """Begin to open sleeping listeners."""
        for listener in listeners:
            self._sleepers.unwatch(listener)
            self._move(listener, State.OPENING, reason)
            listener.open_since_s = clock.monotonic_s()
            self._loop.call_later(
                listener.spec.wake.timeout_s, self._opening_too_long, listener, listener.epoch
            )
        self.orders.open(listeners)

    def update(self, listeners: Sequence[Listener]) -> None:
        """Send new splits and timeouts to workers; sockets and connections stay."""
        for one in listeners:
            if self._upstreams.used_by(one.id):
                self._upstreams.use(one.id, one.named())
        self.orders.update(listeners)

    def retire(self, key: ListenerKey, how: Connections) -> Listener | None:
        """Take a listener out of what is wanted; it closes in the background."""
        listener = self.registry.by_key.pop(key, None)
        if listener is None:
            return None
        self.registry.retired.add(listener)
        self._background.start(
            self.close(listener, how, "removed", forget=True), name=f"close {key}"
        )
        return listener

    # One port -------------------------------------------------------------------

    async def open(self, listener: Listener, reason: str) -> None:
        """Open it, from whatever state; when this returns a worker accepts.

        Raises:
            WakeTimeout, PortTaken, ListenFailed and the like.
        """
        while listener.closing:
            async with self._lock(listener):
                pass
        match listener.state:
            case State.OPEN:
                return
            case State.OPENING:
                pass
            case State.ASLEEP:
                self.open_many([listener], reason)
            case State.DRAINING if listener.fds:
                self._reopen(listener, reason)
            case _:
                self._bind_again(listener)
                if listener.state is State.DRAINING:
                    self._reopen(listener, reason)
                else:
                    self.open_many([listener], reason)
        waiter: asyncio.Future[None] = self._loop.create_future()
        listener.waiters = [*(listener.waiters or ()), waiter]
        limit_s = listener.spec.wake.timeout_s
        try:
            async with asyncio.timeout(limit_s):
                await waiter
        except TimeoutError:
            reason = f"no worker accepted within {limit_s:g} s"
            raise WakeTimeout(reason, hint="look at the workers: describe daemon") from None

    async def sleep(
        self,
        listener: Listener,
        how: Connections,
        reason: str,
        *,
        idle_since_s: float | None = None,
    ) -> bool:
        """Let workers stop; returns when none accepts. The next connection wakes the port.

        With `idle_since_s` (CLOCK_MONOTONIC) it opens again at once if
        anything happened after that. Returns whether it stayed asleep.
        """
        async with self._lock(listener):
            if listener.state not in (State.OPEN, State.OPENING):
                return False
            self._move(listener, State.DRAINING, reason)
            epoch = listener.epoch
            listener.tell_waiters(Conflict(f"listener {listener.key} was put to sleep"))
            await self.orders.stop([listener], sweep=False)
            if listener.epoch != epoch:
                return False
            live, last_s = self.registry.activity(listener)
            if idle_since_s is not None and (live or last_s > idle_since_s):
                self._reopen(listener, "a connection arrived")
                return False
            self._sleepers.watch(listener)
            if live and how != "keep":
                self.orders.end_connections([listener], how, listener.spec.drain_s, forget=False)
            else:
                self._move(listener, State.ASLEEP, reason)
                self._note("slept", listener, reason)
            return True

    async def close(
        self,
        listener: Listener,
        how: Connections,
        reason: str,
        *,
        forget: bool = False,
        idle_since_s: float | None = None,
    ) -> bool:
        """Give the port up; returns when its sockets are closed and connections are ending.

        Nothing that was queued is reset: newcomers are held back first, what
        is queued is accepted, then the sockets close. With `idle_since_s` a
        connection that arrives meanwhile opens the port again instead.
        Returns whether it closed.
        """
        async with self._lock(listener):
            if listener.state in (State.FAILED, State.CLOSED, State.COOLING):
                self._gone(listener, forget=forget, reason=reason)
                return True
            if listener.state is State.DRAINING:
                listener.epoch += 1
                listener.reason = reason
                listener.draining_on = None  # it drained into sleep; now it drains to its end
            else:
                self._move(listener, State.DRAINING, reason)
            if idle_since_s is not None and not await self._closing.quiet(
                listener, idle_since_s, self._reopen
            ):
                return False
            listener.closing = True
            try:
                await self._closing.shut(listener)
            finally:
                listener.closing = False
            listener.tell_waiters(Conflict(f"listener {listener.key} was closed"))
            if listener.block is not None:
                # Even with no connection left: a worker may have an adopted one still to read.
                self.orders.end_connections([listener], how, listener.spec.drain_s, forget=forget)
            if not listener.draining_on:
                self._gone(listener, forget=forget, reason=reason)
            return True

    async def stop_all(self) -> None:
        """Accept nothing new anywhere; what is queued is served. The sockets are closed."""
        await self._closing.everything(self.open_many)

    def close_sockets(self) -> None:
        """Release everything at once, at the very end."""
        self._sleepers.close()
        self.registry.close()

    def live_connections(self) -> int:
        """Return connections over all listeners, those of retired ones included."""
        return sum(self.registry.activity(one)[0] for one in self.registry.by_id.values())

    # From workers ----------------------------------------------------------------

    def worker_ready(self, worker: int) -> None:
        """Give a new worker everything that is open or opening."""
        self._upstreams.introduce(worker)
        everyone, awake = self.registry.by_id.values(), (State.OPEN, State.OPENING)
        self.orders.open([one for one in everyone if one.state in awake], [worker])

    def worker_lost(self, worker: int) -> None:
        """Settle the books and wait no more for its answers."""
        known = self.registry.settle(worker, clock.monotonic_s())
        self._upstreams.worker_lost(worker)
        self.orders.worker_lost(worker)
        for one in known:
            if one.draining_on and worker in one.draining_on:
                self._drained(one, worker)

    def opened(self, ids: Iterable[int]) -> None:
        """A worker accepts from these."""
        for number in ids:
            listener = self.registry.by_id.get(number)
            if listener is not None and listener.state is State.OPENING:
                why = listener.reason
                self._move(listener, State.OPEN, why)
                self._note("opened", listener, why)
                self._hand_over_held(listener)
                listener.tell_waiters(None)
                self.on_open(listener)

    def stopped(self, worker: int, ids: Iterable[int]) -> None:
        """A worker accepts from these no more."""
        self.orders.stopped(worker, ids)

    def drained(self, worker: int, ids: Iterable[int]) -> None:
        """A worker has no connections of these left."""
        for number in ids:
            listener = self.registry.by_id.get(number)
            if listener is not None and listener.draining_on is not None:
                self._drained(listener, worker)

    # Steps -------------------------------------------------------------------------

    def _move(self, listener: Listener, new: State, reason: str) -> None:
        """Change the state; upstreams wake with it, and draining leaves them as they were."""
        listener.move(new, reason)
        if new is State.OPENING:
            self._upstreams.use(listener.id, listener.named())
        elif new not in (State.OPEN, State.DRAINING):
            self._upstreams.release(listener.id)

    def _take_over(self, port: int, fds: tuple[int, ...]) -> None:
        """Let the present holder of these sockets go on without them."""
        holder = self.registry.holders.get(port)
        if holder is None or holder.fds != fds:
            return
        self._sleepers.unwatch(holder)
        sockets.let_newcomers_in(fds)
        holder.fds = ()

    def _bind_again(self, listener: Listener) -> None:
        try:
            fds = self.registry.new_sockets(listener.port)
        except TenantProxyError as error:
            if listener.state is not State.DRAINING:
                self._fail(listener, str(error), code=error.code)
            raise
        self.registry.hold(listener, fds)
        if listener.state is not State.DRAINING:
            self._move(listener, State.ASLEEP, "bound again")

    def _reopen(self, listener: Listener, reason: str) -> None:
        """Turn back from draining; its sockets are still there."""
        sockets.let_newcomers_in(listener.fds)
        listener.draining_on = None
        self.open_many([listener], reason)

    def _knocked(self, listener: Listener) -> None:
        if listener.state is State.ASLEEP:
            self.open_many([listener], "first connection")
        elif listener.state is State.DRAINING:
            self._reopen(listener, "a connection arrived")

    def _drained(self, listener: Listener, worker: int) -> None:
        assert listener.draining_on is not None  # noqa: S101 - callers looked
        listener.draining_on.discard(worker)
        if listener.draining_on or listener.state is not State.DRAINING:
            return
        listener.draining_on = None
        if listener.fds:
            self._move(listener, State.ASLEEP, listener.reason)
            self._note("slept", listener, listener.reason)
        else:
            self._gone(listener, forget=listener in self.registry.retired, reason=listener.reason)

    def _gone(self, listener: Listener, *, forget: bool, reason: str) -> None:
        """No socket and no connection is left."""
        if listener.state not in (State.CLOSED, State.COOLING):
            self._move(listener, State.CLOSED, reason)
            self._note("closed", listener, reason)
        self._locks.pop(listener.id, None)
        if forget:
            self.registry.forget(listener)
            return
        if listener.state is State.CLOSED:
            self._move(listener, State.COOLING, reason)
            listener.reserved_until_s = clock.wall_s() + RESERVED_S
            self._loop.call_later(RESERVED_S, self._cooled, listener, listener.epoch)
        self.on_free(listener.key)

    def _cooled(self, listener: Listener, epoch: int) -> None:
        if listener.epoch == epoch:
            listener.reserved_until_s = None
            self._move(listener, State.CLOSED, "reservation ended")

    def _retry(self, listener: Listener) -> None:
        listener.retry_at_s = 0.0
        self.on_free(listener.key)

    def _fail(self, listener: Listener, reason: str, *, code: str) -> None:
        again_s = min(RETRY_FIRST_S * 2**listener.failures, RETRY_MOST_S)
        listener.failures += 1
        listener.retry_at_s = self._loop.time() + again_s
        if listener.state is State.FAILED:
            listener.reason = reason
        else:
            self._move(listener, State.FAILED, reason)
            self._note("failed", listener, reason, level="warning", code=code)
        self._loop.call_later(again_s, self._retry, listener)

    def _opening_too_long(self, listener: Listener, epoch: int) -> None:
        """Refuse who has waited for longer than they may; the port goes on opening."""
        if listener.state is not State.OPENING or listener.epoch != epoch:
            return
        limit_s = listener.spec.wake.timeout_s
        reason = f"no worker accepted within {limit_s:g} s"
        if listener.reason != reason:
            self._note("wake_timeout", listener, reason, level="warning", code=WakeTimeout.code)
            listener.reason = reason
        sockets.close_all((*sockets.accept_all(listener.fds, MOST_REFUSED), *(listener.held or ())))
        listener.held = None
        listener.tell_waiters(WakeTimeout(reason))
        self._loop.call_later(limit_s, self._opening_too_long, listener, epoch)

    def _hand_over_held(self, listener: Listener) -> None:
        held, listener.held = listener.held, None
        if held:
            self.orders.adopt(listener, held)
            sockets.close_all(tuple(held))

    def _lock(self, listener: Listener) -> asyncio.Lock:
        return self._locks.setdefault(listener.id, asyncio.Lock())

    def _note(
        self, event: str, listener: Listener, reason: str, *, level: str = "info", code: str = ""
    ) -> None:
        self._events.add(
            event,
            reason,
            tenant=listener.spec.tenant,
            about=f"listener/{listener.spec.name}",
            level=level,
            values={"port": listener.port, "code": code} if code else {"port": listener.port},
        )
