"""Orders about listeners: built, packed, sent to workers, and waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeVar

from tenantproxy.control.books import Books
from tenantproxy.control.fleet import Fleet
from tenantproxy.control.listener import Listener
from tenantproxy.control.upstreams import Upstreams
from tenantproxy.dataplane.messages import (
    Adopt,
    EndConnections,
    EndRoute,
    ListenerOrder,
    OpenListeners,
    RouteOrder,
    StopListeners,
    UpdateListeners,
)
from tenantproxy.model.spec import Connections, ListenerSpec

T = TypeVar("T")
RouteEnd = Literal["drain", "kill", "rebalance"]
"""How live connections of a route end, see `EndRoute`."""

BATCH = 100
"""Listeners in one order: below `messages.MAX_FDS` and, at 16 routes each, `MAX_BYTES`."""

ANSWER_S = 5.0
"""A worker that has not answered by then is not waited for."""


class Orders:
    """Speaks to workers about listeners."""

    def __init__(self, fleet: Fleet, books: Books, upstreams: Upstreams) -> None:
        self._fleet, self._books, self._upstreams = fleet, books, upstreams
        self._stops: dict[int, tuple[set[int], list[asyncio.Future[None]]]] = {}
        """By listener id: workers that have yet to answer, and who waits."""

    def open(self, listeners: Sequence[Listener], workers: Iterable[int] | None = None) -> None:
        """Let workers (all that are ready, or these) accept."""
        listeners = [one for one in listeners if one.fds]
        orders = [self._order(listener) for listener in listeners]
        for worker in self._fleet.ready() if workers is None else workers:
            for batch in _batches(list(zip(listeners, orders, strict=True))):
                fds = [one.fds[worker % len(one.fds)] for one, _ in batch]
                self._fleet.send(worker, OpenListeners(tuple(order for _, order in batch)), fds)

    def update(self, listeners: Sequence[Listener]) -> None:
        """Swap splits and timeouts where workers know the listener."""
        orders = [self._order(one) for one in listeners if one.block is not None]
        self._fleet.broadcast(UpdateListeners(tuple(batch)) for batch in _batches(orders))

    async def stop(self, listeners: Sequence[Listener], *, sweep: bool) -> None:
        """Let workers accept no more; returns when all have said that they do not."""
        ready = set(self._fleet.ready())
        if not ready:
            return
        answers: list[asyncio.Future[None]] = []
        for one in listeners:
            waiting, futures = self._stops.setdefault(one.id, (set(), []))
            waiting |= ready
            futures.append(asyncio.get_running_loop().create_future())
            answers.append(futures[-1])
        for batch in _batches([one.id for one in listeners]):
            self._fleet.broadcast([StopListeners(tuple(batch), sweep)])
        if answers:
            _, silent = await asyncio.wait(answers, timeout=ANSWER_S)
            if silent:  # a late answer must not pass for the answer to a later order
                for one in listeners:
                    self._stops.pop(one.id, None)

    def stopped(self, worker: int, ids: Iterable[int]) -> None:
        """Take a worker's answer."""
        for number in ids:
            entry = self._stops.get(number)
            if entry is None:
                continue
            waiting, futures = entry
            waiting.discard(worker)
            if not waiting:
                del self._stops[number]
                for future in futures:
                    if not future.done():
                        future.set_result(None)

    def worker_lost(self, worker: int) -> None:
        """Nothing more comes from it."""
        self.stopped(worker, [n for n, (waiting, _) in self._stops.items() if worker in waiting])

    def end_connections(
        self, listeners: Sequence[Listener], how: Connections, window_s: float, *, forget: bool
    ) -> None:
        """Let workers end what lives; each answers with `Drained`."""
        ready = set(self._fleet.ready())
        for one in listeners:
            one.draining_on = set(ready)
        for batch in _batches([one.id for one in listeners]):
            self._fleet.broadcast([EndConnections(tuple(batch), how, window_s, forget)])

    def end_route(
        self,
        listener: Listener,
        upstream: int,
        mode: RouteEnd,
        window_s: float,
        most: Mapping[int, int] | None = None,
    ) -> None:
        """Let workers end what lives of one route; with `most` so many in each worker named.

        `upstream` is the upstream's id.
        """
        if most is None:
            self._fleet.broadcast([EndRoute(listener.id, upstream, mode, window_s)])
            return
        for worker, count in most.items():
            if count > 0:
                self._fleet.send(worker, EndRoute(listener.id, upstream, mode, window_s, count))

    def adopt(self, listener: Listener, fds: list[int]) -> bool:
        """Give accepted connections to the workers in turn; False if there is none."""
        ready = self._fleet.ready()
        if not ready:
            return False
        for number, batch in enumerate(_batches(fds)):
            worker = ready[number % len(ready)]
            self._fleet.send(worker, Adopt(listener.id, len(batch)), batch)
        return True

    def _order(self, listener: Listener) -> ListenerOrder:
        spec, books = listener.spec, self._books
        if listener.block is None:
            listener.block = books.take_listener()
        routes = listener.routes = listener.routes if listener.routes is not None else {}
        upstreams, signals = self._upstreams.need(listener.named()), listener.signals or {}
        for upstream in upstreams:
            name = upstream.spec.name
            if name not in routes:
                routes[name] = books.take_route()
            upstream.routes.add(routes[name])
        return ListenerOrder(
            id=listener.id,
            block=listener.block,
            name=str(spec.key),
            routes=tuple(
                RouteOrder(
                    upstream.id,
                    member.weight,
                    routes[member.upstream],
                    signals.get(member.upstream, -1),
                )
                for member, upstream in zip(spec.split, upstreams, strict=True)
            ),
            idle_timeout_s=spec.idle_timeout_s,
            hold=spec.wake.hold,
            hold_s=spec.wake.timeout_s,
            sticky=spec.sticky is not None,
            salt=_salt(spec),
            fallback=spec.fallback,
        )


def _salt(spec: ListenerSpec) -> str:
    """Return what makes its clients fall otherwise than another's; each rollout adds its own."""
    return f"{spec.key}{spec.salt}" if spec.sticky is not None else ""


def _batches(items: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
