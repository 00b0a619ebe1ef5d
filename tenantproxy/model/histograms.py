"""What can be said of samples of which only their buckets are known.

A histogram has a count for each bound, of samples at most as large, and above
the bound before; its last count is of all that are above every bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

NEARLY = 1 + 1e-9
"""Bounds are decimal fractions, which a product of two of them may miss by a bit."""


def rank_of(quantile: float, total: int) -> int:
    """Return which of so many samples, from the smallest and from 1, is the quantile."""
    return min(total, max(1, math.ceil(quantile * total / NEARLY)))


def bucket_of(histogram: Sequence[int], rank: int) -> int:
    """Return the index of the bucket in which the `rank`-th smallest sample is."""
    for index, reached in enumerate(accumulate(histogram)):
        if reached >= rank:
            return index
    return len(histogram) - 1


def highest_of(bounds: Sequence[float], index: int) -> float:
    """Return what no sample of a bucket is above; of the last bucket infinity."""
    return bounds[index] if index < len(bounds) else math.inf


def surely_above(histogram: Sequence[int], bounds: Sequence[float], limit: float) -> int:
    """Return how many samples are above the limit, wherever in its bucket each may be."""
    return sum(
        count
        for lowest, count in zip(bounds, histogram[1:], strict=False)
        if lowest * NEARLY >= limit
    )


def up_to(histogram: Sequence[int], bounds: Sequence[float], limit: float) -> int:
    """Return how many samples are at most the limit, wherever in its bucket each may be."""
    return sum(
        count
        for highest, count in zip(bounds, histogram, strict=False)
        if highest <= limit * NEARLY
    )


def estimate(histogram: Sequence[int], bounds: Sequence[float], quantile: float) -> float | None:
    """Return about where the quantile is: within its bucket samples are thought evenly spread.

    None: there are no samples. In the last bucket it is the highest bound, and truly more.
    """
    total = sum(histogram)
    if total <= 0:
        return None
    rank = rank_of(quantile, total)
    index = bucket_of(histogram, rank)
    if index >= len(bounds):
        return bounds[-1]
    lowest = bounds[index - 1] if index else 0.0
    before = sum(histogram[:index])
    return lowest + (bounds[index] - lowest) * min(1.0, (rank - before) / histogram[index])
