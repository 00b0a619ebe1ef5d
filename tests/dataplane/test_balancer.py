"""Endpoints get what their weights ask for."""

from __future__ import annotations

from collections import Counter
from math import gcd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.dataplane.balancer import (
    RING_MAX,
    SCAN_MAX,
    Balancer,
    LeastConnections,
    LeastOfTwo,
    LongRoundRobin,
    Random,
    RoundRobin,
    make_balancer,
    ring,
)
from tenantproxy.dataplane.endpoint import Endpoint
from tenantproxy.dataplane.source_hash import SourceHash

KINDS = ("round_robin", "least_connections", "random", "source_hash")
weights = st.lists(st.integers(0, 60), min_size=1, max_size=24)
kinds = st.sampled_from(KINDS)
turns = st.integers(0, 70_000)


def endpoints(*weights: int) -> list[Endpoint]:
    return [Endpoint("192.0.2.1", 1000 + i, weight) for i, weight in enumerate(weights)]


def client(number: int) -> bytes:
    return number.to_bytes(4)


def draw(balancer: Balancer, count: int) -> Counter[Endpoint | None]:
    """Pick for new clients, whose connections stay open."""
    picks: Counter[Endpoint | None] = Counter()
    for number in range(count):
        picked = balancer.pick((), client(number))
        picks[picked] += 1
        if picked is not None:
            picked.live += 1
    return picks


# What holds for each of them ---------------------------------------------------


@given(kinds, weights.filter(any), turns)
def test_shares_are_what_the_weights_say(kind, values, turn):
    """Chance may be off by 4.5 standard deviations, a turn by one for each endpoint."""
    some = endpoints(*values)
    count = 1500
    picks = draw(make_balancer(kind, some, turn), count)
    assert picks[None] == 0
    for endpoint in some:
        share = endpoint.weight / sum(values)
        fair = 4.5 * (count * share * (1 - share)) ** 0.5
        assert abs(picks[endpoint] - count * share) <= max(fair, 0 if share == 0 else 4)


@given(kinds, weights, turns, st.data())
def test_who_is_excluded_is_never_picked_and_somebody_is_as_long_as_there_is_one(
    kind, values, turn, data
):
    some = endpoints(*values)
    balancer = make_balancer(kind, some, turn)
    exclude = tuple(data.draw(st.lists(st.sampled_from(some), max_size=len(some))))
    left = {e for e in some if e.weight > 0 and e not in exclude}
    for number in range(20):
        picked = balancer.pick(exclude, client(number))
        if left:
            assert picked in left
        else:
            assert picked is None


@given(kinds, weights.filter(any), turns)
def test_tries_on_one_endpoint_after_the_other_reach_each_of_them_once(kind, values, turn):
    some = endpoints(*values)
    balancer = make_balancer(kind, some, turn)
    tried: tuple[Endpoint, ...] = ()
    while (picked := balancer.pick(tried, b"client")) is not None:
        assert picked not in tried
        tried += (picked,)
    assert set(tried) == {endpoint for endpoint in some if endpoint.weight > 0}


@given(kinds, st.lists(st.integers(1, 9), min_size=2, max_size=20), turns, st.data())
def test_second_tries_keep_the_shares_of_those_that_are_left(kind, values, turn, data):
    some = endpoints(*values)
    out = data.draw(st.sampled_from(some))
    balancer = make_balancer(kind, some, turn)
    count = 1500
    picks: Counter[Endpoint | None] = Counter()
    for number in range(count):
        picked = balancer.pick((out,), client(number))
        picked.live += 1
        picks[picked] += 1
    left = sum(values) - out.weight
    for endpoint in some:
        share = 0 if endpoint is out else endpoint.weight / left
        fair = 4.5 * (count * share * (1 - share)) ** 0.5
        # The ring is even over whole turns of the ring, which one cut out does not shorten.
        assert abs(picks[endpoint] - count * share) <= max(fair, 2 * sum(values) if share else 0)


@given(kinds, turns)
def test_nobody_to_pick_is_none(kind, turn):
    assert make_balancer(kind, (), turn).pick((), b"client") is None
    assert make_balancer(kind, endpoints(0, 0), turn).pick((), b"client") is None


def test_only_source_hash_asks_for_the_client():
    assert [kind for kind in KINDS if make_balancer(kind, endpoints(1), 0).keyed] == ["source_hash"]


@given(kinds, turns)
def test_a_balancer_remembers_its_turn_for_a_successor(kind, turn):
    assert make_balancer(kind, endpoints(1, 2), turn).turn == turn


def test_the_kind_and_the_number_of_endpoints_decide_what_is_made():
    made = [
        make_balancer("round_robin", endpoints(1, 2), 0),
        make_balancer("round_robin", endpoints(1, RING_MAX), 0),
        make_balancer("least_connections", endpoints(*[1] * SCAN_MAX, 0), 0),
        make_balancer("least_connections", endpoints(*[1] * (SCAN_MAX + 1)), 0),
        make_balancer("random", endpoints(1), 0),
        make_balancer("source_hash", endpoints(1), 0),
    ]
    assert [type(balancer) for balancer in made] == [
        RoundRobin,
        LongRoundRobin,
        LeastConnections,
        LeastOfTwo,
        Random,
        SourceHash,
    ]


# Round robin ---------------------------------------------------------------------


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.integers(0, 999))
def test_a_full_turn_gives_every_endpoint_its_weight(weights, turn):
    some = endpoints(*weights)
    balancer = RoundRobin(some, turn)
    picks = Counter(balancer.pick(()) for _ in range(sum(weights)))
    assert picks[None] == 0
    assert [picks[endpoint] for endpoint in some] == weights


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=8),
    st.lists(st.integers(10, 100), min_size=8, max_size=8),
)
def test_a_full_turn_is_exact_during_slow_start(values, percents):
    """Weights then come a hundredfold, each multiplied by its per cent."""
    scaled = [value * percent for value, percent in zip(values, percents, strict=False)]
    some = endpoints(*scaled)
    turn = sum(scaled) // gcd(*scaled)
    balancer = make_balancer("round_robin", some, 0)
    picks = Counter(balancer.pick(()) for _ in range(turn))
    for endpoint in some:
        fair = turn * endpoint.weight / sum(scaled)
        assert abs(picks[endpoint] - fair) <= (0 if turn <= RING_MAX else 4)


@given(st.lists(st.integers(1, 30), min_size=2, max_size=6))
def test_a_ring_is_smooth(weights):
    """Between two turns of an endpoint lies at most twice its fair distance."""
    some = endpoints(*weights)
    whole = ring(some)
    for endpoint in some:
        places = [i for i, e in enumerate(whole) if e is endpoint]
        gaps = [b - a for a, b in zip(places, [*places[1:], places[0] + len(whole)], strict=True)]
        assert max(gaps) <= 2 * len(whole) / len(places) + len(some)


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=6), turns)
def test_a_long_round_is_smooth(weights, turn):
    """Any two turns of an endpoint are as near as the three-distance theorem says."""
    some = endpoints(*weights)
    balancer = LongRoundRobin(some, turn)
    last: dict[Endpoint, int] = {}
    for i in range(3000):
        picked = balancer.pick(())
        if picked in last:
            assert i - last[picked] <= 2.7 * sum(weights) / picked.weight + 1
        last[picked] = i


@given(st.lists(st.integers(1, 1_000_000), min_size=1, max_size=20), turns)
def test_weights_of_any_size_have_their_shares_within_four_picks(weights, turn):
    """No ring is so long that it takes time to make, and nothing is rounded away."""
    some = endpoints(*weights)
    balancer = make_balancer("round_robin", some, turn)
    assert not isinstance(balancer, RoundRobin) or len(balancer._ring) <= RING_MAX
    picks = Counter(balancer.pick(()) for _ in range(3000))
    for endpoint in some:
        assert abs(picks[endpoint] - 3000 * endpoint.weight / sum(weights)) <= 4


def test_a_heavy_endpoint_keeps_its_share_among_many_light_ones():
    some = endpoints(2000, *[1] * 2000)
    balancer = make_balancer("round_robin", some, 0)
    picks = Counter(balancer.pick(()) for _ in range(8000))
    assert picks[some[0]] == pytest.approx(4000, abs=4)
    assert len(picks) == 2001


def test_two_to_one_interleaves():
    a, b = endpoints(2, 1)
    assert ring([a, b]) == (a, b, a)


def test_round_robin_skips_those_already_tried():
    a, b, c = endpoints(5, 1, 1)
    balancer = RoundRobin([a, b, c], 0)
    assert {balancer.pick((a,)) for _ in range(20)} == {b, c}
    assert balancer.pick((a, b, c)) is None


@pytest.mark.parametrize("heavy", [1, RING_MAX + 1])
def test_second_tries_do_not_keep_a_dead_endpoint_first_in_turn(heavy):
    """With `heavy` above the longest ring it is the walk on the line that is tried."""
    dead, alive, weightless = endpoints(heavy, heavy, 0)
    kind = LongRoundRobin if heavy > RING_MAX else RoundRobin
    balancer = kind([dead, alive, weightless], 0)
    first = []
    for _ in range(20):
        first.append(balancer.pick(()))
        if first[-1] is dead:
            assert balancer.pick((dead,)) is alive
    assert abs(Counter(first)[dead] - 10) <= 1


@pytest.mark.parametrize("kind", [RoundRobin, LongRoundRobin])
def test_a_successor_goes_on_from_the_same_turn(kind):
    some = endpoints(1, 1, 1)
    first = kind(some, 0)
    picked = [first.pick(())]
    second = kind(some, first.turn)
    picked += [second.pick(()), second.pick(())]
    assert set(picked) == set(some)


# Least connections ------------------------------------------------------------------


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


@given(st.integers(SCAN_MAX + 1, 100), st.integers(1, 60), st.data())
def test_two_choices_keep_the_loads_even(count, each, data):
    """The most loaded is above the mean by no more than log log n / log 2, and a little."""
    some = endpoints(*[1] * count)
    balancer = make_balancer("least_connections", some, 0)
    for _ in range(count * each):
        balancer.pick(()).live += 1
    assert max(e.live for e in some) <= each + 5
    # Some connections end, unevenly: what comes next evens them out again.
    for endpoint in data.draw(st.lists(st.sampled_from(some), max_size=count // 2, unique=True)):
        endpoint.live = 0
    emptied = sum(endpoint.live == 0 for endpoint in some)
    for _ in range(count * each):
        balancer.pick(()).live += 1
    mean = 2 * each - emptied * each / count
    assert max(e.live for e in some) <= mean + 6


def test_two_choices_keep_the_loads_in_proportion_to_the_weights():
    some = endpoints(*[1] * 20, *[10] * 20)
    balancer = make_balancer("least_connections", some, 0)
    for _ in range(220 * 20):
        balancer.pick(()).live += 1
    for endpoint in some:
        assert endpoint.live / endpoint.weight == pytest.approx(20, abs=5)


def test_two_choices_avoid_one_that_is_loaded():
    """It is drawn first or second often enough, and loses each time."""
    some = endpoints(*[1] * 20)
    some[0].live = 100
    balancer = make_balancer("least_connections", some, 0)
    assert some[0] not in {balancer.pick(()) for _ in range(500)}
    assert some[0] in {balancer.pick(some[1:]) for _ in range(5)}
