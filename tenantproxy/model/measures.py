"""One signal on one side: how many samples there are, its value, and both in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tenantproxy.model.amounts import percent, size
from tenantproxy.model.histograms import estimate, up_to
from tenantproxy.model.rollout_spec import SignalCheck
from tenantproxy.model.sides import BYTE_BOUNDS, TIME_BOUNDS_S, Side
from tenantproxy.model.signal_names import SHARES, SIZES
from tenantproxy.model.span import span
from tenantproxy.model.statistics import Share

MEDIAN = 0.5
"""Shown of a shape, which has no value of its own."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Samples by bucket."""

    counts: tuple[int, ...]
    bounds: tuple[float, ...]

    @property
    def total(self) -> int:
        return sum(self.counts)


def is_share(check: SignalCheck) -> bool:
    """Return whether the signal is a part of all connections."""
    return check.signal in SHARES


def share_of(check: SignalCheck, side: Side) -> Share:
    """Return a signal of `SHARES`.

    What ended is compared with what was opened meanwhile, and not with what ended: of a canary
    that is young only short connections have ended, and those that fail are short. Those of
    before may make the part the larger one; no more than all is a share.
    """
    match check.signal:
        case "connect_failures":
            part, whole = side.failed, side.failed + side.opened
        case "resets":
            part, whole = side.resets, side.opened
        case _:
            # All of a bucket or none: a limit within a bucket does not count what is in it.
            early = up_to(side.closed_age, TIME_BOUNDS_S, check.under_s)
            part, whole = side.silent + early, side.opened
    whole = max(0, whole)
    return Share(min(max(0, part), whole), whole)


def histogram_of(check: SignalCheck, side: Side) -> Histogram:
    """Return a signal that is a time or a size."""
    counts: tuple[int, ...] = getattr(side, check.signal)
    bounds = BYTE_BOUNDS if check.signal in SIZES else TIME_BOUNDS_S
    if min(counts) < 0:
        counts = tuple(max(0, count) for count in counts)
    return Histogram(counts, bounds)


def samples_of(check: SignalCheck, side: Side) -> int:
    """Return how much there is to judge.

    A connection that has neither brought a byte nor ended says nothing of resets and early closes
    yet: where clients are patient, all of a server that hangs are such.
    """
    if not is_share(check):
        return histogram_of(check, side).total
    whole = share_of(check, side).whole
    if check.signal == "connect_failures":
        return whole
    return min(whole, max(side.ended, sum(side.first_byte)))


def value_of(check: SignalCheck, side: Side) -> float | None:
    """Return the value of the check's signal for one side; None: nothing was counted.

    A share, or the estimate of the quantile in seconds or bytes; of a shape the median. A quantile
    above all bounds of buckets is the last of them.
    """
    if is_share(check):
        share = share_of(check, side)
        return share.value if share.whole else None
    histogram = histogram_of(check, side)
    quantile = MEDIAN if check.quantile is None else check.quantile
    value = estimate(histogram.counts, histogram.bounds, quantile)
    if value is None:
        return None
    return math.ceil(value) if check.signal in SIZES else value


def told(check: SignalCheck, value: float) -> str:
    """Return a value of the check's signal as people write it."""
    if is_share(check):
        return percent(value)
    if check.signal in SIZES:
        return f"over {size(value)}" if value >= BYTE_BOUNDS[-1] else size(value)
    return f"over {span(value)}" if value >= TIME_BOUNDS_S[-1] else span(value)
