"""Our tests say what those of others say, and what summing up every outcome says."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from tenantproxy.model.statistics import (
    EXACT_SPREAD,
    Share,
    above_rank,
    likeness,
    more_than_stable,
    too_many,
)

ALPHAS = (1e-2, 1e-3, 1e-4, 1e-5)


@st.composite
def shares(draw, largest=400):
    whole = draw(st.integers(1, largest))
    return Share(draw(st.integers(0, whole)), whole)


histograms = st.lists(st.integers(0, 60), min_size=6, max_size=6).filter(any)
chances = st.floats(0, 1)


# One share against a bound.


@given(shares(5000), chances)
def test_too_many_is_the_exact_binomial_test(seen, allowed):
    theirs = stats.binom.sf(seen.part - 1, seen.whole, allowed)
    assert too_many(seen, allowed) == pytest.approx(theirs, rel=1e-6, abs=1e-15)


@pytest.mark.parametrize(("part", "allowed"), [(5, 0.0001), (8, 0.0001), (15, 0.001), (40, 0.01)])
def test_the_far_tail_of_what_is_rare_is_there(part, allowed):
    theirs = stats.binom.sf(part - 1, 1000, allowed)
    assert too_many(Share(part, 1000), allowed) == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize(
    ("part", "whole", "allowed"),
    [(10_500, 1_000_000, 0.01), (501_500, 1_000_000, 0.5), (10_400, 1_000_000, 0.01)],
)
def test_of_large_counts_the_normal_distribution_is_near_enough(part, whole, allowed):
    assert math.sqrt(whole * allowed * (1 - allowed)) > EXACT_SPREAD
    theirs = stats.binom.sf(part - 1, whole, allowed)
    assert too_many(Share(part, whole), allowed) == pytest.approx(theirs, rel=0.3)


@given(shares(), chances)
def test_one_more_is_never_likelier(seen, allowed):
    if seen.part < seen.whole:
        more = Share(seen.part + 1, seen.whole)
        assert too_many(more, allowed) <= too_many(seen, allowed)


# Two shares.


def outcomes(canary, stable, by, share):
    """Return the chance of every pair of counts, the canary's along the first axis."""
    ours = stats.binom.pmf(np.arange(canary + 1), canary, share + by)
    theirs = stats.binom.pmf(np.arange(stable + 1), stable, share)
    return np.outer(ours, theirs)


def by_every_outcome(canary, stable, by):
    """Find stable's likeliest share by trying many, and sum up every outcome as far apart."""
    grid = np.linspace(0, 1 - by, 40_001)[1:-1]
    fit = stats.binom.logpmf(stable.part, stable.whole, grid)
    fit += stats.binom.logpmf(canary.part, canary.whole, grid + by)
    chance = outcomes(canary.whole, stable.whole, by, grid[fit.argmax()])
    ours, theirs = np.indices(chance.shape)
    lead = canary.part * stable.whole - stable.part * canary.whole
    return chance[ours * stable.whole - theirs * canary.whole >= lead].sum()


@given(shares(60), shares(90), st.sampled_from([0, 0.01, 0.05, 0.3]))
def test_more_than_stable_is_the_sum_of_every_outcome_as_far_apart(canary, stable, by):
    theirs = by_every_outcome(canary, stable, by)
    assert more_than_stable(canary, stable, by) == pytest.approx(theirs, rel=0.02, abs=1e-12)


@pytest.mark.parametrize(
    ("canary", "stable"),
    [((9, 50), (2, 60)), ((12, 40), (5, 60)), ((5, 20), (3, 100))],
)
def test_without_a_margin_it_is_near_the_tests_of_barnard_and_boschloo(canary, stable):
    ours = more_than_stable(Share(*canary), Share(*stable), 0.0)
    table = [[canary[0], stable[0]], [canary[1] - canary[0], stable[1] - stable[0]]]
    # Neither is the same test: they order outcomes by other numbers, and fear the worst share.
    barnard = stats.barnard_exact(table, alternative="greater").pvalue
    boschloo = stats.boschloo_exact(table, alternative="greater").pvalue
    assert 0.8 * min(barnard, boschloo) < ours < 1.25 * max(barnard, boschloo)
    assert ours < 0.8 * stats.fisher_exact(table, alternative="greater").pvalue


@pytest.mark.parametrize(("canary", "stable"), [(20, 20), (20, 90), (60, 20), (20, 380)])
@pytest.mark.parametrize("by", [0.0, 0.01, 0.05])
def test_false_alarms_are_as_rare_as_they_are_said_to_be(canary, stable, by):
    p = np.ones((canary + 1, stable + 1))
    for theirs in range(min(stable, 60) + 1):
        for ours in range(canary + 1):
            if ours / canary > theirs / stable + by:
                p[ours, theirs] = more_than_stable(Share(ours, canary), Share(theirs, stable), by)
    for share in (0.0005, 0.002, 0.01, 0.05, 0.1):
        chance = outcomes(canary, stable, by, share)
        for alpha in ALPHAS:
            assert chance[p <= alpha].sum() <= 1.15 * alpha


@given(shares(), shares(), st.sampled_from([0, 0.01, 0.05, 0.3]))
def test_one_more_of_the_canary_is_never_likelier(canary, stable, by):
    before = more_than_stable(canary, stable, by)
    assert 0 <= before <= 1
    if canary.value <= stable.value + by:
        return  # nothing speaks against it, and nobody asks how loudly
    if canary.part < canary.whole:
        more = Share(canary.part + 1, canary.whole)
        assert more_than_stable(more, stable, by) <= before + 1e-9


@given(shares(), shares(), st.sampled_from([0, 0.01, 0.05, 0.3]))
def test_one_more_of_stable_never_makes_it_much_less_likely(canary, stable, by):
    before = more_than_stable(canary, stable, by)
    if before < 0.1 and stable.part < stable.whole:
        more = Share(stable.part + 1, stable.whole)
        assert more_than_stable(canary, more, by) >= before * 0.95  # seen with wide margins: 0.975


@pytest.mark.parametrize(
    ("canary", "stable", "by"),
    [
        # Both large, then one of them, above the border and below it.
        ((20_700, 1_000_000), (10_000, 1_000_000), 0.01),
        ((30, 1_000), (10_000, 1_000_000), 0.005),
        ((50_000, 1_000_000), (20, 1_000), 0.005),
    ],
)
def test_of_large_counts_the_difference_is_near_enough_to_the_sum(canary, stable, by):
    ours, theirs = Share(*canary), Share(*stable)

    def unfit(p):
        return -stats.binom.logpmf(ours.part, ours.whole, p + by) - stats.binom.logpmf(
            theirs.part, theirs.whole, p
        )

    share = optimize.minimize_scalar(
        unfit, bounds=(0, 1 - by), method="bounded", options={"xatol": 1e-10}
    ).x
    counts = np.arange(ours.whole + 1)
    lead = ours.part * theirs.whole - theirs.part * ours.whole
    below = stats.binom.cdf((counts * theirs.whole - lead) // ours.whole, theirs.whole, share)
    exact = (stats.binom.pmf(counts, ours.whole, share + by) * below).sum()
    assert 1e-9 < exact < 0.1
    assert more_than_stable(ours, theirs, by) == pytest.approx(exact, rel=0.3)


def test_a_margin_of_everything_is_kept_by_everyone_and_nobody_is_judged_by_nothing():
    assert more_than_stable(Share(20, 20), Share(0, 20), 1.0) == 1
    assert more_than_stable(Share(0, 0), Share(0, 20), 0.0) == 1
    assert more_than_stable(Share(5, 5), Share(0, 0), 0.0) == 1


# Samples above a rank of stable's.


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_above_rank_is_what_the_hypergeometric_distribution_says(canary, stable, data):
    rank = data.draw(st.integers(1, stable))
    above = data.draw(st.integers(0, canary))
    drawn = above + stable - rank
    theirs = stats.hypergeom.sf(above - 1, canary + stable, canary, drawn)
    assert above_rank(above, canary, stable, rank) == pytest.approx(theirs, rel=1e-6, abs=1e-15)


@pytest.mark.parametrize(("canary", "stable", "rank"), [(4, 5, 3), (3, 6, 6), (5, 3, 1)])
def test_above_rank_is_the_share_of_all_orders_in_which_it_is_so(canary, stable, rank):
    orders = list(itertools.combinations(range(canary + stable), canary))
    for above in range(canary + 1):
        hits = 0
        for places in orders:
            others = [x for x in range(canary + stable) if x not in places]
            hits += sum(place > others[rank - 1] for place in places) >= above
        assert above_rank(above, canary, stable, rank) == pytest.approx(hits / len(orders))


def test_above_rank_of_large_counts_is_near_enough():
    theirs = stats.hypergeom.sf(10_600 - 1, 2_000_000, 1_000_000, 20_600)
    assert above_rank(10_600, 1_000_000, 1_000_000, 990_000) == pytest.approx(theirs, rel=0.3)


# Shapes.


def samples(histogram):
    return [place for place, count in enumerate(histogram) for _ in range(count)]


@given(histograms, histograms)
def test_shapes_are_apart_as_mann_whitney_counts_it(canary, stable):
    found = likeness(canary, stable, 0.0)
    theirs = stats.mannwhitneyu(samples(canary), samples(stable))
    assert found.auc == pytest.approx(theirs.statistic / sum(canary) / sum(stable))
    assert 0 <= found.p <= 1
    assert 0 <= found.apart <= 1
    if not math.isnan(theirs.pvalue):  # that is what it says of nothing but ties
        theirs = stats.mannwhitneyu(samples(canary), samples(stable), method="asymptotic")
        assert found.p >= theirs.pvalue * (1 - 1e-9)


def test_alike_but_for_their_place_it_is_mann_whitney_itself():
    canary, stable = [2, 8, 15, 20, 16, 9], [5, 10, 20, 20, 10, 5]
    theirs = stats.mannwhitneyu(samples(canary), samples(stable), method="asymptotic").pvalue
    assert likeness(canary, stable, 0.0).p == pytest.approx(theirs, rel=1e-6)


def test_of_unlike_spread_it_is_nearer_to_the_test_of_brunner_and_munzel():
    canary, stable = [30, 0, 0, 0, 0, 70], [0, 0, 250, 250, 0, 0]
    ours = likeness(canary, stable, 0.0).p
    theirs = stats.brunnermunzel(samples(canary), samples(stable), distribution="normal").pvalue
    assert ours == pytest.approx(theirs, rel=0.2)


def test_one_sample_of_twenty_away_from_ties_is_no_evidence():
    assert likeness([19, 1], [9_999, 1], 0.0).p > 0.1


@given(histograms, histograms, st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_wider_margin_is_never_harder_to_keep(canary, stable, one, other):
    narrow, wide = sorted((one, other))
    assert likeness(canary, stable, narrow).p <= likeness(canary, stable, wide).p


@given(histograms, st.floats(0, 1))
def test_equal_sides_are_not_apart(histogram, margin):
    found = likeness(histogram, [5 * count for count in histogram], margin)
    assert found.auc == pytest.approx(0.5)
    assert found.p == 1


def test_sides_without_samples_are_not_apart():
    assert likeness([0, 0], [3, 4], 0.0).p == 1
    assert likeness([3, 4], [0, 0], 0.0).p == 1
