"""What rollouts do to the rest of the control side: weights, counting, ending, promoting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from tenantproxy.control.books import Books
from tenantproxy.control.desired import Candidate, Desired
from tenantproxy.control.events import Events
from tenantproxy.control.lookout import Lookout
from tenantproxy.control.orders import RouteEnd
from tenantproxy.control.ports import Ports
from tenantproxy.control.upstreams import Upstreams
from tenantproxy.errors import ListenFailed, TenantProxyError
from tenantproxy.model import edit
from tenantproxy.model.derive import Carried, preview_key
from tenantproxy.model.endpoints import USABLE
from tenantproxy.model.sides import NOTHING, Side
from tenantproxy.model.spec import ListenerKey, ListenerSpec, SplitMember, UpstreamKey
from tenantproxy.model.views import ListenerView


class RolloutHands:
    """Implements `hands.Hands`: values from the parts, deeds by way of the parts.

    `put_in_force` and `declare` are the controller's: the one for a candidate of `from_rollout`,
    the other for one that is a generation of its own.
    """

    def __init__(
        self,
        desired: Desired,
        ports: Ports,
        books: Books,
        upstreams: Upstreams,
        lookout: Lookout,
        events: Events,
        *,
        put_in_force: Callable[[Candidate], None],
        declare: Callable[[Candidate], None],
    ) -> None:
        self._desired, self._ports, self._registry = desired, ports, ports.registry
        self._books, self._upstreams, self._lookout = books, upstreams, lookout
        self._events = events
        self._put_in_force, self._declare = put_in_force, declare
        self._uncounted: set[ListenerKey] = set()
        """Those of which it was said that nothing is counted."""

    # The split ---------------------------------------------------------------------------

    def carry(self, key: ListenerKey, carried: Carried | None) -> None:
        """See `Hands`. A preview that cannot have a port is left out, and said; weights move."""
        if carried == self._desired.carried.get(key):
            return
        try:
            self._put_in_force(self._desired.from_rollout(key, carried))
        except TenantProxyError as error:
            if carried is None or carried.preview is None:
                raise
            self._put_in_force(self._desired.from_rollout(key, replace(carried, preview=None)))
            self._events.add(
                "failed",
                str(error),
                tenant=key.tenant,
                about=f"listener/{preview_key(key).listener}",
                level="warning",
                code=error.code,
            )

    def declared(self, key: ListenerKey) -> tuple[SplitMember, ...]:
        spec = self._spec(key)
        return () if spec is None else spec.split

    def declare(self, key: ListenerKey, split: tuple[SplitMember, ...]) -> None:
        if self.declared(key) not in ((), split):
            tenants = edit.with_split(self._desired.declared, key, split)
            self._declare(self._desired.from_api(tenants))

    def from_file(self, key: ListenerKey) -> bool:
        tenant = self._desired.file.get(key.tenant)
        return tenant is not None and key.listener in tenant.listeners

    # Counting ----------------------------------------------------------------------------

    def count(self, key: ListenerKey, upstreams: tuple[str, ...]) -> bool:
        """See `Hands`. What drains its last connections gives back what it counts with after them.

        Where no counters are left that is said once.
        """
        registry = self._registry
        listener = registry.by_key.get(key)
        drains = listener is None and any(one.key == key for one in registry.retired)
        if drains and not upstreams:
            return True
        try:
            news = registry.count(key, upstreams)
        except ListenFailed as error:
            self._say_uncounted(key, error)
            return False
        self._uncounted.discard(key)
        if news and listener is not None:
            self._ports.orders.update([listener])
        return True

    def _say_uncounted(self, key: ListenerKey, error: ListenFailed) -> None:
        if key not in self._uncounted:
            self._uncounted.add(key)
            self._events.add(
                "rollout_uncounted",
                str(error),
                tenant=key.tenant,
                about=f"listener/{key.listener}",
                level="warning",
            )

    def side(self, key: ListenerKey, upstream: str) -> Side:
        block = self._registry.counted(key).get(upstream)
        return NOTHING if block is None else self._books.side([block])

    # Connections -------------------------------------------------------------------------

    def live(self, key: ListenerKey, upstream: str) -> tuple[int, ...]:
        listener = self._registry.by_key.get(key)
        route = None if listener is None else (listener.routes or {}).get(upstream)
        return (0,) * len(self._books.files) if route is None else self._books.live(route)

    def end(
        self,
        key: ListenerKey,
        upstream: str,
        mode: RouteEnd,
        window_s: float,
        most: Mapping[int, int] | None = None,
    ) -> None:
        listener = self._registry.by_key.get(key)
        found = self._upstreams.by_key.get(UpstreamKey(key.tenant, upstream))
        if listener is not None and found is not None and upstream in (listener.routes or {}):
            self._ports.orders.end_route(listener, found.id, mode, window_s, most)

    def drain_s(self, key: ListenerKey) -> float:
        spec = self._spec(key)
        return 0.0 if spec is None else spec.drain_s

    # Looking -----------------------------------------------------------------------------

    def endpoints(self, tenant: str, upstream: str) -> tuple[int, int] | None:
        """See `Hands`. None, too, until its source has said anything for the first time."""
        found = self._upstreams.by_key.get(UpstreamKey(tenant, upstream))
        if found is None or not found.awake or not (found.known or found.discovery_reason):
            return None
        states = [one.health.state for one in found.endpoints.values()]
        return sum(state in USABLE for state in states), len(states)

    def listener(self, key: ListenerKey) -> ListenerView | None:
        found = self._registry.by_key.get(key)
        return None if found is None else self._lookout.listener(found)

    def _spec(self, key: ListenerKey) -> ListenerSpec | None:
        """Return the listener as it is declared."""
        tenant = self._desired.declared.get(key.tenant)
        return None if tenant is None else tenant.listeners.get(key.listener)
