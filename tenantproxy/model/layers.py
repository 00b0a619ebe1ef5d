"""What the API changed, laid over what the file says.

The unit of a change is one tenant (its being there and its labels), one
upstream, one listener, or one listener's split. A change remembers what the
file said when it was made. It stays in force through reloads as long as the
file says the same of that unit; when the file says something else, the file
is the newer word and the change is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from tenantproxy.model.delta import Delta, Tenants
from tenantproxy.model.spec import ListenerSpec, SplitMember, TenantSpec, UpstreamSpec


class Unit(NamedTuple):
    """Names what a change is about; `name` is empty for a tenant."""

    kind: Literal["tenant", "upstream", "listener", "split"]
    tenant: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.tenant}" + (f"/{self.name}" if self.name else "")


Labels = tuple[tuple[str, str], ...]
Value = Labels | UpstreamSpec | ListenerSpec | tuple[SplitMember, ...] | None
"""What a unit is; None: it is not there."""


@dataclass(frozen=True, slots=True)
class ApiChange:
    """What the API made of a unit, and what the file said of it then."""

    base: Value
    value: Value


Overlay = Mapping[Unit, ApiChange]


def value_in(tenants: Tenants, unit: Unit) -> Value:
    """Return what a unit is in a desired state."""
    tenant = tenants.get(unit.tenant)
    if tenant is None:
        return None
    if unit.kind == "tenant":
        return tuple(sorted(tenant.labels.items()))
    if unit.kind == "upstream":
        return tenant.upstreams.get(unit.name)
    listener = tenant.listeners.get(unit.name)
    if unit.kind == "listener" or listener is None:
        return listener
    return listener.split


def merge(file: Tenants, overlay: Overlay) -> tuple[dict[str, TenantSpec], dict[Unit, ApiChange]]:
    """Lay the API's changes over the file.

    Returns the desired state and the changes that are still in force; those
    that the file contradicts, or that make no difference any more, are not
    among them.
    """
    kept = {
        unit: change
        for unit, change in overlay.items()
        if value_in(file, unit) == change.base != change.value
    }
    touched = {unit.tenant for unit in kept}
    merged = {name: tenant for name, tenant in file.items() if name not in touched}
    for name in touched:
        mine = {unit: change for unit, change in kept.items() if unit.tenant == name}
        tenant = _lay_over(file.get(name), name, mine)
        if tenant is not None:
            merged[name] = tenant
    return merged, kept


def _lay_over(
    tenant: TenantSpec | None, name: str, mine: Mapping[Unit, ApiChange]
) -> TenantSpec | None:
    own = mine.get(Unit("tenant", name))
    if own is not None and own.value is None:
        return None
    if tenant is None:
        if own is None:
            return None
        tenant = TenantSpec(name)
    if own is not None:
        tenant = replace(tenant, labels=dict(own.value))  # type: ignore[arg-type]
    upstreams, listeners = dict(tenant.upstreams), dict(tenant.listeners)
    for unit, change in mine.items():
        value = change.value
        if isinstance(value, UpstreamSpec):
            upstreams[unit.name] = value
        elif isinstance(value, ListenerSpec):
            listeners[unit.name] = value
        elif unit.kind == "upstream":
            upstreams.pop(unit.name, None)
        elif unit.kind == "listener":
            listeners.pop(unit.name, None)
    for unit, change in mine.items():
        if unit.kind == "split" and unit.name in listeners and change.value is not None:
            split: tuple[SplitMember, ...] = change.value  # type: ignore[assignment]
            listeners[unit.name] = replace(listeners[unit.name], split=split)
    return replace(tenant, upstreams=upstreams, listeners=listeners)


def record(file: Tenants, overlay: Overlay, found: Delta) -> dict[Unit, ApiChange]:
    """Return the overlay once the API has made the changes in `found`."""
    units: dict[Unit, Value] = {}
    for name, (_, new) in found.tenants.items():
        units[Unit("tenant", name)] = None if new is None else tuple(sorted(new.labels.items()))
    for key, (_, upstream) in found.upstreams.items():
        units[Unit("upstream", key.tenant, key.upstream)] = upstream
    for listener_key, (was, now) in found.listeners.items():
        unit = Unit("listener", *listener_key)
        split = Unit("split", *listener_key)
        if was and now and unit not in overlay and replace(was, split=now.split) == now:
            units[split] = now.split
        else:
            units[unit], units[split] = now, None
    changed = dict(overlay)
    for unit, value in units.items():
        base = value_in(file, unit)
        if base == value or (unit.kind == "split" and value is None):
            changed.pop(unit, None)
        else:
            changed[unit] = ApiChange(base, value)
    return changed
