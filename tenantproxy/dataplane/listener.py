"""A listener as a worker knows it: where its connections go, and those it has."""

from __future__ import annotations

import os
import socket
from bisect import bisect_right
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from tenantproxy.dataplane import counters
from tenantproxy.dataplane.choice import Choice, choice_of
from tenantproxy.dataplane.messages import ListenerOrder, RouteOrder
from tenantproxy.dataplane.signals import Signals
from tenantproxy.model.split import Split, step

if TYPE_CHECKING:
    import asyncio

    from tenantproxy.dataplane.ending import Drain
    from tenantproxy.dataplane.flow import Flow, Socket

CLOSED = {name: counters.Listener.CLOSED + i for i, name in enumerate(counters.CLOSED_REASONS)}
"""Word of the listener block that counts connections closed for this reason."""
REJECTED = {
    name: counters.Listener.REJECTED + i for i, name in enumerate(counters.REJECTED_REASONS)
}
"""Word of the listener block that counts connections refused for this reason."""


class Route:
    """One member of the split: an upstream, and what moved between it and this listener."""

    __slots__ = ("bytes_in", "bytes_out", "cells", "signals", "upstream_id")

    def __init__(self, order: RouteOrder, cells: memoryview) -> None:
        self.upstream_id = order.upstream
        self.signals: Signals | None = None
        """What a rollout counts; None: no rollout looks at it."""
        self.cells = cells
        """The route block, words of `counters.Route`."""
        self.bytes_in = cells[counters.Route.BYTES_IN : counters.Route.BYTES_IN + 2]
        """From clients: bytes, then the millisecond of the last."""
        self.bytes_out = cells[counters.Route.BYTES_OUT : counters.Route.BYTES_OUT + 2]

    def judge(self, block: int, words: counters.CounterFile) -> None:
        """Count into this signal block as well, and into no other any more; -1 is none."""
        signals = self.signals
        if block == (-1 if signals is None else signals.block):
            return
        if signals is not None:
            signals.retire()
        self.signals = Signals(block, words) if block >= 0 else None


class Listener:
    """Sockets and counters of one listener. Swapping its split touches no connection.

    Routes are made when their first connection comes: of ten thousand
    listeners few are ever used in one worker.
    """

    __slots__ = (
        "_choice", "_ends", "_laid", "_routes", "_unhealthy", "_words", "cells", "drain", "ending",
        "family", "flows", "forget", "held", "hold_until_s", "id", "idle_timer", "order", "point",
        "sock", "split", "waking",
    )  # fmt: skip

    def __init__(self, order: ListenerOrder, words: counters.CounterFile) -> None:
        self.id = order.id
        self._words = words
        at = words.listener_at(order.block)
        self.cells = words.words[at : at + counters.LISTENER_WORDS]
        """The listener block, words of `counters.Listener`."""
        self._routes: dict[tuple[int, int], Route] = {}
        self._unhealthy: AbstractSet[int] = frozenset()
        self._choice: Choice | None = None
        """None: the golden walk on the split says it all."""
        self.point = int.from_bytes(os.urandom(4))
        """Where the golden walk is. It begins anywhere: a port that wakes for one connection
        at a time must not send each of them to the same member."""
        self.sock: socket.socket | None = None
        """None while stopped."""
        self.family = socket.AF_INET
        self.flows: set[Flow] = set()
        """Everything accepted that has not ended: connecting, held and connected."""
        self.held = 0
        """How many of `flows` wait for an upstream to appear."""
        self.waking = False
        self.hold_until_s = 0.0
        self.ending = False
        """Told to end its connections; says so when none is left."""
        self.forget = False
        self.drain: Drain | None = None
        self.idle_timer: asyncio.TimerHandle | None = None
        self.update(order)

    def update(self, order: ListenerOrder) -> None:
        """Swap the split and the timeouts; what the split forgets stays with its connections."""
        self.order = order
        self.split = split = Split.of([route.weight for route in order.routes])
        self._ends = split.ends
        self._laid = tuple(order.routes[member] for member in split.members)
        """The routes as they lie on the line: saves `next_route` the call of `Split.at`."""
        self._choice = choice_of(order, split, self._unhealthy, self._choice)
        if self._routes:
            signals = {(route.upstream, route.block): route.signals for route in order.routes}
            for key, route in self._routes.items():
                route.judge(signals.get(key, -1), self._words)  # flows may hold it for long
            self._routes = {key: route for key, route in self._routes.items() if key in signals}

    def open(self, order: ListenerOrder, sock: socket.socket, now_s: float) -> None:
        """Begin, or begin again, with a listening socket; the listener is waking."""
        self.update(order)
        self.sock = sock
        self.family = sock.family
        self.waking = True
        self.hold_until_s = now_s + order.hold_s
        self.ending = self.forget = False

    def cancel_drain(self) -> None:
        """Cut nobody any more for the drain that may run."""
        if self.drain is not None:
            self.drain.cancel()
            self.drain = None

    def set_unhealthy(self, upstream_ids: AbstractSet[int]) -> None:
        """Let these members of the split give their shares to the others, if it has `fallback`."""
        self._unhealthy = upstream_ids
        self._choice = choice_of(self.order, self.split, upstream_ids, self._choice)

    def next_route(self, sock: Socket) -> Route:
        """Return the route of the next connection, by the shares of the split.

        `sock` is the client's; it is asked for its address if the split is sticky.
        """
        self.point = point = step(self.point)
        if self._choice is None:
            order = self._laid[bisect_right(self._ends, point)]
        else:
            order = self.order.routes[self._choice.member(point, sock)]
        route = self._routes.get((order.upstream, order.block))
        return route if route is not None else self._make(order)

    def _make(self, order: RouteOrder) -> Route:
        at = self._words.route_at(order.block)
        route = Route(order, self._words.words[at : at + counters.ROUTE_WORDS])
        route.judge(order.signals, self._words)
        self._routes[order.upstream, order.block] = route
        return route
