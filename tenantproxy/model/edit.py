"""Single changes of a desired state: each returns the whole state that follows.

Look-ups that find nothing raise `NotFound` with the names that exist.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tenantproxy.errors import NotFound
from tenantproxy.model.delta import Tenants
from tenantproxy.model.rollout_spec import RolloutSpec
from tenantproxy.model.spec import (
    ListenerKey,
    ListenerSpec,
    SplitMember,
    TenantSpec,
    UpstreamKey,
    UpstreamSpec,
)


def tenant(tenants: Tenants, name: str) -> TenantSpec:
    """Return a tenant."""
    found = tenants.get(name)
    if found is None:
        raise NotFound(f"no tenant {name}", hint=f"known tenants: {_some(tenants)}")
    return found


def listener(tenants: Tenants, key: ListenerKey) -> ListenerSpec:
    """Return a listener."""
    owner = tenant(tenants, key.tenant)
    found = owner.listeners.get(key.listener)
    if found is None:
        known = _some(owner.listeners)
        raise NotFound(f"no listener {key}", hint=f"listeners of {owner.name}: {known}")
    return found


def upstream(tenants: Tenants, key: UpstreamKey) -> UpstreamSpec:
    """Return an upstream."""
    owner = tenant(tenants, key.tenant)
    found = owner.upstreams.get(key.upstream)
    if found is None:
        known = _some(owner.upstreams)
        raise NotFound(f"no upstream {key}", hint=f"upstreams of {owner.name}: {known}")
    return found


def with_tenant(tenants: Tenants, new: TenantSpec) -> Tenants:
    """Add or replace a tenant."""
    return {**tenants, new.name: new}


def without_tenant(tenants: Tenants, name: str) -> Tenants:
    """Take a tenant away."""
    tenant(tenants, name)
    return {other: spec for other, spec in tenants.items() if other != name}


def with_listener(tenants: Tenants, new: ListenerSpec) -> Tenants:
    """Add or replace a listener."""
    owner = tenant(tenants, new.tenant)
    return with_tenant(tenants, replace(owner, listeners={**owner.listeners, new.name: new}))


def without_listener(tenants: Tenants, key: ListenerKey) -> Tenants:
    """Take a listener away."""
    listener(tenants, key)
    owner = tenants[key.tenant]
    rest = {name: spec for name, spec in owner.listeners.items() if name != key.listener}
    return with_tenant(tenants, replace(owner, listeners=rest))


def with_upstream(tenants: Tenants, new: UpstreamSpec) -> Tenants:
    """Add or replace an upstream."""
    owner = tenant(tenants, new.tenant)
    return with_tenant(tenants, replace(owner, upstreams={**owner.upstreams, new.name: new}))


def without_upstream(tenants: Tenants, key: UpstreamKey) -> Tenants:
    """Take an upstream away; that no split or rollout names it is checked with the whole."""
    upstream(tenants, key)
    owner = tenants[key.tenant]
    rest = {name: spec for name, spec in owner.upstreams.items() if name != key.upstream}
    return with_tenant(tenants, replace(owner, upstreams=rest))


def with_split(tenants: Tenants, key: ListenerKey, split: tuple[SplitMember, ...]) -> Tenants:
    """Replace a listener's split."""
    return with_listener(tenants, replace(listener(tenants, key), split=split))


def with_rollout(tenants: Tenants, key: ListenerKey, rollout: RolloutSpec | None) -> Tenants:
    """Give a listener a rollout, another one, or none."""
    return with_listener(tenants, replace(listener(tenants, key), rollout=rollout))


def users(owner: TenantSpec) -> dict[str, tuple[str, ...]]:
    """Return, by upstream, the listeners whose split or rollout names it."""
    found: dict[str, list[str]] = {}
    for one in owner.listeners.values():
        plan = one.rollout
        pair = () if plan is None else (plan.stable, plan.canary)
        for name in dict.fromkeys((*(member.upstream for member in one.split), *pair)):
            found.setdefault(name, []).append(one.name)
    return {name: tuple(by) for name, by in found.items()}


def _some(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:10]) or "none"
