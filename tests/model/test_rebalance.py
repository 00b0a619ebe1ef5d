"""Long connections follow the weights, no faster than they may and no further."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.model.rebalance import Moves, rebalance, spread
from tenantproxy.model.split import Split, step

PACE = 0.05 / 60
"""5 % a minute."""
WORKERS = st.integers(1, 4)
LIVE = st.integers(0, 3000)


def even(number, workers):
    return tuple(number // workers + (index < number % workers) for index in range(workers))


def test_a_side_with_its_share_is_left_alone():
    assert rebalance((50, 25), (25, 0), 25, pace_per_s=1, dt_s=10) == Moves(None)


def test_less_than_a_connection_too_many_is_none():
    assert rebalance((10,), (0,), 5, pace_per_s=1, dt_s=10).side is None


def test_chance_alone_ends_nobody():
    # 75 of 100 is wanted and 71 is there: one standard deviation is 4.3.
    assert rebalance((71,), (29,), 25, pace_per_s=1, dt_s=10).side is None
    assert rebalance((70,), (30,), 25, pace_per_s=1, dt_s=10).side == "canary"


def test_stable_gives_when_the_canary_has_too_few():
    moves = rebalance((600, 300), (0, 0), 50, pace_per_s=PACE, dt_s=10)
    assert (moves.side, moves.most) == ("stable", (5, 2))
    assert moves.credit == pytest.approx(0.5)


def test_at_the_end_all_of_stable_is_too_many():
    assert rebalance((3, 1), (5, 5), 100, pace_per_s=1, dt_s=10) == Moves("stable", (3, 1))


def test_five_percent_a_minute_of_ten_is_one_in_two_minutes():
    ended, credit = [], 0.0
    for _ in range(24):
        moves = rebalance((10,), (0,), 50, pace_per_s=PACE, dt_s=10, credit=credit)
        credit = moves.credit
        ended.append(sum(moves.most))
    assert ended == [0] * 11 + [1] + [0] * 11 + [1]


def test_what_was_not_needed_is_not_saved_up():
    moves = rebalance((2,), (8,), 100, pace_per_s=10, dt_s=10)
    assert moves == Moves("stable", (2,), 0.0)


def test_nothing_is_shared_out_among_those_who_have_nothing():
    assert spread(0, (0, 0)) == (0, 0)
    assert spread(0, ()) == ()


@given(st.lists(LIVE, min_size=1, max_size=8), st.data())
def test_a_number_is_shared_out_whole_and_in_proportion(have, data):
    number = data.draw(st.integers(0, sum(have)))
    given = spread(number, have)
    assert sum(given) == number
    for mine, one in zip(given, have, strict=True):
        assert mine <= one
        assert abs(mine - (number * one / sum(have) if sum(have) else 0)) < 1


@given(
    st.lists(st.tuples(LIVE, LIVE), min_size=1, max_size=4),
    st.integers(0, 100),
    st.floats(0, 1),
    st.floats(0, 60),
    st.floats(0, 0.999),
)
def test_it_never_overshoots_even_if_all_come_to_the_other_side(live, weight, pace, dt_s, credit):
    stable, canary = zip(*live, strict=True)
    moves = rebalance(stable, canary, weight, pace_per_s=pace, dt_s=dt_s, credit=credit)
    assert 0 <= moves.credit < 1
    if moves.side is None:
        return
    has = stable if moves.side == "stable" else canary
    share = (100 - weight if moves.side == "stable" else weight) / 100
    assert all(0 <= most <= one for most, one in zip(moves.most, has, strict=True))
    assert sum(has) - sum(moves.most) >= math.floor(share * sum(stable + canary))


@given(
    st.lists(st.tuples(LIVE, LIVE, st.integers(0, 100)), min_size=7, max_size=60),
    st.floats(0, 0.01),
)
def test_no_minute_sees_more_than_the_pace_allows_and_one(ticks, pace):
    granted, ended, credit = [], [], 0.0
    for stable, canary, weight in ticks:
        moves = rebalance((stable,), (canary,), weight, pace_per_s=pace, dt_s=10, credit=credit)
        credit = moves.credit
        granted.append(pace * 10 * (stable + canary))
        ended.append(sum(moves.most))
    for first in range(len(ticks) - 5):
        minute = slice(first, first + 6)
        assert sum(ended[minute]) <= sum(granted[minute]) + 1 + 1e-6


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 100), WORKERS, st.floats(0.05, 1))
def test_it_converges_if_clients_come_back_by_the_split(stable, canary, weight, workers, part):
    split, point, credit = Split.of((100 - weight, weight)), 0, 0.0
    total, share = stable + canary, weight / 100
    chance = max(1.0, math.sqrt(total * share * (1 - share)))
    for _ in range(20_000):
        moves = rebalance(
            even(stable, workers),
            even(canary, workers),
            weight,
            pace_per_s=part / 10,
            dt_s=10,
            credit=credit,
        )
        credit = moves.credit
        if moves.side is None:
            break
        back = [0, 0]
        for _ in range(sum(moves.most)):
            back[split.at(point)] += 1
            point = step(point)
        gone = (0, sum(moves.most)) if moves.side == "canary" else (sum(moves.most), 0)
        stable, canary = stable - gone[0] + back[0], canary - gone[1] + back[1]
    assert stable + canary == total
    assert abs(canary - total * share) < chance
