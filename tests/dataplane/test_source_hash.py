"""A client keeps its endpoint, in every worker, for as long as the endpoint is there."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.dataplane import source_hash
from tenantproxy.dataplane.endpoint import Endpoint
from tenantproxy.dataplane.source_hash import SourceHash

CLIENTS = [bytes([10, i >> 16, i >> 8 & 255, i & 255]) for i in range(10_000)]


def endpoints(*weights: int) -> list[Endpoint]:
    return [Endpoint(f"192.0.2.{i + 1}", 8080, weight) for i, weight in enumerate(weights)]


def homes(balancer: SourceHash, clients: list[bytes] = CLIENTS) -> list[Endpoint]:
    return [balancer.pick((), client) for client in clients]


@pytest.mark.parametrize("count", [2, 3, 10, 40])
def test_removing_one_of_n_moves_its_nth_of_the_clients_and_no_others(count):
    some = endpoints(*[1] * count)
    before = homes(SourceHash(some, 0))
    after = homes(SourceHash(some[1:], 0))
    moved = [was for was, now in zip(before, after, strict=True) if was is not now]
    assert set(moved) == {some[0]}
    assert len(moved) / len(CLIENTS) == pytest.approx(1 / count, abs=0.02)
    assert homes(SourceHash(some, 0)) == before  # and they come back


@given(st.lists(st.integers(1, 5), min_size=2, max_size=10), st.data(), st.integers(1, 20))
def test_raising_a_weight_moves_clients_only_to_it(weights, data, more):
    some = endpoints(*weights)
    clients = CLIENTS[:300]
    before = homes(SourceHash(some, 0), clients)
    grown = data.draw(st.sampled_from(some))
    grown.weight += more
    for was, now in zip(before, homes(SourceHash(some, 0), clients), strict=True):
        assert now in (was, grown)


@given(st.lists(st.integers(1, 5), min_size=2, max_size=10), st.permutations(range(10)))
def test_the_order_of_the_endpoints_and_the_turn_do_not_matter(weights, order):
    some = endpoints(*weights)
    other = [some[i] for i in order if i < len(some)]
    clients = CLIENTS[:100]
    assert homes(SourceHash(some, 0), clients) == homes(SourceHash(other, 77), clients)


def test_another_try_goes_where_the_client_would_go_without_those_tried():
    some = endpoints(1, 2, 3, 4)
    balancer = SourceHash(some, 0)
    for client in CLIENTS[:300]:
        first = balancer.pick((), client)
        left = [endpoint for endpoint in some if endpoint is not first]
        assert balancer.pick((first,), client) is SourceHash(left, 0).pick((), client)
        assert balancer.pick((), client) is first


def test_another_process_chooses_the_same():
    program = (
        "from tenantproxy.dataplane.endpoint import Endpoint\n"
        "from tenantproxy.dataplane.source_hash import SourceHash\n"
        "some = [Endpoint(f'192.0.2.{i + 1}', 8080, 1 + i) for i in range(5)]\n"
        "balancer = SourceHash(some, 1)\n"
        "print(*(some.index(balancer.pick((), bytes([10, 0, 0, i]))) for i in range(64)))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    some = endpoints(1, 2, 3, 4, 5)
    ours = [some.index(endpoint) for endpoint in homes(SourceHash(some, 0), CLIENTS[:64])]
    assert [int(word) for word in answer.stdout.split()] == ours
    assert len(set(ours)) == 5


def test_one_address_written_in_two_ways_is_one_endpoint():
    short, long = Endpoint("2001:db8::1", 80, 1), Endpoint("2001:DB8:0:0::0001", 80, 1)
    other = Endpoint("2001:db8::2", 80, 1)
    one, two = SourceHash([short, other], 0), SourceHash([long, other], 0)
    for client in CLIENTS[:100]:
        assert (one.pick((), client) is other) == (two.pick((), client) is other)


def test_ports_of_one_host_are_endpoints_of_their_own():
    some = [Endpoint("192.0.2.1", port, 1) for port in (8080, 8081)]
    assert set(homes(SourceHash(some, 0), CLIENTS[:50])) == set(some)


def test_so_many_clients_and_no_more_are_remembered(monkeypatch):
    monkeypatch.setattr(source_hash, "REMEMBERED", 8)
    some = endpoints(1, 1, 1)
    balancer = SourceHash(some, 0)
    first = homes(balancer, CLIENTS[:100])
    assert homes(balancer, CLIENTS[:100]) == first
    assert balancer._remembered.cache_info().currsize == 8


def test_a_balancer_that_is_replaced_goes_with_what_it_remembers():
    """Thousands of clients must not wait for the garbage collector."""
    balancer = SourceHash(endpoints(1, 1), 0)
    homes(balancer, CLIENTS[:10])
    remembered = balancer._remembered
    count = sys.getrefcount(remembered)
    del balancer
    assert sys.getrefcount(remembered) == count - 1
