"""Views of what runs, made from listeners, upstreams, the overlay and the books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import tenantproxy
from tenantproxy.control.books import NO_GAUGES, NO_TIMES, NOTHING, Books
from tenantproxy.control.endpoint_views import endpoint_views
from tenantproxy.control.history import History
from tenantproxy.control.idle import IdleClock
from tenantproxy.control.listener import Listener
from tenantproxy.control.registry import Registry
from tenantproxy.control.upstream import Upstream
from tenantproxy.control.upstreams import Upstreams
from tenantproxy.dataplane.counters import CONNECT_ERRORS
from tenantproxy.model.edit import users
from tenantproxy.model.layers import ApiChange, Unit
from tenantproxy.model.spec import ListenerKey, ProxySpec, TenantSpec, UpstreamKey
from tenantproxy.model.views import (
    ListenerView,
    Source,
    Status,
    TenantView,
    Totals,
    UpstreamView,
    WorkerView,
)

Overlay = Mapping[Unit, ApiChange]


class Lookout:
    """Looks, and changes nothing.

    `tenants` (what is in force) and `overlay` are set by the controller.
    """

    def __init__(
        self,
        proxy: ProxySpec,
        registry: Registry,
        upstreams: Upstreams,
        books: Books,
        idle: IdleClock,
        history: History,
    ) -> None:
        self._proxy, self._history = proxy, history
        self._registry, self._upstreams, self._books, self._idle = registry, upstreams, books, idle
        self.tenants: Mapping[str, TenantSpec] = {}
        self.overlay: Overlay = {}

    def status(
        self,
        *,
        ready: bool,
        workers: Iterable[WorkerView],
        started_s: float,
        restarts: int,
        policy_actions: Mapping[tuple[str, str], int],
        events: Mapping[str, int],
        document: str | None,
    ) -> Status:
        low, high = self._proxy.port_range
        history, books = self._history, self._books
        return Status(
            version=tenantproxy.__version__,
            ready=ready,
            generation=history.generation,
            started_s=started_s,
            ports_used=len(self._registry.holders.keys() | self._registry.reserved.keys()),
            ports_capacity=high - low + 1,
            workers=tuple(
                replace(
                    view,
                    loop_lag_s=books.loop_lag_s(view.index),
                    connections=books.connections(view.index),
                    kernel_connections=books.kernel_connections(view.index),
                    fds_free=books.fds_free(view.index),
                    accept_pauses=books.accept_pauses(view.index),
                )
                for view in workers
            ),
            accept=self._proxy.accept,
            document=document,
            document_problems=history.problems,
            restart_needed=history.restart_needed,
            last_reload_success_s=history.last_success_s,
            reloads=dict(history.reloads),
            policy_actions=dict(policy_actions),
            worker_restarts=restarts,
            events=dict(events),
        )

    def listener(self, one: Listener) -> ListenerView:
        key, routes = one.key, self._routes(one)
        # A preview has the source of the listener that it belongs to.
        name = one.spec.preview_of or key.listener
        source = self._source(Unit("listener", key.tenant, name))
        split_source = "api" if Unit("split", key.tenant, name) in self.overlay else source
        return ListenerView(
            spec=one.spec,
            port=one.port,
            address=self._registry.address,
            state=one.state,
            reason=one.reason,
            since_s=one.since_wall_s,
            source=source,
            split_source=split_source,
            generation=one.generation,
            totals=self._books.listener_totals(one.block, routes.values()),
            routes={
                name: totals
                for name, totals in routes.items()
                if totals.connections or UpstreamKey(key.tenant, name) in self._upstreams.by_key
            },
            reserved_until_s=one.reserved_until_s,
            policy=self._idle.rule_name(one),
        )

    def listeners(self) -> Iterator[ListenerView]:
        """Iterate over the listeners of this moment; another thread may do it."""
        found = list(self._registry.by_key.values())
        return (self.listener(one) for one in found)

    def totals(self, one: Listener) -> Totals:
        return self._books.listener_totals(one.block, self._routes(one).values())

    def _routes(self, one: Listener) -> dict[str, Totals]:
        # A copy, for a scrape looks from another thread.
        blocks = dict(one.routes or {})
        return {name: self._books.route_totals(block) for name, block in blocks.items()}

    def upstream(self, one: Upstream, used_by: tuple[str, ...]) -> UpstreamView:
        spec, block = one.spec, one.block
        errors, connect, first = dict.fromkeys(CONNECT_ERRORS, 0), NO_TIMES, NO_TIMES
        totals, gauges = NOTHING, NO_GAUGES
        if block is not None:
            totals = self._books.upstream_totals(block, one.routes)
            errors, connect, first = self._books.upstream_details(block)
            gauges = self._books.upstream_gauges(block)
        return UpstreamView(
            spec=spec,
            endpoints=endpoint_views(one, self._books),
            source=self._source(Unit("upstream", spec.tenant, spec.name)),
            totals=totals,
            connect_errors=errors,
            connect_duration=connect,
            first_byte_duration=first,
            listeners=used_by,
            awake=one.awake,
            panic=one.panic,
            discovery_reason=one.discovery_reason,
            shortened="; ".join(one.short.values()),
            **gauges._asdict(),
            ejections=one.ejections,
            checks={"passed": one.passed, "failed": one.failed},
        )

    def upstreams(self, tenant: str | None = None) -> Iterator[UpstreamView]:
        """Iterate over the upstreams of this moment; another thread may do it."""
        found = [
            one
            for one in self._upstreams.by_key.values()
            if tenant is None or one.spec.tenant == tenant
        ]
        used = {name: users(spec) for name, spec in self.tenants.items()}
        return (
            self.upstream(one, used.get(one.spec.tenant, {}).get(one.spec.name, ()))
            for one in found
        )

    def tenant(self, spec: TenantSpec) -> TenantView:
        """Return a tenant as it is declared, with sums over its ports, previews among them."""
        found = [
            one
            for name in self.tenants.get(spec.name, spec).listeners
            if (one := self._registry.by_key.get(ListenerKey(spec.name, name))) is not None
        ]
        return TenantView(
            spec=spec,
            source=self._source(Unit("tenant", spec.name)),
            totals=_sum(self.totals(one) for one in found),
            states=dict(Counter(str(one.state) for one in found)),
        )

    def _source(self, unit: Unit) -> Source:
        return "api" if unit in self.overlay else "file"


def _sum(parts: Iterable[Totals]) -> Totals:
    closed: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    live = total = bytes_in = bytes_out = 0
    last_s: float | None = None
    for part in parts:
        live, total = live + part.connections, total + part.connections_total
        bytes_in, bytes_out = bytes_in + part.bytes_in, bytes_out + part.bytes_out
        closed.update(part.closed)
        rejected.update(part.rejected)
        last_s = max(last_s or 0.0, part.last_activity_s or 0.0) or None
    return Totals(live, total, dict(closed), dict(rejected), bytes_in, bytes_out, last_s)
