"""A control side without sockets and workers: real values, plans and events, invented traffic.

`MemoryControl` follows `control.facade.Control`; `real_control` runs the
real one on the same document, so a test that takes either holds for both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tenantproxy import clock
from tenantproxy.config.document import parse_document
from tenantproxy.control.controller import Controller
from tenantproxy.control.desired import Candidate, Desired
from tenantproxy.control.events import Events
from tenantproxy.control.facade import Control, Watch
from tenantproxy.control.history import History
from tenantproxy.dataplane.counters import BUCKETS_S
from tenantproxy.errors import Conflict
from tenantproxy.model import edit
from tenantproxy.model.checks import check_tenant
from tenantproxy.model.delta import Change, changes
from tenantproxy.model.layers import Unit
from tenantproxy.model.lifecycle import State
from tenantproxy.model.rollout import Command
from tenantproxy.model.rollout_spec import RolloutSpec
from tenantproxy.model.rollout_view import RolloutView
from tenantproxy.model.spec import (
    Connections,
    Document,
    ListenerKey,
    ListenerSpec,
    PolicySpec,
    SplitMember,
    TenantSpec,
    UpstreamKey,
    UpstreamSpec,
)
from tenantproxy.model.views import (
    EndpointView,
    Event,
    GenerationView,
    Histogram,
    ListenerView,
    RelayView,
    Source,
    Status,
    TenantView,
    Totals,
    UpstreamView,
    WorkerView,
)
from tests.support_rollouts import Rollouts

PUMP = RelayView("pump", "asked for the pump")
EMPTY = Histogram((0,) * (len(BUCKETS_S) + 1), 0.0)

ACME = """
version: 1
proxy:
  workers: 1
  listen_address: 127.0.0.1
  port_range: 21000-29999
tenants:
  acme:
    labels: {team: payments}
    upstreams:
      web-v1: {endpoints: ["127.0.0.1:8080", {address: "127.0.0.1:8081", weight: 2}]}
      web-v2: {endpoints: ["127.0.0.1:8082"]}
    listeners:
      web: {split: {web-v1: 95, web-v2: 5}, idle: {after: 15m, then: sleep}}
  umbrella:
    upstreams: {lab: {endpoints: ["127.0.0.1:9000"]}}
    listeners: {lab: {split: {lab: 1}}}
"""

WEB = ListenerKey("acme", "web")


@dataclass
class Traffic:
    """What a test says that happened."""

    listeners: dict[ListenerKey, Totals] = field(default_factory=dict)
    routes: dict[ListenerKey, dict[str, Totals]] = field(default_factory=dict)
    upstreams: dict[UpstreamKey, Totals] = field(default_factory=dict)
    errors: dict[UpstreamKey, dict[str, int]] = field(default_factory=dict)
    times: dict[UpstreamKey, Histogram] = field(default_factory=dict)
    seen: dict[UpstreamKey, dict[str, Any]] = field(default_factory=dict)
    """Fields of `UpstreamView`, `endpoints` for one, as a test wants them."""


@dataclass
class Port:
    number: int
    state: State = State.ASLEEP
    reason: str = "bound"
    since_s: float = 0.0
    generation: int = 0


class MemoryControl:
    """See `control.facade.Control` for every method."""

    def __init__(self, document: Document, policies: Sequence[PolicySpec] = ()) -> None:
        self.proxy = document.proxy
        self.traffic = Traffic()
        self.ready = True
        self.workers: tuple[WorkerView, ...] = (
            WorkerView(0, 4711, "ready", 0, 0.001, 3, clock.wall_s(), relay=PUMP),
        )
        self.policy_actions: dict[tuple[str, str], int] = {}
        self.rolling = Rollouts()
        self.looked = 0
        """How often a single rollout was asked for."""
        self.in_force: dict[ListenerKey, tuple[SplitMember, ...]] = {}
        """Splits as rollouts have moved them; what is declared stays."""
        self.log = Events()
        self.history = History(self.log)
        self._policies = tuple(policies)
        self._ports: dict[ListenerKey, Port] = {}
        self._started_s = clock.wall_s()
        self._desired = Desired(lambda tenant: check_tenant(tenant, self.proxy))
        self._next_port = self.proxy.port_range[0]
        self._apply(self._desired.from_file(document.tenants), "file")
        self.history.last_success_s = clock.wall_s()

    def end(self) -> None:
        self.log.end()

    # Looking -------------------------------------------------------------

    def status(self) -> Status:
        first, last = self.proxy.port_range
        return Status(
            version="0.0.test",
            ready=self.ready,
            generation=self.history.generation,
            started_s=self._started_s,
            ports_used=len(self._ports),
            ports_capacity=last - first + 1,
            workers=self.workers,
            accept=self.proxy.accept,
            document="/etc/tenantproxy.yaml",
            document_problems=self.history.problems,
            restart_needed=self.history.restart_needed,
            last_reload_success_s=self.history.last_success_s,
            reloads=dict(self.history.reloads),
            policy_actions=dict(self.policy_actions),
            worker_restarts=2,
            events=dict(self.log.counts),
        )

    def document(self) -> Document:
        return Document(self.proxy, self._desired.tenants)

    def tenants(self) -> list[TenantView]:
        return [self.tenant(name) for name in sorted(self._desired.tenants)]

    def tenant(self, name: str) -> TenantView:
        spec = edit.tenant(self._desired.tenants, name)
        mine = [self.listener(one.key) for one in spec.listeners.values()]
        last = [v.totals.last_activity_s for v in mine if v.totals.last_activity_s is not None]
        totals = Totals(
            connections=sum(view.totals.connections for view in mine),
            connections_total=sum(view.totals.connections_total for view in mine),
            bytes_in=sum(view.totals.bytes_in for view in mine),
            bytes_out=sum(view.totals.bytes_out for view in mine),
            last_activity_s=max(last, default=None),
        )
        source = self._source(Unit("tenant", name))
        return TenantView(spec, source, totals, Counter(str(view.state) for view in mine))

    def listeners(self, tenant: str | None = None) -> list[ListenerView]:
        owners = self._desired.tenants if tenant is None else [tenant]
        return [
            self.listener(ListenerKey(owner, name))
            for owner in sorted(owners)
            for name in sorted(edit.tenant(self._desired.tenants, owner).listeners)
        ]

    def listener(self, key: ListenerKey) -> ListenerView:
        spec = edit.listener(self._desired.tenants, key)
        if key in self.in_force:
            spec = replace(spec, split=self.in_force[key])
        port, source = self._ports[key], self._source(Unit("listener", *key))
        split = "api" if Unit("split", *key) in self._desired.overlay else source
        return ListenerView(
            spec=spec,
            port=port.number,
            address=self.proxy.listen_address,
            state=port.state,
            reason=port.reason,
            since_s=port.since_s,
            source=source,
            split_source=split,
            generation=port.generation,
            totals=self.traffic.listeners.get(key, Totals()),
            routes=self.traffic.routes.get(key, {}),
            policy="listener" if spec.idle else None,
        )

    def listener_snapshots(self) -> Iterable[ListenerView]:
        return (self.listener(key) for key in list(self._ports))

    def upstreams(self, tenant: str | None = None) -> list[UpstreamView]:
        owners = self._desired.tenants if tenant is None else [tenant]
        return [
            self.upstream(UpstreamKey(owner, name))
            for owner in sorted(owners)
            for name in sorted(edit.tenant(self._desired.tenants, owner).upstreams)
        ]

    def upstream(self, key: UpstreamKey) -> UpstreamView:
        edit.upstream(self._desired.tenants, key)
        return self._upstream(key, edit.users(self._desired.tenants[key.tenant]))

    def _upstream(self, key: UpstreamKey, users: dict[str, tuple[str, ...]]) -> UpstreamView:
        spec = edit.upstream(self._desired.tenants, key)
        view = UpstreamView(
            spec=spec,
            endpoints=tuple(
                EndpointView(str(e), e.host, weight=e.weight, since_s=self._started_s)
                for e in spec.endpoints
            ),
            source=self._source(Unit("upstream", *key)),
            totals=self.traffic.upstreams.get(key, Totals()),
            connect_errors=self.traffic.errors.get(key, {}),
            connect_duration=self.traffic.times.get(key, EMPTY),
            first_byte_duration=self.traffic.times.get(key, EMPTY),
            listeners=users.get(key.upstream, ()),
        )
        return replace(view, **self.traffic.seen.get(key, {}))

    def upstream_snapshots(self) -> Iterable[UpstreamView]:
        tenants = list(self._desired.tenants.values())
        return (
            self._upstream(one.key, users)
            for tenant in tenants
            for users in (edit.users(tenant),)
            for one in tenant.upstreams.values()
        )

    def rollouts(self, tenant: str | None = None) -> list[RolloutView]:
        found = [one for one in self.rolling.all() if tenant in (None, one.key.tenant)]
        return sorted(found, key=lambda one: one.key)

    def rollout(self, key: ListenerKey) -> RolloutView:
        self.looked += 1
        return self.rolling.one(key)

    def rollout_snapshots(self) -> Iterable[RolloutView]:
        return self.rolling.all()

    def policies(self) -> Sequence[PolicySpec]:
        return self._policies

    def events(self, *, after: int = 0, limit: int = 1000) -> list[Event]:
        return self.log.after(after, limit)

    def watch(self, *, after: int | None = None) -> AbstractContextManager[Watch]:
        return self.log.follow(after)

    def generations(self) -> list[GenerationView]:
        return self.history.newest_first()

    # Changing ------------------------------------------------------------

    def diff(self, document: Document) -> list[Change]:
        return changes(self._desired.from_api(document.tenants).found)

    async def put_document(self, document: Document, *, dry_run: bool = False) -> list[Change]:
        if document.proxy != self.proxy:
            raise Conflict("proxy is read at start", hint="restart the daemon")
        return self._change(document.tenants, dry_run=dry_run)

    async def put_tenant(self, tenant: TenantSpec, *, dry_run: bool = False) -> list[Change]:
        return self._change(edit.with_tenant(self._desired.tenants, tenant), dry_run=dry_run)

    async def delete_tenant(
        self, name: str, *, connections: Connections = "drain", dry_run: bool = False
    ) -> list[Change]:
        return self._change(edit.without_tenant(self._desired.tenants, name), dry_run=dry_run)

    async def put_listener(self, listener: ListenerSpec, *, dry_run: bool = False) -> list[Change]:
        return self._change(edit.with_listener(self._desired.tenants, listener), dry_run=dry_run)

    async def delete_listener(
        self, key: ListenerKey, *, connections: Connections = "drain", dry_run: bool = False
    ) -> list[Change]:
        return self._change(edit.without_listener(self._desired.tenants, key), dry_run=dry_run)

    async def put_upstream(self, upstream: UpstreamSpec, *, dry_run: bool = False) -> list[Change]:
        return self._change(edit.with_upstream(self._desired.tenants, upstream), dry_run=dry_run)

    async def delete_upstream(self, key: UpstreamKey, *, dry_run: bool = False) -> list[Change]:
        return self._change(edit.without_upstream(self._desired.tenants, key), dry_run=dry_run)

    async def set_split(
        self, key: ListenerKey, split: tuple[SplitMember, ...], *, dry_run: bool = False
    ) -> list[Change]:
        return self._change(edit.with_split(self._desired.tenants, key, split), dry_run=dry_run)

    async def put_rollout(
        self, key: ListenerKey, rollout: RolloutSpec | None, *, dry_run: bool = False
    ) -> list[Change]:
        spec = replace(edit.listener(self._desired.tenants, key), rollout=rollout)
        return self._change(edit.with_listener(self._desired.tenants, spec), dry_run=dry_run)

    async def command_rollout(
        self, key: ListenerKey, command: Command, *, dry_run: bool = False
    ) -> RolloutView:
        after = self.rolling.command(key, command, dry_run=dry_run)
        if not dry_run:
            about = f"listener/{key.listener}"
            self.log.add(f"rollout_{after.phase}", after.reason, tenant=key.tenant, about=about)
        return after

    # One port ------------------------------------------------------------

    async def open(self, key: ListenerKey) -> ListenerView:
        return self._moved(key, State.OPEN, "asked to open")

    async def sleep(self, key: ListenerKey, *, connections: Connections = "drain") -> ListenerView:
        if self.listener(key).state is State.COOLING:
            raise Conflict(f"listener {key} is cooling")
        return self._moved(key, State.ASLEEP, "asked to sleep")

    async def close(self, key: ListenerKey, *, connections: Connections = "drain") -> ListenerView:
        return self._moved(key, State.COOLING, "asked to close")

    # The document's source -----------------------------------------------

    async def apply_source(
        self, document: Document, policies: Sequence[PolicySpec], *, source: Source
    ) -> list[Change]:
        candidate = self._desired.from_file(document.tenants)
        lines = self._apply(candidate, source)
        self._policies = tuple(policies)
        self.history.reloaded(lines, candidate.dropped, [])
        return lines

    def refuse_source(self, problems: Sequence[str], *, source: Source) -> None:
        self.history.refused(tuple(problems), source)

    # Inside --------------------------------------------------------------

    def _change(self, tenants, *, dry_run: bool) -> list[Change]:
        candidate = self._desired.from_api(tenants)
        if dry_run:
            return changes(candidate.found)
        return self._apply(candidate, "api")

    def _apply(self, candidate: Candidate, source: Source) -> list[Change]:
        lines = changes(candidate.found)
        if candidate.found:
            self.history.generation += 1
            self.history.applied(lines, source)
        self._desired.commit(candidate)
        for key, (_, new) in candidate.found.listeners.items():
            self.rolling.follow(key, None if new is None else new.rollout)
            if new is None:
                self._ports.pop(key)
                continue
            port = self._ports.get(key) or Port(self._next_port, since_s=clock.wall_s())
            self._next_port += 1
            port.generation = self.history.generation
            self._ports[key] = port
        return lines

    def _moved(self, key: ListenerKey, state: State, reason: str) -> ListenerView:
        self.listener(key)
        port = self._ports[key]
        port.state, port.reason, port.since_s = state, reason, clock.wall_s()
        self.log.add(str(state), reason, tenant=key.tenant, about=f"listener/{key.listener}")
        return self.listener(key)

    def _source(self, unit: Unit) -> Source:
        return "api" if unit in self._desired.overlay else "file"


def memory_control(text: str = ACME, policies: Sequence[PolicySpec] = ()) -> MemoryControl:
    return MemoryControl(parse_document(text), policies)


@asynccontextmanager
async def real_control(text: str = ACME) -> AsyncIterator[Control]:
    document = parse_document(text)
    running = Controller(document.proxy, workers=1, document_path="/etc/tenantproxy.yaml")
    try:
        await running.start(document, ())
        yield running
    finally:
        await running.abort()


def many(tenants: int, listeners: int, *, busy: bool = True) -> MemoryControl:
    """A control side with `tenants * listeners` listeners of two routes each."""
    made = {}
    for t in range(tenants):
        name = f"tenant-{t:05d}"
        pairs = [(f"v1-{n}", f"v2-{n}") for n in range(listeners)]
        endpoint = parse_document(ACME).tenants["acme"].upstreams["web-v2"].endpoints
        made[name] = TenantSpec(
            name,
            {},
            {u: UpstreamSpec(name, u, endpoint) for pair in pairs for u in pair},
            {
                f"l-{n}": ListenerSpec(name, f"l-{n}", (SplitMember(a, 90), SplitMember(b, 10)))
                for n, (a, b) in enumerate(pairs)
            },
        )
    base = parse_document(ACME)
    control = MemoryControl(Document(replace(base.proxy, port_range=(2000, 60_000)), made))
    if busy:
        for key in control._ports:
            control.traffic.listeners[key] = Totals(
                3, 1000, {"done": 990, "client_reset": 7}, {}, 123_456_789, 987_654_321, 1000.0
            )
        times = Histogram(tuple(range(len(BUCKETS_S) + 1)), 12.5)
        for tenant in made.values():
            for listener in tenant.listeners.values():
                control.traffic.routes[listener.key] = {
                    member.upstream: Totals(2, 500, bytes_in=5, bytes_out=6)
                    for member in listener.split
                }
            for one in tenant.upstreams.values():
                control.traffic.times[one.key] = times
    return control


def as_control(control: MemoryControl) -> Control:
    """Hold the stand-in against the protocol (mypy does)."""
    return control


__all__ = [
    "ACME",
    "WEB",
    "MemoryControl",
    "as_control",
    "many",
    "memory_control",
    "real_control",
]
