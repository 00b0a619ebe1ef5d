"""The half of the facade that looks: everything here is a question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

from tenantproxy.control.desired import Desired
from tenantproxy.control.events import Events
from tenantproxy.control.facade import Watch
from tenantproxy.control.fleet import Fleet
from tenantproxy.control.history import History
from tenantproxy.control.keeper import Keeper
from tenantproxy.control.listener import Listener
from tenantproxy.control.lookout import Lookout
from tenantproxy.control.registry import Registry
from tenantproxy.control.rollouts import Rollouts
from tenantproxy.control.upstreams import Upstreams
from tenantproxy.model import edit
from tenantproxy.model.delta import Tenants
from tenantproxy.model.rollout_view import RolloutView
from tenantproxy.model.spec import (
    Document,
    ListenerKey,
    PolicySpec,
    ProxySpec,
    UpstreamKey,
)
from tenantproxy.model.views import (
    Event,
    GenerationView,
    ListenerView,
    Status,
    TenantView,
    UpstreamView,
)


class Looking:
    """Answers from the parts that `Controller` puts together."""

    proxy: ProxySpec
    _rollouts: Rollouts
    _desired: Desired
    _events: Events
    _fleet: Fleet
    _history: History
    _keeper: Keeper
    _lookout: Lookout
    _registry: Registry
    _upstreams: Upstreams
    _path: str | None
    _started_s: float
    _started: bool
    _stopping: bool
    _restarts: int

    def status(self) -> Status:
        return self._lookout.status(
            ready=self._started and not self._stopping and bool(self._fleet.ready()),
            workers=self._fleet.views(),
            started_s=self._started_s,
            restarts=self._restarts,
            policy_actions=self._keeper.actions,
            events=self._events.counts,
            document=self._path,
        )

    def document(self) -> Document:
        return Document(self.proxy, self._declared)

    def tenants(self) -> list[TenantView]:
        return [self._lookout.tenant(t) for _, t in sorted(self._declared.items())]

    def tenant(self, name: str) -> TenantView:
        return self._lookout.tenant(edit.tenant(self._declared, name))

    def listeners(self, tenant: str | None = None) -> list[ListenerView]:
        if tenant is not None:
            names = sorted(edit.tenant(self._now, tenant).listeners)
            keys = [ListenerKey(tenant, name) for name in names]
        else:
            keys = sorted(self._registry.by_key)
        return [
            self._lookout.listener(self._registry.by_key[k])
            for k in keys
            if k in self._registry.by_key
        ]

    def listener(self, key: ListenerKey) -> ListenerView:
        return self._lookout.listener(self._port(key))

    def listener_snapshots(self) -> Iterable[ListenerView]:
        return self._lookout.listeners()

    def upstreams(self, tenant: str | None = None) -> list[UpstreamView]:
        if tenant is not None:
            edit.tenant(self._now, tenant)
        return sorted(self._lookout.upstreams(tenant), key=lambda view: view.spec.key)

    def upstream(self, key: UpstreamKey) -> UpstreamView:
        edit.upstream(self._now, key)
        used_by = edit.users(self._now[key.tenant]).get(key.upstream, ())
        return self._lookout.upstream(self._upstreams.by_key[key], used_by)

    def upstream_snapshots(self) -> Iterable[UpstreamView]:
        return self._lookout.upstreams()

    def rollouts(self, tenant: str | None = None) -> list[RolloutView]:
        if tenant is not None:
            edit.tenant(self._declared, tenant)
        return self._rollouts.views(tenant)

    def rollout(self, key: ListenerKey) -> RolloutView:
        edit.listener(self._declared, key)
        return self._rollouts.view(key)

    def rollout_snapshots(self) -> Iterable[RolloutView]:
        return self._rollouts.views()

    def policies(self) -> Sequence[PolicySpec]:
        return self._keeper.policies

    def events(self, *, after: int = 0, limit: int = 1000) -> list[Event]:
        return self._events.after(after, limit)

    def watch(self, *, after: int | None = None) -> AbstractContextManager[Watch]:
        return self._events.follow(after)

    def generations(self) -> list[GenerationView]:
        return self._history.newest_first()

    @property
    def _declared(self) -> Tenants:
        """What document and API ask for: what is written, compared and edited."""
        return self._desired.declared

    @property
    def _now(self) -> Tenants:
        """What is in force: with the weights and previews of rollouts."""
        return self._desired.tenants

    def _port(self, key: ListenerKey) -> Listener:
        edit.listener(self._now, key)
        return self._registry.by_key[key]
