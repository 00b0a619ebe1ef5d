"""Closing a port so that nobody who was let in is turned away.

A client whose handshake is done believes that it is connected; closing the
socket then would reset it. So newcomers are held back first, handshakes under
way get time to complete, what is queued is served, and then the sockets close.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tenantproxy.control import sockets
from tenantproxy.control.listener import Listener
from tenantproxy.control.orders import Orders
from tenantproxy.control.registry import Registry
from tenantproxy.control.sleepers import Sleepers
from tenantproxy.model.lifecycle import State

LINGER_S = 1.0
"""A port that a policy closes is watched for this long: a late client opens it again."""
HANDSHAKE_S = 0.25
"""Time for handshakes under way to complete once newcomers are held back."""

_LATE = 200
"""Most connections taken out of one queue at the very end."""


class Closing:
    """The steps of closing; which port closes when is decided by the caller."""

    def __init__(self, registry: Registry, orders: Orders, sleepers: Sleepers) -> None:
        self._registry, self._orders, self._sleepers = registry, orders, sleepers

    async def quiet(
        self,
        listener: Listener,
        idle_since_s: float,
        reopen: Callable[[Listener, str], None],
    ) -> bool:
        """Watch a port that a policy closes; False: somebody came and it is open again."""
        epoch = listener.epoch
        await self._orders.stop([listener], sweep=False)
        if listener.epoch != epoch:
            return False
        live, last_s = self._registry.activity(listener)
        if live or last_s > idle_since_s:
            reopen(listener, "a connection arrived")
            return False
        self._sleepers.watch(listener)
        await asyncio.sleep(LINGER_S)
        if listener.epoch != epoch:
            return False
        sockets.hold_back_newcomers(listener.fds)
        await asyncio.sleep(HANDSHAKE_S)
        return listener.epoch == epoch

    async def shut(self, listener: Listener) -> None:
        """Serve what is queued, then close the sockets and reserve the number."""
        fds = listener.fds
        self._sleepers.unwatch(listener)
        if not fds:  # a successor has them, or they were closed before
            await self._orders.stop([listener], sweep=False)
        else:
            sockets.hold_back_newcomers(fds)
            if listener.block is None:
                await asyncio.sleep(HANDSHAKE_S)
                if sockets.queued(fds) and listener.fds:
                    self._orders.open([listener])
            if listener.block is not None:
                await self._orders.stop([listener], sweep=True)
                await asyncio.sleep(HANDSHAKE_S)
                late = sockets.accept_all(listener.fds, _LATE)
                self._orders.adopt(listener, late)
                sockets.close_all(tuple(late))
        self._registry.let_go(listener)  # a successor may have taken the sockets meanwhile
        sockets.close_all(tuple(listener.held or ()))
        listener.held = None

    async def everything(self, open_many: Callable[[Sequence[Listener], str], None]) -> None:
        """Accept nothing new anywhere; what is queued is served. The sockets are closed."""
        everyone = [one for one in self._registry.everyone() if one.fds]
        for one in everyone:
            self._sleepers.unwatch(one)
            sockets.hold_back_newcomers(one.fds)
        await asyncio.sleep(HANDSHAKE_S)
        late = [one for one in everyone if one.state is State.ASLEEP and sockets.queued(one.fds)]
        open_many(late, "a connection arrived at shutdown")
        self._orders.open([one for one in everyone if one.state is State.DRAINING])
        awake = [one for one in everyone if one.block is not None]
        await self._orders.stop(awake, sweep=True)
        for one in everyone:
            sockets.close_all(one.fds)
            one.fds = ()
