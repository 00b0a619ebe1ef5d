"""Tests of counts: how likely is what was seen, or worse, if the canary keeps its bound?

Each returns that chance, the p-value, from 0 to 1; a small one speaks against
the canary. All are one-sided and none assumes a shape of what was measured.
Counts are small and shares are near nothing where a canary is young, just
where the usual approximations by a normal distribution are wrong; so sums are
exact while that is cheap, and normal only where both are as good as the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul

EXACT_SPREAD = 40.0
"""Up to this standard deviation of a count every term is summed (800 of them, 0.1 ms). Above it
the normal distribution is off by less than a fifth of a p-value of 1e-6."""
_REACH = 9.0
_REACH_MORE = 40
"""Terms further from the middle than so many standard deviations and some more are left out:
together they are below 1e-18, also where a mean is near nothing and there is a long tail."""
_BISECTIONS = 60
"""Halvings of an interval of 1; it is as narrow then as a float can tell."""


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    part: int
    whole: int

    @property
    def value(self) -> float:
        """Return the share itself; of nothing it is 0."""
        return self.part / self.whole if self.whole else 0.0


def too_many(seen: Share, allowed: float) -> float:
    """Return the chance of as many or more if each has at most the chance `allowed`.

    The exact binomial test.
    """
    return _binomial(seen.whole, allowed).at_least(seen.part)


def more_than_stable(canary: Share, stable: Share, by: float) -> float:
    """Return the chance of a difference as large or larger if the canary may have `by` more.

    An unconditional test: stable's true share, which nobody knows, is put at its most likely value
    under the hypothesis, and the chance is summed over both binomial distributions (Storer and Kim
    1990, J. Am. Stat. Assoc. 85, 146; with a margin as in Farrington and Manning 1990, Stat. Med.
    9, 1447, whose normal test it becomes when both counts are large). A bound on it of 1e-2 to 1e-6
    is kept within 12 %, whatever the shares, by a count of all outcomes for some sizes from 20 to
    2,000. Fisher's test has no margin.
    """
    if by >= 1 or not canary.whole or not stable.whole:
        return 1.0
    share = _stable_share(canary, stable, by)
    lead = canary.part * stable.whole - stable.part * canary.whole
    one, other = _binomial(canary.whole, share + by), _binomial(stable.whole, share)
    if one.spread > EXACT_SPREAD and other.spread > EXACT_SPREAD:
        spread = math.hypot(one.spread * stable.whole, other.spread * canary.whole)
        return _normal_above((lead - by * canary.whole * stable.whole) / spread)
    if one.spread <= EXACT_SPREAD:
        return _capped(
            chance * other.at_most((count * stable.whole - lead) // canary.whole)
            for count, chance in one.terms()
        )
    return _capped(
        chance * one.at_least(-((-lead - count * canary.whole) // stable.whole))
        for count, chance in other.terms()
    )


def above_rank(above: int, canary: int, stable: int, rank: int) -> float:
    """Return the chance that so many of the canary's samples lie above stable's `rank`-th smallest.

    `canary` and `stable` are the numbers of samples. If all come from one distribution, whichever
    it is, every order of them is equally likely, and nothing else decides the number: Mathisen's
    test (1943, Ann. Math. Stat. 14, 188), a precedence test. It is exact, and minds that a
    quantile of few samples is known badly.
    """
    drawn = above + stable - rank
    return _hypergeometric(canary, stable, drawn).at_least(above)


@dataclass(frozen=True, slots=True)
class Likeness:
    """How two samples lie to each other."""

    auc: float
    """Chance that a sample of the canary is above one of stable; ties count half."""
    p: float

    @property
    def apart(self) -> float:
        """Return 0 for samples that lie on each other, 1 for samples that do not overlap."""
        return abs(2 * self.auc - 1)


def likeness(canary: Sequence[int], stable: Sequence[int], margin: float) -> Likeness:
    """Compare two histograms with the same buckets; the chance is that of being so far apart.

    Mann-Whitney's test, with samples of one bucket as ties. Of two variances the larger one is
    taken: that of two equal distributions, corrected for ties, and the one that the samples show
    (DeLong and others 1988, Biometrics 44, 837). The first alone finds certainty in one sample of
    twenty where nearly all others are ties, and does not fit two that may differ by a margin.
    """
    ours, theirs = sum(canary), sum(stable)
    if not ours or not theirs:
        return Likeness(0.5, 1.0)
    # Placements: the part of the other side that is below a sample, ties by half.
    lower = _placements(stable, theirs)
    auc = sum(n * place for n, place in zip(canary, lower, strict=False)) / ours
    variance = max(
        _equal_variance(canary, stable),
        _variance_of_mean(canary, lower, ours)
        + _variance_of_mean(stable, _placements(canary, ours), theirs),
    )
    beyond = abs(auc - 0.5) - margin / 2 - 0.5 / (ours * theirs)
    if beyond <= 0 or not variance:
        return Likeness(auc, 1.0)
    return Likeness(auc, min(1.0, 2 * _normal_above(beyond / math.sqrt(variance))))


def _placements(histogram: Sequence[int], total: int) -> list[float]:
    """Return for each bucket which part of the samples is below it, its own by half."""
    return [
        (below - here / 2) / total
        for below, here in zip(accumulate(histogram), histogram, strict=True)
    ]


def _variance_of_mean(histogram: Sequence[int], places: Sequence[float], total: int) -> float:
    if total < 2:  # noqa: PLR2004 - one sample shows no variance
        return 0.0
    mean = sum(n * place for n, place in zip(histogram, places, strict=False)) / total
    squares = sum(n * (place - mean) ** 2 for n, place in zip(histogram, places, strict=False))
    return squares / (total - 1) / total


def _equal_variance(one: Sequence[int], other: Sequence[int]) -> float:
    ours, theirs = sum(one), sum(other)
    both = ours + theirs
    tied = sum((a + b) ** 3 - (a + b) for a, b in zip(one, other, strict=False))
    return (both + 1 - tied / (both * (both - 1))) / (12 * ours * theirs)


def _stable_share(canary: Share, stable: Share, by: float) -> float:
    """Return stable's most likely share if the canary's is exactly `by` more.

    The likelihood has one peak, so its slope has one zero.
    """

    def slope(share: float) -> float:
        ours = share + by
        return (
            stable.part / share
            - (stable.whole - stable.part) / (1 - share)
            + canary.part / ours
            - (canary.whole - canary.part) / (1 - ours)
        )

    low, high = 0.0, 1.0 - by
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if not low < middle < high or middle + by >= 1:
            break
        if slope(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


@dataclass(frozen=True, slots=True)
class _Chances:
    """The distribution of a count: every term, or its mean and spread alone when they are many."""

    mean: float
    spread: float
    first: int = 0
    """The count that the first term is about."""
    each: Sequence[float] = ()
    up_to: Sequence[float] = ()
    from_on: Sequence[float] = ()

    def terms(self) -> enumerate[float]:
        return enumerate(self.each, self.first)

    def at_least(self, count: int) -> float:
        if not self.each:
            return _normal_above((count - 0.5 - self.mean) / self.spread)
        place = count - self.first
        if place >= len(self.each):
            return 0.0
        return min(1.0, self.from_on[place]) if place > 0 else 1.0

    def at_most(self, count: int) -> float:
        if not self.each:
            return _normal_above((self.mean - count - 0.5) / self.spread)
        place = count - self.first
        if place < 0:
            return 0.0
        return min(1.0, self.up_to[place]) if place < len(self.each) - 1 else 1.0


def _binomial(tries: int, chance: float) -> _Chances:
    if chance <= 0 or chance >= 1:
        return _certain(tries if chance >= 1 else 0)
    mean = tries * chance
    spread = math.sqrt(mean * (1 - chance))
    if spread > EXACT_SPREAD:
        return _Chances(mean, spread)
    low, middle, high = _window(mean, spread, 0, tries)
    odds = chance / (1 - chance)
    return _summed(
        mean,
        spread,
        low,
        [x / ((tries - x + 1) * odds) for x in range(middle, low, -1)],
        [(tries - x) * odds / (x + 1) for x in range(middle, high)],
    )


def _hypergeometric(marked: int, unmarked: int, drawn: int) -> _Chances:
    """Return the distribution of marked ones among those drawn."""
    both = marked + unmarked
    if both < 2:  # noqa: PLR2004 - there is nothing to choose
        return _certain(min(marked, drawn))
    part = marked / both
    mean = drawn * part
    spread = math.sqrt(mean * (1 - part) * (both - drawn) / (both - 1))
    if spread > EXACT_SPREAD:
        return _Chances(mean, spread)
    low, middle, high = _window(mean, spread, max(0, drawn - unmarked), min(marked, drawn))
    left = unmarked - drawn
    return _summed(
        mean,
        spread,
        low,
        [x * (left + x) / ((marked - x + 1) * (drawn - x + 1)) for x in range(middle, low, -1)],
        [(marked - x) * (drawn - x) / ((x + 1) * (left + x + 1)) for x in range(middle, high)],
    )


def _window(mean: float, spread: float, least: int, most: int) -> tuple[int, int, int]:
    """Return the first count that matters, one in the middle, and the last."""
    middle = min(max(int(mean), least), most)
    reach = int(_REACH * spread) + _REACH_MORE
    return max(least, middle - reach), middle, min(most, middle + reach)


def _summed(
    mean: float, spread: float, first: int, down: Sequence[float], up: Sequence[float]
) -> _Chances:
    """Make the terms from the ratios of neighbours, beginning in the middle.

    That needs no logarithm of a factorial, whose error grows with the count.
    """
    each = [*reversed(list(accumulate(down, mul))), 1.0, *accumulate(up, mul)]
    total = math.fsum(each)
    each = [term / total for term in each]
    from_on = list(accumulate(reversed(each)))
    from_on.reverse()
    return _Chances(mean, spread, first, each, list(accumulate(each)), from_on)


def _certain(count: int) -> _Chances:
    return _Chances(count, 0.0, count, (1.0,), (1.0,), (1.0,))


def _normal_above(deviations: float) -> float:
    return 0.5 * math.erfc(deviations / math.sqrt(2))


def _capped(terms: Iterable[float]) -> float:
    return min(1.0, math.fsum(terms))
