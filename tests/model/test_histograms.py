"""Of samples in buckets nothing is said that their places within could make untrue."""

import bisect
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.model.histograms import (
    bucket_of,
    estimate,
    highest_of,
    rank_of,
    surely_above,
)

BOUNDS = (1, 2, 5, 10)


def counted(samples):
    counts = [0] * (len(BOUNDS) + 1)
    for sample in samples:
        counts[bisect.bisect_left(BOUNDS, sample)] += 1
    return counts


some = st.lists(st.floats(0.01, 20), min_size=1, max_size=40)


@given(some, st.floats(0.01, 20))
def test_no_more_samples_are_surely_above_than_are(samples, limit):
    surely = surely_above(counted(samples), BOUNDS, limit)
    assert surely <= sum(sample > limit for sample in samples)


@given(some, st.sampled_from(BOUNDS))
def test_above_a_limit_that_is_a_bound_all_are_known(samples, limit):
    surely = surely_above(counted(samples), BOUNDS, limit)
    assert surely == sum(sample > limit for sample in samples)


def test_a_bound_that_sums_of_floats_miss_by_a_bit_is_that_bound():
    assert 1.5 * 0.2 > 0.3
    assert surely_above([0, 0, 7], (0.2, 0.3), 1.5 * 0.2) == 7


@given(some, st.sampled_from([0.5, 0.9, 0.99]))
def test_the_sample_of_a_rank_is_in_the_bucket_that_is_named(samples, quantile):
    rank = rank_of(quantile, len(samples))
    sample = sorted(samples)[rank - 1]
    index = bucket_of(counted(samples), rank)
    assert (BOUNDS[index - 1] if index else 0) < sample <= highest_of(BOUNDS, index)
    told = estimate(counted(samples), BOUNDS, quantile)
    assert (BOUNDS[index - 1] if index else 0) < told <= highest_of(BOUNDS, index) or told == 10


@pytest.mark.parametrize(
    ("quantile", "total", "rank"), [(0.5, 1, 1), (0.5, 4, 2), (0.9, 10, 9), (0.99, 500, 495)]
)
def test_a_quantile_is_the_smallest_sample_with_so_many_at_most_as_large(quantile, total, rank):
    assert rank_of(quantile, total) == rank


def test_within_a_bucket_samples_are_thought_evenly_spread():
    assert estimate([0, 0, 10, 0, 0], BOUNDS, 0.5) == pytest.approx(3.5)
    assert estimate([10, 0, 0, 0, 0], BOUNDS, 0.5) == pytest.approx(0.5)


def test_above_all_bounds_nothing_is_known_but_that():
    assert highest_of(BOUNDS, 4) == math.inf
    assert estimate([0, 0, 0, 0, 3], BOUNDS, 0.5) == 10
    assert estimate([0, 0, 0, 0, 0], BOUNDS, 0.5) is None
