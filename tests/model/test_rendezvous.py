"""Keys go to members by weight, and move only when their own member goes or another one grows."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.model.rendezvous import PRIME, Rendezvous, number_of

KEYS = [number_of(b"key %d" % i) for i in range(10_000)]
SEEDS = [number_of(b"member %d" % i) for i in range(40)]
weights = st.lists(st.integers(0, 20), min_size=1, max_size=12).filter(any)


def winners(values: list[int], keys: list[int], without: tuple[int, ...] = ()) -> list[int | None]:
    some = Rendezvous(SEEDS[: len(values)], values)
    return [some.winner(key, without) for key in keys]


def tolerance(count: int, share: float) -> float:
    """Return 4.5 standard deviations of a fair draw."""
    return 4.5 * (count * share * (1 - share)) ** 0.5


@given(weights)
def test_members_win_by_weight(values):
    keys = KEYS[:2000]
    won = Counter(winners(values, keys))
    for member, value in enumerate(values):
        share = value / sum(values)
        assert abs(won[member] - len(keys) * share) <= tolerance(len(keys), share)


@given(weights.filter(lambda v: sum(map(bool, v)) > 1), st.data())
def test_when_a_member_goes_only_its_own_keys_move(values, data):
    gone = data.draw(st.sampled_from([i for i, value in enumerate(values) if value]))
    keys = KEYS[:300]
    without = [0 if i == gone else value for i, value in enumerate(values)]
    before = winners(values, keys)
    for was, now in zip(before, winners(without, keys), strict=True):
        assert now not in (None, gone)
        assert was in (now, gone)
    assert winners(values, keys, (gone,)) == winners(without, keys)


@given(weights, st.data(), st.integers(1, 50))
def test_when_a_weight_rises_keys_move_only_to_that_member(values, data, more):
    grown = data.draw(st.integers(0, len(values) - 1))
    raised = [value + more * (i == grown) for i, value in enumerate(values)]
    keys = KEYS[:300]
    for was, now in zip(winners(values, keys), winners(raised, keys), strict=True):
        assert now in (was, grown)


def test_the_keys_of_one_that_goes_are_spread_over_all_the_others():
    values = [1, 1, 1, 1, 2]
    moved = Counter(
        now
        for was, now in zip(winners(values, KEYS), winners(values, KEYS, (0,)), strict=True)
        if was == 0
    )
    total = moved.total()
    for member, share in ((1, 0.2), (2, 0.2), (3, 0.2), (4, 0.4)):
        assert abs(moved[member] - total * share) <= tolerance(total, share)


def test_many_members_of_one_weight_share_alike():
    won = Counter(winners([1] * 40, KEYS))
    expected = len(KEYS) / 40
    chi_square = sum((won[i] - expected) ** 2 / expected for i in range(40))
    assert chi_square < 80  # 39 degrees of freedom: 73 is the 99.9th percentile


def test_nobody_wins_when_all_are_left_out_or_weigh_nothing():
    assert Rendezvous(SEEDS[:3], [1, 1, 2]).winner(KEYS[0], {0, 1, 2}) is None
    assert Rendezvous(SEEDS[:2], [0, 0]).winner(KEYS[0]) is None
    assert Rendezvous([], []).winner(KEYS[0]) is None


@given(st.binary(max_size=40))
def test_numbers_are_neither_zero_nor_a_multiple_of_the_prime(data):
    assert 1 <= number_of(data) < PRIME


def test_numbers_are_the_same_in_every_process_and_version():
    """Changing this sends the clients of every `source_hash` elsewhere once."""
    assert number_of(b"192.0.2.1") == 609_387_612_952_274_974


@pytest.mark.parametrize("key", [1, PRIME - 1])
def test_the_smallest_and_the_greatest_key_have_a_winner(key):
    assert Rendezvous(SEEDS, [1] * 40).winner(key) is not None
