"""What differs between two desired states, found by identity first.

Unchanged tenants, listeners and upstreams are the same objects in both
generations or equal ones, so the cost is that of what changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TypeVar

from tenantproxy.model.rollout_spec import (
    Analysis,
    Gate,
    Gates,
    OutsideCheck,
    RolloutSpec,
    Step,
)
from tenantproxy.model.spec import (
    Discovery,
    EndpointSpec,
    ListenerKey,
    ListenerSpec,
    SplitMember,
    TenantSpec,
    UpstreamKey,
    UpstreamSpec,
)

Tenants = Mapping[str, TenantSpec]
Spec = ListenerSpec | UpstreamSpec | RolloutSpec
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Delta:
    """Old and new of everything that differs; None stands for "is not there"."""

    tenants: dict[str, tuple[TenantSpec | None, TenantSpec | None]] = field(default_factory=dict)
    """Tenants that come, go, or have other labels."""
    listeners: dict[ListenerKey, tuple[ListenerSpec | None, ListenerSpec | None]] = field(
        default_factory=dict
    )
    upstreams: dict[UpstreamKey, tuple[UpstreamSpec | None, UpstreamSpec | None]] = field(
        default_factory=dict
    )

    def __bool__(self) -> bool:
        return bool(self.tenants or self.listeners or self.upstreams)


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a diff, as people read it."""

    op: str
    """`add`, `remove` or `change`."""
    kind: str
    """`tenant`, `listener`, `upstream`, `split`, `rollout` or `proxy`."""
    name: str
    """`acme`, `acme/web` or a key of `proxy`."""
    before: str = ""
    after: str = ""


_NOTHING = TenantSpec("")


def delta(before: Tenants, after: Tenants) -> Delta:
    """Compare two desired states."""
    found = Delta()
    for name, old, new in _pairs(before, after):
        if old is None or new is None or old.labels != new.labels:
            found.tenants[name] = (old, new)
        old_parts, new_parts = old or _NOTHING, new or _NOTHING
        for part, was, now in _pairs(old_parts.listeners, new_parts.listeners):
            found.listeners[ListenerKey(name, part)] = (was, now)
        for part, had, has in _pairs(old_parts.upstreams, new_parts.upstreams):
            found.upstreams[UpstreamKey(name, part)] = (had, has)
    return found


def _pairs(
    before: Mapping[str, T], after: Mapping[str, T]
) -> Iterator[tuple[str, T | None, T | None]]:
    """Yield what differs; one identity test for each entry that does not.

    The tests run in one comprehension: an API call on top of ten thousand
    listeners spends most of its time here.
    """
    if before is after:
        return
    old_of = before.get
    other = [name for name, new in after.items() if new is not old_of(name)]
    for name in other:
        old, new = old_of(name), after[name]
        if old != new:
            yield name, old, new
    if len(after) - sum(name not in before for name in other) < len(before):
        for name in before.keys() - after.keys():
            yield name, before[name], None


def changes(found: Delta) -> list[Change]:
    """Say a delta in lines, sorted by kind and name."""
    lines = [
        Change(_op(old, new), "tenant", name, _labels(old), _labels(new))
        for name, (old, new) in found.tenants.items()
    ]
    for listener_key, (was, now) in found.listeners.items():
        lines += _listener(str(listener_key), was, now)
    for upstream_key, (had, has) in found.upstreams.items():
        before, after = _fields(had, has)
        lines.append(Change(_op(had, has), "upstream", str(upstream_key), before, after))
    return sorted(lines, key=lambda line: (line.kind, line.name))


def summary(lines: list[Change]) -> str:
    """Say how much changes: `+2 listener, ~1 split, -1 upstream`, or `no change`."""
    counts: dict[tuple[str, str], int] = {}
    for line in lines:
        counts[line.op, line.kind] = counts.get((line.op, line.kind), 0) + 1
    marks = {"add": "+", "remove": "-", "change": "~"}
    return ", ".join(f"{marks[op]}{n} {kind}" for (op, kind), n in counts.items()) or "no change"


def split_text(split: tuple[SplitMember, ...]) -> str:
    """Return `web-v1=90 web-v2=10`."""
    return " ".join(f"{member.upstream}={member.weight}" for member in split)


def rollout_text(rollout: RolloutSpec) -> str:
    """Return `web-v1 -> web-v2: 5% 25% pause 50%`."""
    return f"{rollout.stable} -> {rollout.canary}: {_steps_text(rollout.steps, held=False)}"


def _listener(name: str, was: ListenerSpec | None, now: ListenerSpec | None) -> Iterator[Change]:
    """Say what differs of a listener: of its rollout in a line of its own.

    A split that differs has one, too, if nothing else of the listener does.
    """
    if was is None or now is None:
        yield Change(_op(was, now), "listener", name)
        return
    if was.rollout != now.rollout:
        before, after = _rollouts(was.rollout, now.rollout)
        yield Change(_op(was.rollout, now.rollout), "rollout", name, before, after)
    was, now = _rest(was), _rest(now)
    if replace(was, split=now.split) != now:
        yield Change("change", "listener", name, *_fields(was, now))
    elif was.split != now.split:
        yield Change("change", "split", name, split_text(was.split), split_text(now.split))


def _rest(listener: ListenerSpec) -> ListenerSpec:
    """Return it without its rollout, and without what is derived, which nobody has written."""
    return replace(listener, rollout=None, salt="", preview_of=None)


def _rollouts(was: RolloutSpec | None, now: RolloutSpec | None) -> tuple[str, str]:
    """Return both as text, with whatever differs of them."""
    if was is None or now is None:
        return "" if was is None else rollout_text(was), "" if now is None else rollout_text(now)
    before, after = rollout_text(was), rollout_text(now)
    if before == after and was.steps != now.steps:
        head = f"{now.stable} -> {now.canary}: "
        before, after = (head + _steps_text(one.steps, held=True) for one in (was, now))
    was = replace(was, stable=now.stable, canary=now.canary, steps=now.steps)
    less, more = _fields(was, now)
    return ", ".join(filter(None, (before, less))), ", ".join(filter(None, (after, more)))


def _steps_text(steps: tuple[Step, ...], *, held: bool) -> str:
    return " ".join(
        (f"{step.weight}%" if step.kind == "weight" else step.kind)
        + (f"({step.hold_s:g}s)" if held and step.hold_s is not None else "")
        for step in steps
    )


def _op(old: object, new: object) -> str:
    return "add" if old is None else "remove" if new is None else "change"


def _labels(tenant: TenantSpec | None) -> str:
    return "" if tenant is None else " ".join(f"{k}={v}" for k, v in sorted(tenant.labels.items()))


def _fields(old: Spec | None, new: Spec | None) -> tuple[str, str]:
    """Return the fields that differ, as text; nothing for what comes or goes."""
    if old is None or new is None:
        return "", ""
    names = [n for n in type(old).__slots__ if getattr(old, n) != getattr(new, n)]
    return (
        ", ".join(f"{n}={_text(getattr(old, n))}" for n in names),
        ", ".join(f"{n}={_text(getattr(new, n))}" for n in names),
    )


def _text(value: object) -> str:
    """Return a value for people; of a rule only what is not as by default."""
    if isinstance(value, EndpointSpec):
        return str(value) if value.weight == 1 else f"{value} (weight {value.weight})"
    if isinstance(value, Discovery):
        return str(value)
    if isinstance(value, OutsideCheck | Gate) and "?" in value.url:
        # Diffs go to logs and events, which more people read than the document.
        value = replace(value, url=f"{value.url.partition('?')[0]}?...")
    if is_dataclass(value):
        said = ((one.name, getattr(value, one.name), one.default) for one in fields(value))
        parts = [f"{name}={_text(is_now)}" for name, is_now, was in said if is_now != was]
        plain = "default" if isinstance(value, Analysis | Gates) else "on"
        return f"({', '.join(parts) or plain})"
    if isinstance(value, tuple):
        if all(isinstance(part, SplitMember) for part in value):
            return split_text(value)
        numbers = all(isinstance(part, int) for part in value)
        return ("-" if numbers else " ").join(_text(part) for part in value)
    return str(value)
