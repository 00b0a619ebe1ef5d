"""Tells listeners which upstreams of their split have nobody who serves.

Only listeners with `fallback` are known here, so those without cost nothing
when the health of an upstream changes.
"""

from __future__ import annotations

from collections.abc import Iterable

from tenantproxy.dataplane.listener import Listener
from tenantproxy.dataplane.messages import UpstreamOrder


class Fallbacks:
    """Between what control says of upstreams and the listeners that heed it."""

    def __init__(self) -> None:
        self._unhealthy: set[int] = set()
        self._listeners: dict[int, set[Listener]] = {}
        """By the id of an upstream that they name."""
        self._named: dict[Listener, frozenset[int]] = {}
        """The ids under which a listener stands in `_listeners`."""

    def learn(self, order: UpstreamOrder) -> None:
        """Look at an upstream that was added or replaced; its listeners know when this returns."""
        serves = order.healthy > 0 and any(endpoint.weight > 0 for endpoint in order.endpoints)
        served = order.id not in self._unhealthy
        if serves == served:
            return
        if serves:
            self._unhealthy.discard(order.id)
        else:
            self._unhealthy.add(order.id)
        for listener in self._listeners.get(order.id, ()):
            listener.set_unhealthy(self._named[listener] & self._unhealthy)

    def drop(self, upstream_ids: Iterable[int]) -> None:
        """Forget upstreams that no listener names any more."""
        self._unhealthy.difference_update(upstream_ids)

    def follow(self, listener: Listener) -> None:
        """Look at a listener that was opened or updated."""
        named: frozenset[int] = frozenset()
        if listener.order.fallback:
            named = frozenset(route.upstream for route in listener.order.routes)
        elif listener not in self._named:
            return
        self.forget(listener)
        if named:
            self._named[listener] = named
            for number in named:
                self._listeners.setdefault(number, set()).add(listener)
        listener.set_unhealthy(named & self._unhealthy)

    def forget(self, listener: Listener) -> None:
        """Tell the listener nothing more; one that is not known here is no matter."""
        for number in self._named.pop(listener, ()):
            others = self._listeners[number]
            others.discard(listener)
            if not others:
                del self._listeners[number]
