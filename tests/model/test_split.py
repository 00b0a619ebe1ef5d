"""Shares are what the weights say, over any stretch of the walk and across changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.model.split import GOLDEN_STEP, LINE, MAX_MEMBERS, MAX_WEIGHT, Split, step

weights = st.lists(st.integers(0, MAX_WEIGHT), min_size=1, max_size=MAX_MEMBERS).filter(
    lambda values: sum(values) > 0
)
points = st.integers(0, LINE - 1)


def stretches(split: Split) -> list[int]:
    return [end - begin for begin, end in zip((0, *split.ends), split.ends, strict=False)]


@given(weights)
def test_a_members_stretch_is_its_share_of_the_line(values):
    total = sum(values)
    for value, length in zip(values, stretches(Split.of(values)), strict=True):
        assert abs(length - LINE * value / total) < 1


@given(weights)
def test_the_whole_line_is_owned(values):
    assert Split.of(values).ends[-1] == LINE


@given(weights, points)
def test_every_point_picks_a_member_and_never_one_of_weight_0(values, point):
    assert values[Split.of(values).at(point)] > 0


@given(weights, st.integers(2, 1000))
def test_only_the_ratio_of_weights_counts(values, factor):
    assert Split.of(values) == Split.of([value * factor for value in values])


@given(st.integers(0, 100), points, st.integers(1, 3000))
def test_any_stretch_of_the_walk_is_within_four_connections_of_the_share(percent, point, count):
    """The golden walk is even from its first point: there is no start to wait for."""
    split = Split.of([percent, 100 - percent])
    first = 0
    for _ in range(count):
        point = step(point)
        first += split.at(point) == 0
    assert abs(first - count * percent / 100) <= 4


@given(st.lists(st.integers(1, 50), min_size=2, max_size=40), points)
def test_a_change_at_every_connection_starves_nobody(percents, point):
    """Whoever reweighs all the time still gets the mean of the shares."""
    picked = 0
    rounds = 50
    for percent in percents * rounds:
        point = step(point)
        picked += Split.of([percent, 100 - percent]).at(point) == 0
    expected = sum(percents) * rounds / 100
    assert abs(picked - expected) <= 0.25 * len(percents) * rounds + 4


@given(st.integers(0, 99), st.integers(1, 100), points)
def test_raising_the_first_member_only_moves_points_into_it(percent, more, point):
    before = Split.of([percent, 100 - percent])
    raised = min(100, percent + more)
    after = Split.of([raised, 100 - raised])
    if before.at(point) == 0:
        assert after.at(point) == 0


@given(points)
def test_the_walk_visits_every_point_once(point):
    """An odd step generates the whole ring of 2**32 points; its inverse leads back."""
    inverse = pow(GOLDEN_STEP, -1, LINE)
    assert GOLDEN_STEP % 2 == 1
    assert (GOLDEN_STEP * inverse) % LINE == 1
    assert step(point) != point
    assert (step(point) - GOLDEN_STEP) % LINE == point


def test_ten_connections_at_ninety_to_ten_go_nine_to_one():
    split, point, picks = Split.of([90, 10]), 0, [0, 0]
    for _ in range(10):
        point = step(point)
        picks[split.at(point)] += 1
    assert picks == [9, 1]


@pytest.mark.parametrize("values", [[], [0], [0, 0], [1, -1], [1] * (MAX_MEMBERS + 1)])
def test_weights_that_are_no_split_are_refused(values):
    with pytest.raises(ValueError, match="a split needs"):
        Split.of(values)
