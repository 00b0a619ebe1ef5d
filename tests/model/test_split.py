"""Shares are what the weights say, over any stretch of the walk and across changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.model.split import (
    GOLDEN_STEP,
    LINE,
    MAX_MEMBERS,
    MAX_WEIGHT,
    Split,
    line_order,
    step,
    sticky_point,
)

weights = st.lists(st.integers(0, MAX_WEIGHT), min_size=1, max_size=MAX_MEMBERS).filter(
    lambda values: sum(values) > 0
)
points = st.integers(0, LINE - 1)


def stretches(split: Split) -> list[int]:
    """Return the lengths of the stretches, by member."""
    begins = (0, *split.ends[:-1])
    lengths = dict.fromkeys(range(len(split.ends)), -1)
    for member, begin, end in zip(split.members, begins, split.ends, strict=True):
        lengths[member] = end - begin
    return list(lengths.values())


def points_at_borders(*splits: Split) -> set[int]:
    """Return the points around every border of the lines: where a rounding would show."""
    return {
        point
        for split in splits
        for end in (0, *split.ends)
        for point in range(end - 2, end + 3)
        if 0 <= point < LINE
    }


CLIENTS = [b"%d.%d.%d.%d" % (10, i >> 16, i >> 8 & 255, i & 255) for i in range(20_000)]


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


@pytest.mark.parametrize("members", range(1, MAX_MEMBERS + 1))
def test_the_last_member_lies_first_on_the_line_and_the_first_behind_it(members):
    order = line_order(members)
    assert sorted(order) == list(range(members))
    assert order[0] == members - 1
    assert order[1:] == tuple(range(members - 1))
    assert Split.of([1] * members).members == order


@given(weights)
def test_points_go_to_members_by_their_place_in_the_document(values):
    """Along the line: the last, the first, then the others, each for its own length."""
    split = Split.of(values)
    lengths = stretches(split)
    begin = 0
    for member in line_order(len(values)):
        if lengths[member]:
            assert split.at(begin) == member
            assert split.at(begin + lengths[member] - 1) == member
        begin += lengths[member]


@given(
    st.lists(st.integers(0, 1000), min_size=2, max_size=MAX_MEMBERS).filter(lambda v: v[0] > 0),
    st.integers(1, 1000),
    st.lists(points, max_size=30),
)
def test_weight_from_the_first_to_the_last_member_moves_points_between_those_two_only(
    values, amount, some
):
    amount = min(amount, values[0])
    raised = [values[0] - amount, *values[1:-1], values[-1] + amount]
    before, after = Split.of(values), Split.of(raised)
    first, last = 0, len(values) - 1
    moved = 0
    for point in {*some, *points_at_borders(before, after)}:
        was, now = before.at(point), after.at(point)
        if was != now:
            assert (was, now) == (first, last)
            moved += 1
    assert moved


@given(weights, st.data(), st.lists(points, max_size=30))
def test_whatever_changes_no_point_leaves_a_last_member_whose_share_rises(values, data, some):
    others = data.draw(
        st.lists(st.integers(0, MAX_WEIGHT), min_size=len(values), max_size=len(values)).filter(sum)
    )
    low, high = sorted(
        (values, others), key=lambda v: (Split.of(v).ends[0], v)
    )  # the share of the last member
    before, after = Split.of(low), Split.of(high)
    last = len(values) - 1
    for point in {*some, *points_at_borders(before, after)}:
        if before.at(point) == last:
            assert after.at(point) == last


@pytest.mark.parametrize("values", [(95, 5), (60, 0, 30, 10), (1,) * MAX_MEMBERS])
def test_sticky_clients_are_shared_out_as_the_weights_say(values):
    split = Split.of(values)
    got = [0] * len(values)
    for client in CLIENTS:
        got[split.at(sticky_point("acme/web", client))] += 1
    for count, value in zip(got, values, strict=True):
        share = value / sum(values)
        deviation = (len(CLIENTS) * share * (1 - share)) ** 0.5
        assert abs(count - len(CLIENTS) * share) <= 4 * deviation


def test_two_salts_try_a_canary_on_clients_that_have_nothing_to_do_with_each_other():
    split = Split.of([95, 5])
    one, two = (
        {client for client in CLIENTS if split.at(sticky_point(salt, client)) == 1}
        for salt in ("acme/web rollout 1", "acme/web rollout 2")
    )
    assert len(one & two) / len(one) == pytest.approx(0.05, abs=0.03)


def test_a_client_has_the_same_point_in_every_process_and_version():
    """Changing these sends every sticky client elsewhere once."""
    assert sticky_point("", b"") == 0x1271CF25
    assert sticky_point("acme/web", bytes([192, 0, 2, 1])) == 0x8D6085CD
    assert sticky_point("x" * 200, bytes([192, 0, 2, 1])) == 0x57493E7B


@given(st.text(max_size=200), st.binary(max_size=16))
def test_every_salt_and_client_have_a_point_on_the_line(salt, key):
    assert 0 <= sticky_point(salt, key) < LINE


def test_long_salts_differ_by_their_end_too():
    assert sticky_point("x" * 100 + "1", b"client") != sticky_point("x" * 100 + "2", b"client")


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
