"""Who holds which number: listeners, their sockets, and numbers that cool down."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping

from tenantproxy.control import sockets
from tenantproxy.control.books import Books
from tenantproxy.control.listener import Listener
from tenantproxy.control.upstreams import Upstreams
from tenantproxy.errors import ListenFailed
from tenantproxy.model.ports import Reservation
from tenantproxy.model.spec import ListenerKey, ListenerSpec, UpstreamKey

RESERVED_S = 24 * 3600.0


class Registry:
    """Holds listeners and sockets; moves no state.

    `sockets_each` is how many sockets a port has: one, or one for each worker.
    """

    def __init__(self, address: str, sockets_each: int, books: Books, upstreams: Upstreams) -> None:
        self.address = address
        self.sockets_each = sockets_each
        self._books, self._upstreams = books, upstreams
        self._loop = asyncio.get_running_loop()
        self.by_key: dict[ListenerKey, Listener] = {}
        """What is wanted now."""
        self.retired: set[Listener] = set()
        """What is wanted no more and still drains."""
        self.by_id: dict[int, Listener] = {}
        self.holders: dict[int, Listener] = {}
        """Who holds the sockets of a number."""
        self.reserved: dict[int, Reservation] = {}
        self._signals: dict[ListenerKey, dict[str, int]] = {}
        """Signal blocks by the names of listener and upstream: what is counted for a rollout goes
        on when the listener moves to another port."""

    def bind(self, spec: ListenerSpec, port: int, leaving: Iterable[Listener]) -> tuple[int, ...]:
        """Get the sockets of a port: new ones, or those of a listener that gives them up.

        Raises:
            PortTaken, PortPrivileged, FdLimit, ListenFailed
        """
        holder = self.holders.get(port)
        if (
            holder is not None
            and holder.key.tenant == spec.tenant
            and (holder in leaving or holder in self.retired or holder.key == spec.key)
        ):
            return holder.fds
        return self.new_sockets(port)

    def new_sockets(self, port: int) -> tuple[int, ...]:
        """Bind a port and listen; raises as `bind`."""
        return sockets.listen(self.address, port, count=self.sockets_each)

    def unbind(self, port: int, fds: tuple[int, ...]) -> None:
        """Undo a `bind` that is not used."""
        holder = self.holders.get(port)
        if holder is None or holder.fds != fds:
            sockets.close_all(fds)

    def enter(self, spec: ListenerSpec, port: int, generation: int) -> Listener:
        """Return the listener of a key on a port; a new one if there is none."""
        listener = self.by_key.get(spec.key)
        if listener is None or listener.port != port:
            listener = Listener(spec, port, generation)
            self.by_key[spec.key] = self.by_id[listener.id] = listener
            listener.signals = self._signals.get(spec.key)
        listener.spec, listener.generation = spec, generation
        return listener

    def hold(self, listener: Listener, fds: tuple[int, ...]) -> None:
        """Give a listener its sockets; its number is no longer reserved but used."""
        listener.fds = fds
        listener.reserved_until_s = None
        self.holders[listener.port] = listener
        self.reserved.pop(listener.port, None)

    def let_go(self, listener: Listener) -> None:
        """Close a listener's sockets and keep the number for its tenant."""
        sockets.close_all(listener.fds)
        listener.fds = ()
        if self.holders.get(listener.port) is listener:
            del self.holders[listener.port]
            until_s = self._loop.time() + RESERVED_S
            kept = self.reserved[listener.port] = Reservation(listener.key, until_s)
            self._loop.call_later(RESERVED_S, self._unreserve, listener.port, kept)

    def _unreserve(self, port: int, kept: Reservation) -> None:
        if self.reserved.get(port) is kept:
            del self.reserved[port]

    def count(self, key: ListenerKey, upstreams: Collection[str]) -> bool:
        """Count signals of what the listener sends to these upstreams, and of nothing else.

        Returns whether that is news, which workers have to hear.

        Raises:
            ListenFailed: all blocks are in use; nothing has changed.
        """
        before = self._signals.get(key, {})
        if before.keys() == set(upstreams):
            return False
        after = {name: before[name] for name in upstreams if name in before}
        taken: dict[str, int] = {}
        try:
            for name in upstreams:
                if name not in before:
                    taken[name] = self._books.take_signals()
        except ListenFailed:
            self._give_back(taken.values())
            raise
        self._give_back(block for name, block in before.items() if name not in after)
        self._signals[key] = {**after, **taken}
        if not upstreams:
            del self._signals[key]
        for one in (self.by_key.get(key), *self.retired):
            if one is not None and one.key == key:
                one.signals = self._signals.get(key)
        return True

    def counted(self, key: ListenerKey) -> Mapping[str, int]:
        """Return the signal blocks of a listener, by upstream."""
        return self._signals.get(key, {})

    def _give_back(self, blocks: Iterable[int]) -> None:
        for block in blocks:
            self._books.give_back_signals(block)

    def forget(self, listener: Listener) -> None:
        """Drop a listener that has no connection left; its counters may be used again."""
        if self.by_key.get(listener.key, listener) is listener:
            self.count(listener.key, ())
        self.retired.discard(listener)
        self.by_id.pop(listener.id, None)
        for name, route in (listener.routes or {}).items():
            upstream = self._upstreams.by_key.get(UpstreamKey(listener.spec.tenant, name))
            if upstream is None:
                self._books.drop_route(route, None)
            else:
                self._books.drop_route(route, upstream.block, upstream.routes)
        if listener.block is not None:
            self._books.drop_listener(listener.block)
        listener.block = listener.routes = None

    def settle(self, worker: int, now_s: float) -> list[Listener]:
        """Close in the books what a dead worker left open; return who may have used it."""
        known = [one for one in self.by_id.values() if one.block is not None]
        self._books.settle(
            worker,
            [one.block for one in known if one.block is not None],
            [route for one in known for route in (one.routes or {}).values()],
            now_s,
            *self._upstreams.blocks(),
            [block for blocks in self._signals.values() for block in blocks.values()],
        )
        return known

    def activity(self, listener: Listener) -> tuple[int, float]:
        """Return connections now, and CLOCK_MONOTONIC of the last sign of life."""
        return self._books.activity(listener.block, (listener.routes or {}).values())

    def everyone(self) -> list[Listener]:
        """Return what is wanted and what is retired."""
        return [*self.by_key.values(), *self.retired]

    def close(self) -> None:
        """Close every socket and every held connection."""
        for one in self.everyone():
            sockets.close_all(one.fds)
            sockets.close_all(tuple(one.held or ()))
            one.fds, one.held = (), None
