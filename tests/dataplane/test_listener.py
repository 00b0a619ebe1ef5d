"""A listener keeps its walk and its routes over every change of its split."""

from __future__ import annotations

from collections import Counter

import pytest

from tenantproxy.dataplane.counters import Route
from tenantproxy.dataplane.listener import CLOSED, REJECTED, Listener
from tests.dataplane.support import listener


def test_routes_are_made_when_first_used_and_kept(counters):
    one = Listener(listener(1, {1: 1, 2: 1}), counters)
    assert one._routes == {}
    first = [one.next_route() for _ in range(10)]
    assert len({id(route) for route in first}) == 2
    one.update(listener(1, {1: 1, 2: 3}))
    assert {id(one.next_route()) for _ in range(10)} == {id(route) for route in first}


def test_routes_that_the_split_forgets_are_forgotten(counters):
    one = Listener(listener(1, {1: 1, 2: 1}), counters)
    for _ in range(10):
        one.next_route()
    one.update(listener(1, {2: 1}))
    assert [route.upstream_id for route in one._routes.values()] == [2]


def test_frequent_reweighs_do_not_begin_the_walk_again(counters):
    one = Listener(listener(1, {1: 90, 2: 10}), counters)
    picks: Counter[int] = Counter()
    for _ in range(300):
        one.update(listener(1, {1: 90, 2: 10}))
        picks[one.next_route().upstream_id] += 1
    assert picks[2] == pytest.approx(30, abs=2)


def test_listeners_do_not_all_begin_with_the_same_member(counters):
    first = {
        Listener(listener(1, {1: 50, 2: 50}), counters).next_route().upstream_id for _ in range(64)
    }
    assert first == {1, 2}


def test_a_route_counts_into_its_own_block(counters):
    one = Listener(listener(1, {1: 1}), counters)
    route = one.next_route()
    route.bytes_in[0] += 5
    route.bytes_out[0] += 7
    route.bytes_out[1] = 99
    route.cells[Route.OPENED] += 1
    assert counters.route(9) == (1, 0, 5, 0, 7, 99)


def test_every_reason_has_a_word_of_its_own():
    words = [*CLOSED.values(), *REJECTED.values()]
    assert len(set(words)) == len(words)
