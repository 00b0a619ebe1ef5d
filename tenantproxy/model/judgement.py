"""Judges signals of the traffic: a check and two sides in, a finding out. No clock, no state.

A failure is what can hardly be chance: the canary is beyond the bound, and if
it truly kept it, this would be seen less often than the part of `ALPHA` that
falls to the look. Which test and why: docs/judgement.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tenantproxy.model.amounts import percent
from tenantproxy.model.findings import Finding
from tenantproxy.model.histograms import bucket_of, highest_of, rank_of, surely_above
from tenantproxy.model.measures import (
    histogram_of,
    is_share,
    samples_of,
    share_of,
    told,
    value_of,
)
from tenantproxy.model.rollout_spec import SignalCheck
from tenantproxy.model.sides import Side
from tenantproxy.model.statistics import (
    Share,
    above_rank,
    likeness,
    more_than_stable,
    too_many,
)

__all__ = ["ALPHA", "Window", "judge", "value_of"]

ALPHA = 0.01
"""Chance that a whole rollout of a canary that keeps every bound is found to fail, at most."""
_LATER = 4
"""How many looks' parts are saved for later ones."""
_OF_RECENT = 0.25
"""Part of a look's chance that falls to the recent window, which is there for what is plain."""
_SURE = 1e-15
"""A smaller chance is told as this one; sums of floats know no better."""


@dataclass(frozen=True, slots=True)
class Window:
    """Both sides over the same stretch of time."""

    stable: Side
    canary: Side


def judge(
    check: SignalCheck,
    step: Window,
    recent: Window,
    *,
    min_samples: int,
    look: int,
    tests: int,
    failures: int = 1,
) -> Finding:
    """Say whether the canary keeps the check.

    Both windows are judged, and either may fail it: in a long step what has just begun is not to
    be lost among what was well before. Whatever the counts are, there is an answer, and within
    some 2 ms: what is costly is summed for small counts, and only of a canary beyond its bound
    (20 checks of a million samples on each side: 4 ms).

    Args:
        check: what is asked.
        step: what was counted since the step began.
        recent: what was counted since the look before; `step` at the first look.
        min_samples: fewer than these, of a side that the check looks at, are `no_data`; in
            `recent` they are no opinion.
        look: number of this look in its step, from 1: the chance of a false alarm is shared out
            among looks, so that looking often does not find what is not there.
        tests: among how many checks and steps it is shared out besides.
        failures: looks of a step that have to fail before that is a verdict. If so many have to,
            each may be wrong so many times as often (Markov's inequality), however looks depend.
    """
    alpha = ALPHA / max(1, tests) * max(1, failures) * _part_of(look)
    of_step = _claims(check, step)
    windows = [("", step, of_step, alpha)]
    if look > 1:
        windows = [
            ("", step, of_step, alpha * (1 - _OF_RECENT)),
            ("since the look before ", recent, _claims(check, recent), alpha * _OF_RECENT),
        ]
    found = partial(
        Finding,
        check.name,
        dry_run=check.dry_run,
        stable=value_of(check, step.stable),
        canary=value_of(check, step.canary),
    )
    for when, window, claims, allowed in windows:
        for claim in claims:
            if not claim.above or _wanting(check, window, min_samples, stable=claim.of_stable):
                continue
            p = claim.test()
            if p <= allowed / len(claims):
                seen = _seen(check, window)
                return found("failed", f"{when}{seen}, {claim.bound} ({_chance(p)})")
    of_stable = any(claim.of_stable for claim in of_step)
    wanting = _wanting(check, step, min_samples, stable=of_stable)
    if wanting:
        return found("no_data", wanting)
    parts = [_seen(check, step), *(claim.bound for claim in of_step)]
    maybe = "; above that, but it may be chance" if any(claim.above for claim in of_step) else ""
    return found("passed", ", ".join(parts) + maybe)


def _part_of(look: int) -> float:
    """Return the look's part of the chance: 1/6, 5/42, 5/56... of 1 for all that there may ever be.

    Were none saved for later, 1/(j(j+1)), the first would have half of it, which it does not need:
    what is plain so early is plain with less. By `benchmarks/own/rollouts.py` 4 finds most.
    """
    look = max(1, look)
    return (_LATER + 1) / ((look + _LATER) * (look + _LATER + 1))


@dataclass(frozen=True, slots=True)
class _Claim:
    """That the canary keeps one bound."""

    bound: str
    of_stable: bool
    """It is a bound that stable's samples make."""
    above: bool
    """By what was counted it does not; there may have been too little to say so."""
    test: Callable[[], float]
    """Chance of what was counted, or worse, if it does."""


def _claims(check: SignalCheck, window: Window) -> tuple[_Claim, ...]:
    if is_share(check):
        claims = _share_max(check, window), _share_over(check, window)
    elif check.quantile is not None:
        claims = _quantile_max(check, window), _quantile_over(check, window)
    else:
        claims = None, _shape_over(check, window)
    return tuple(claim for claim in claims if claim is not None)


def _share_max(check: SignalCheck, window: Window) -> _Claim | None:
    if check.max is None:
        return None
    canary = share_of(check, window.canary)
    above = canary.value > check.max
    return _Claim(_at_most(check), False, above, partial(too_many, canary, check.max))


def _share_over(check: SignalCheck, window: Window) -> _Claim | None:
    if check.over_stable is None:
        return None
    canary, stable = share_of(check, window.canary), share_of(check, window.stable)
    above = canary.value > stable.value + check.over_stable
    test = partial(more_than_stable, canary, stable, check.over_stable)
    return _Claim(_more(check), True, above, test)


def _quantile_max(check: SignalCheck, window: Window) -> _Claim | None:
    """Of the samples at most 1 - quantile may be above; only those are counted that surely are."""
    if check.max is None or check.quantile is None:
        return None
    canary = histogram_of(check, window.canary)
    above = (value_of(check, window.canary) or 0.0) > check.max
    beyond = Share(surely_above(canary.counts, canary.bounds, check.max), canary.total)
    test = partial(too_many, beyond, 1 - check.quantile)
    return _Claim(_at_most(check), False, above, test)


def _quantile_over(check: SignalCheck, window: Window) -> _Claim | None:
    """Stable is thought at the top of its bucket; buckets wholly above its bound are counted."""
    if check.over_stable is None or check.quantile is None:
        return None
    canary, stable = histogram_of(check, window.canary), histogram_of(check, window.stable)
    part = 1 + check.over_stable
    rank = rank_of(check.quantile, stable.total)
    limit = part * highest_of(stable.bounds, bucket_of(stable.counts, rank))
    above = (value_of(check, window.canary) or 0.0) > part * (value_of(check, window.stable) or 0.0)
    beyond = surely_above(canary.counts, canary.bounds, limit)
    test = partial(above_rank, beyond, canary.total, stable.total, rank)
    return _Claim(_more(check), True, above, test)


def _shape_over(check: SignalCheck, window: Window) -> _Claim | None:
    if check.over_stable is None:
        return None
    canary, stable = histogram_of(check, window.canary), histogram_of(check, window.stable)
    found = likeness(canary.counts, stable.counts, check.over_stable)
    bound = f"{percent(found.apart)} apart, may be {percent(check.over_stable)}"
    return _Claim(bound, True, found.apart > check.over_stable, lambda: found.p)


def _at_most(check: SignalCheck) -> str:
    return f"at most {told(check, check.max or 0.0)}"


def _more(check: SignalCheck) -> str:
    return f"may be {percent(check.over_stable or 0.0)} more"


def _seen(check: SignalCheck, window: Window) -> str:
    """Return `canary 5.2% of 480, stable 0.1% of 9120`; a side with nothing is left out."""
    return ", ".join(
        f"{role} {told(check, value)} {_of_how_many(check, side)}"
        for role, side in (("canary", window.canary), ("stable", window.stable))
        if (value := value_of(check, side)) is not None
    )


def _of_how_many(check: SignalCheck, side: Side) -> str:
    if is_share(check):
        return f"of {share_of(check, side).whole}"
    return f"in {samples_of(check, side)}"


def _wanting(check: SignalCheck, window: Window, min_samples: int, *, stable: bool) -> str:
    """Return what there is too little of, or nothing."""
    sides = (("canary", window.canary), *((("stable", window.stable),) if stable else ()))
    few = [
        f"{role} has {have}"
        for role, side in sides
        if (have := samples_of(check, side)) < max(1, min_samples)
    ]
    return f"{' and '.join(few)} of the {max(1, min_samples)} samples needed" if few else ""


def _chance(p: float) -> str:
    return f"p={p:.0e}" if p >= _SURE else f"p<{_SURE:.0e}"
