"""Endpoints get what their weights ask for."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.dataplane.balancer import (
    RING_MAX,
    Endpoint,
    LeastConnections,
    RoundRobin,
    ring,
)


def endpoints(*weights: int) -> list[Endpoint]:
    return [Endpoint("192.0.2.1", 1000 + i, weight) for i, weight in enumerate(weights)]


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.integers(0, 999))
def test_a_full_turn_gives_every_endpoint_its_weight(weights, turn):
    some = endpoints(*weights)
    balancer = RoundRobin(some, turn)
    picks = Counter(balancer.pick(()) for _ in range(sum(weights)))
    assert picks[None] == 0
    assert [picks[endpoint] for endpoint in some] == weights


@given(st.lists(st.integers(1, 30), min_size=2, max_size=6))
def test_a_ring_is_smooth(weights):
    """Between two turns of an endpoint lies at most twice its fair distance."""
    some = endpoints(*weights)
    whole = ring(some)
    for endpoint in some:
        places = [i for i, e in enumerate(whole) if e is endpoint]
        gaps = [b - a for a, b in zip(places, [*places[1:], places[0] + len(whole)], strict=True)]
        assert max(gaps) <= 2 * len(whole) / len(places) + len(some)


def test_two_to_one_interleaves():
    a, b = endpoints(2, 1)
    assert ring([a, b]) == (a, b, a)


@given(st.lists(st.integers(1, 1_000_000), min_size=1, max_size=20))
def test_huge_weights_make_no_huge_ring_and_lose_nobody(weights):
    some = endpoints(*weights)
    whole = ring(some)
    assert len(whole) <= RING_MAX + len(some)
    assert set(whole) == set(some)


def test_round_robin_skips_those_already_tried():
    a, b, c = endpoints(5, 1, 1)
    balancer = RoundRobin([a, b, c], 0)
    assert {balancer.pick((a,)) for _ in range(20)} == {b, c}
    assert balancer.pick((a, b, c)) is None


def test_second_tries_do_not_keep_a_dead_endpoint_first_in_turn():
    dead, alive = endpoints(1, 1)
    balancer = RoundRobin([dead, alive], 0)
    first = []
    for _ in range(10):
        first.append(balancer.pick(()))
        if first[-1] is dead:
            assert balancer.pick((dead,)) is alive
    assert Counter(first) == {dead: 5, alive: 5}


def test_a_successor_goes_on_from_the_same_turn():
    some = endpoints(1, 1, 1)
    first = RoundRobin(some, 0)
    picked = [first.pick(())]
    second = RoundRobin(some, first.turn)
    picked += [second.pick(()), second.pick(())]
    assert set(picked) == set(some)


def test_least_connections_fills_up_by_weight():
    a, b = endpoints(3, 1)
    balancer = LeastConnections([a, b], 0)
    for _ in range(40):
        balancer.pick(()).live += 1
    assert (a.live, b.live) == (30, 10)
    b.live = 0
    assert balancer.pick(()) is b


def test_least_connections_takes_turns_among_equals():
    some = endpoints(1, 1, 1)
    balancer = LeastConnections(some, 0)
    assert {balancer.pick(()) for _ in range(3)} == set(some)


def test_least_connections_skips_tried_and_weightless_ones():
    a, b, c = endpoints(1, 1, 0)
    balancer = LeastConnections([a, b, c], 0)
    assert balancer.pick((a,)) is b
    assert balancer.pick((a, b)) is None
    assert LeastConnections([], 0).pick(()) is None


def test_ipv6_addresses_with_a_zone_keep_it():
    endpoint = Endpoint("fe80::1%lo", 80, 1)
    assert endpoint.sockaddr[:2] == ("fe80::1", 80)
    assert endpoint.sockaddr[3] > 0
