"""What rollouts make of the desired state: splits with the weights of the step, preview ports.

`declared` is what document and API ask for; what is in force is derived from
it here and nowhere else. What no rollout touches stays the same object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import gcd
from typing import Literal

from tenantproxy.model.delta import Tenants
from tenantproxy.model.spec import IdleRule, ListenerKey, ListenerSpec, SplitMember, TenantSpec
from tenantproxy.model.split import MAX_MEMBERS, MAX_WEIGHT

PREVIEW = ".preview"
"""Ends the name of a preview listener; no name in a document has a dot."""

PREVIEW_IDLE = IdleRule(900.0, "sleep")
"""Of a preview whose listener has no rule of its own that puts it to sleep."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What a rollout wants of its listener now."""

    stable: str
    canary: str
    weight: int | None
    """Percent of the canary of what the two have together; None: the split is as declared."""
    preview: Literal["auto"] | int | None = None
    """The preview listener that shall be there."""
    salt: str = ""


def preview_key(key: ListenerKey) -> ListenerKey:
    """Return the name of a listener's preview."""
    return ListenerKey(key.tenant, key.listener + PREVIEW)


def previewed(key: ListenerKey) -> ListenerKey | None:
    """Return the listener of which this is the preview; None: it is the name of no preview."""
    name, ending, rest = key.listener.partition(PREVIEW)
    return ListenerKey(key.tenant, name) if name and ending and not rest else None


def derive(declared: Tenants, carried: Mapping[ListenerKey, Carried]) -> Tenants:
    """Return what is in force: `declared` with the weights and previews of rollouts.

    Of a listener or an upstream that is not there nothing can be wanted: what is carried for it
    waits, and changes nothing. The cost is that of what is carried.
    """
    changed: dict[str, dict[str, ListenerSpec]] = {}
    for key, wanted in carried.items():
        tenant = declared.get(key.tenant)
        listener = None if tenant is None else tenant.listeners.get(key.listener)
        if tenant is None or listener is None or not _possible(tenant, listener, wanted):
            continue
        now = {listener.name: _carrying(listener, wanted)}
        if wanted.preview is not None:
            preview = _preview(listener, wanted)
            now[preview.name] = preview
        if len(now) > 1 or now[listener.name] is not listener:
            changed.setdefault(key.tenant, {}).update(now)
    if not changed:
        return declared
    more = {
        name: replace(declared[name], listeners={**declared[name].listeners, **listeners})
        for name, listeners in changed.items()
    }
    return {**declared, **more}


def shares(
    split: tuple[SplitMember, ...], stable: str, canary: str, weight: int
) -> tuple[SplitMember, ...]:
    """Return the split with `weight` percent of the pair's share for the canary.

    Other members keep their shares of the whole. Stable comes first and the canary last, as
    `model.split` needs it to move only clients between the two; one that is not named is added.

    Weights are whole numbers up to `MAX_WEIGHT`. Where that leaves no room for the exact shares,
    the canary gets less than `weight` percent of the pair rather than more, and the others are
    rounded; whoever had a share keeps one.
    """
    before = {member.upstream: member.weight for member in split}
    pair = before.pop(stable, 0) + before.pop(canary, 0)
    if pair and not any(before.values()):
        pair = 100  # nobody to compare with: a percent is a percent
    # So many times as large the canary's part of the pair is a whole number.
    times = 100 // gcd(pair * weight, 100)
    pair, others = pair * times, {name: had * times for name, had in before.items()}
    most = max(pair, *others.values()) if others else pair
    if most > MAX_WEIGHT:
        others = {name: _less(had, most) for name, had in others.items()}
        pair = _less(pair, most)
        if pair and weight:
            pair = max(pair, -(-100 // weight))  # the least of which `weight` percent is one
    of_canary = pair * weight // 100
    return (
        SplitMember(stable, pair - of_canary),
        *(SplitMember(name, has) for name, has in others.items()),
        SplitMember(canary, of_canary),
    )


def found_weight(split: tuple[SplitMember, ...], stable: str, canary: str) -> int:
    """Return the canary's percent of what the two have together in a split, rounded up.

    Of a pair that has nothing it is 0.
    """
    weights = {member.upstream: member.weight for member in split}
    of_canary = weights.get(canary, 0)
    both = weights.get(stable, 0) + of_canary
    return -(-100 * of_canary // both) if both else 0


def _possible(tenant: TenantSpec, listener: ListenerSpec, wanted: Carried) -> bool:
    """Say whether the pair is there, and has room in the split."""
    pair = {wanted.stable, wanted.canary}
    members = pair | {member.upstream for member in listener.split}
    return pair <= tenant.upstreams.keys() and len(members) <= MAX_MEMBERS


def _carrying(listener: ListenerSpec, wanted: Carried) -> ListenerSpec:
    """Return the listener with split and salt of its rollout; itself if these are its own."""
    split = listener.split
    if wanted.weight is not None:
        split = shares(split, wanted.stable, wanted.canary, wanted.weight)
    if split == listener.split and wanted.salt == listener.salt:
        return listener
    return replace(listener, split=split, salt=wanted.salt)


def _preview(listener: ListenerSpec, wanted: Carried) -> ListenerSpec:
    """Return the port of its own that the canary has: like the listener's, and all canary."""
    own = listener.idle
    return replace(
        listener,
        name=listener.name + PREVIEW,
        split=(SplitMember(wanted.canary, 1),),
        port=None if wanted.preview == "auto" else wanted.preview,
        open="on_demand",
        idle=own if own is not None and own.then == "sleep" else PREVIEW_IDLE,
        sticky=None,
        fallback=False,
        rollout=None,
        preview_of=listener.name,
    )


def _less(weight: int, most: int) -> int:
    """Return a weight as it is when the highest one, `most`, is `MAX_WEIGHT`."""
    return max(1, (2 * weight * MAX_WEIGHT + most) // (2 * most)) if weight else 0
