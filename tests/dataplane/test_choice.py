"""Clients stick, the dead give up their share, and nobody else notices."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.dataplane import choice
from tenantproxy.dataplane.choice import Choice, choice_of
from tenantproxy.dataplane.messages import ListenerOrder
from tenantproxy.model.split import MAX_MEMBERS, Split, step
from tests.dataplane.support import listener

LEFT = -1
"""The number of a client that has left."""
weights = st.lists(st.integers(0, 20), min_size=2, max_size=MAX_MEMBERS).filter(any)


@pytest.fixture(autouse=True)
def clients_are_numbers(monkeypatch):
    """What stands for a socket here is the number of its client."""
    monkeypatch.setattr(
        choice, "client_key", lambda number: b"" if number == LEFT else number.to_bytes(4)
    )


def order(values: list[int], **changes: object) -> ListenerOrder:
    """Return an order whose member i is upstream i."""
    return listener(1, dict(enumerate(values)), **changes)


def chosen(it: ListenerOrder, unhealthy: set[int]) -> Choice:
    made = choice_of(it, Split.of([route.weight for route in it.routes]), unhealthy, None)
    assert made is not None
    return made


def walk(one: Choice, count: int, client: int = 0) -> list[int]:
    """Return what `count` connections get, along the golden walk of a listener."""
    point, got = 0, []
    for _ in range(count):
        point = step(point)
        got.append(one.member(point, client))
    return got


def homes(one: Choice, count: int) -> list[int]:
    """Return the members of so many clients."""
    return [one.member(0, client) for client in range(count)]


@given(weights, st.sets(st.integers(0, 15)), st.booleans())
def test_nothing_is_to_choose_without_sticky_and_without_a_dead_member(values, unhealthy, fallback):
    split = Split.of(values)
    plain = choice_of(order(values), split, unhealthy, None)
    assert plain is None
    assert choice_of(order(values, fallback=fallback), split, set(), None) is None


@given(weights, st.data())
def test_the_dead_get_nothing_and_the_living_keep_what_they_had(values, data):
    """And what the dead had is shared among the living by their weights."""
    dead = data.draw(st.sets(st.integers(0, len(values) - 1), min_size=1))
    living = sum(value for member, value in enumerate(values) if member not in dead)
    split = Split.of(values)
    made = choice_of(order(values, fallback=True), split, dead, None)
    if not living:
        assert made is None  # nobody is better off elsewhere
        return
    count = 600
    before = walk_of(split, count)
    after = walk(made, count)
    got = Counter(after)
    for was, now in zip(before, after, strict=True):
        assert now not in dead
        assert values[now] > 0
        assert was in dead or was == now
    for member, value in enumerate(values):
        share = 0 if member in dead else value / living
        assert abs(got[member] - count * share) <= 8


def walk_of(split: Split, count: int) -> list[int]:
    point, got = 0, []
    for _ in range(count):
        point = step(point)
        got.append(split.at(point))
    return got


@given(weights, st.integers(0, 1000), st.text(max_size=80))
def test_a_sticky_client_always_gets_the_same_member(values, client, salt):
    it = order(values, sticky=True, salt=salt)
    assert len(set(walk(chosen(it, set()), 5, client) + walk(chosen(it, set()), 5, client))) == 1


def test_sticky_clients_share_out_by_the_weights():
    got = Counter(homes(chosen(order([70, 20, 10], sticky=True, salt="a"), set()), 5000))
    for member, share in enumerate((0.7, 0.2, 0.1)):
        assert got[member] / 5000 == pytest.approx(share, abs=0.03)


def test_another_salt_lets_others_go_first():
    """Of two canaries of 20 %, a fifth of the clients of one are in the other too."""
    one, two = (
        homes(chosen(order([80, 20], sticky=True, salt=salt), set()), 4000) for salt in "ab"
    )
    both = sum(a == b == 1 for a, b in zip(one, two, strict=True))
    assert both / one.count(1) == pytest.approx(0.2, abs=0.06)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=8), st.data(), st.text(max_size=5))
def test_only_the_clients_of_a_dead_member_move_and_they_come_back(values, data, salt):
    it = order(values, sticky=True, salt=salt, fallback=True)
    dead = data.draw(st.sets(st.integers(0, len(values) - 1), max_size=len(values) - 1))
    before = homes(chosen(it, set()), 200)
    after = homes(chosen(it, dead), 200)
    for was, now in zip(before, after, strict=True):
        assert now not in dead
        assert was in dead or was == now
    assert homes(chosen(it, set()), 200) == before


@given(st.lists(st.integers(1, 9), min_size=3, max_size=8), st.data())
def test_when_another_member_dies_clients_that_fell_back_elsewhere_stay(values, data):
    it = order(values, sticky=True, fallback=True)
    members = data.draw(st.permutations(range(len(values))))
    first, second = members[0], members[1]
    one = homes(chosen(it, {first}), 200)
    two = homes(chosen(it, {first, second}), 200)
    for was, now in zip(one, two, strict=True):
        assert was in (second, now)


def test_clients_of_a_dead_member_are_spread_over_the_living_by_weight():
    it = order([50, 30, 10, 10], sticky=True, salt="a", fallback=True)
    moved = [
        now
        for was, now in zip(
            homes(chosen(it, set()), 6000), homes(chosen(it, {0}), 6000), strict=True
        )
        if was == 0
    ]
    got = Counter(moved)
    for member, share in ((1, 0.6), (2, 0.2), (3, 0.2)):
        assert got[member] / len(moved) == pytest.approx(share, abs=0.05)


def test_clients_that_have_left_do_not_all_go_to_one_member():
    """Their address is not to be had, and counts and shares are to be right all the same."""
    one = chosen(order([50, 50], sticky=True), set())
    assert Counter(walk(one, 100, LEFT)) == {
        0: pytest.approx(50, abs=2),
        1: pytest.approx(50, abs=2),
    }
    dead = chosen(order([50, 50], sticky=True, fallback=True), {0})
    assert set(walk(dead, 10, LEFT)) == {1}


def test_a_new_choice_goes_on_with_the_walk_of_the_one_before():
    """Else every change would send the next connection to the same member."""
    it = order([50, 25, 25], fallback=True)
    split = Split.of([50, 25, 25])
    made = chosen(it, {0})
    dead_point = next(p for p in range(0, 1 << 32, 1 << 26) if split.at(p) == 0)
    got: Counter[int] = Counter()
    for _ in range(100):
        made = choice_of(it, split, {0}, made)
        got[made.member(dead_point, 0)] += 1
    assert got == {1: pytest.approx(50, abs=2), 2: pytest.approx(50, abs=2)}
