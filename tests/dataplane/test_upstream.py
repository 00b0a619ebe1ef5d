"""Connect times, first bytes and errors land in the right words."""

from __future__ import annotations

import errno
import os
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.dataplane.balancer import LeastConnections
from tenantproxy.dataplane.counters import BUCKETS_S, CounterFile, Endpoint
from tenantproxy.dataplane.counters import Upstream as Word
from tenantproxy.dataplane.messages import EndpointOrder
from tenantproxy.dataplane.upstream import Upstream, reason_of
from tenantproxy.model.spec import Balance
from tests.dataplane.support import HOST, SMALL, upstream


@pytest.fixture
def one(counters):
    one = Upstream(upstream(1, 80, 81), counters)
    yield one
    one.retire()  # lets go of the map


def of_its_own(*ports, **changes):
    """Return an upstream with counters that nobody else reads."""
    counters, fd = CounterFile.create("test", SMALL)
    os.close(fd)
    return Upstream(upstream(1, *ports, **changes), counters)


def test_a_time_on_a_bound_is_in_that_bucket_and_one_above_all_in_the_last(counters, one):
    one.connected(BUCKETS_S[0])
    one.connected(0.003)
    one.connected(60.0)
    words = counters.upstream(1)[Word.CONNECT :]
    assert words[0] == 1
    assert words[BUCKETS_S.index(0.005)] == 1
    assert words[len(BUCKETS_S)] == 1
    assert words[len(BUCKETS_S) + 1] == pytest.approx(60_003_500, abs=2)


def test_the_two_histograms_do_not_touch(counters, one):
    for took_s in (*BUCKETS_S, 100.0):
        one.connected(took_s)
    assert set(counters.upstream(1)[Word.FIRST_BYTE :]) == {0}
    one.first_byte(0.0001)
    assert counters.upstream(1)[Word.FIRST_BYTE] == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errno.ECONNREFUSED, "refused"),
        (errno.ETIMEDOUT, "timeout"),
        (errno.EHOSTUNREACH, "unreachable"),
        (errno.ENETUNREACH, "unreachable"),
        (errno.ECONNRESET, "reset"),
        (errno.EADDRNOTAVAIL, "other"),
    ],
)
def test_errors_have_names(error, reason):
    assert reason_of(error) == reason


def test_replacing_it_keeps_the_endpoints_that_stay(one):
    before = one.balancer.pick(())
    before.live = 3
    order = upstream(
        1,
        balance="least_connections",
        endpoints=(
            EndpointOrder(before.id, before.id, "127.0.0.1", before.sockaddr[1], 5),
            EndpointOrder(20, 20, "127.0.0.1", 99, 1),
        ),
    )
    one.apply(order)
    assert isinstance(one.balancer, LeastConnections)
    assert before.weight == 5
    assert one.balancer.pick(()) is before or one.balancer.pick((before,)).live == 0
    assert before.live == 3


def order(*endpoints, **changes):
    return upstream(1, endpoints=endpoints, **changes)


def one_at(number, port=80, weight=1, block=None):
    return EndpointOrder(number, number if block is None else block, HOST, port, weight)


def test_the_same_number_and_address_is_the_same_endpoint_and_another_of_one_is_not(one):
    before = one.endpoints[8]
    one.apply(order(one_at(8, weight=7)))
    assert one.endpoints[8] is before
    assert before.weight == 7
    one.apply(order(one_at(8, port=8080)))
    assert one.endpoints[8] is not before
    one.apply(order(one_at(9, port=8080)))
    assert one.endpoints[9].id == 9


def test_an_endpoint_that_left_counts_into_nothing_and_its_block_has_nothing_open(counters, one):
    gone = one.endpoints[8]
    gone.live = 3
    gone.cells[Endpoint.OPENED] += 5
    gone.cells[Endpoint.CLOSED] += 2
    one.apply(order(one_at(9)))
    assert counters.endpoint(8) == (5, 5, 0)
    gone.cells[Endpoint.CLOSED] += 3
    gone.cells[Endpoint.FAILED] += 1
    assert counters.endpoint(8) == (5, 5, 0)


def test_an_endpoint_that_comes_back_counts_as_if_it_had_never_left(counters, one):
    endpoint = one.endpoints[8]
    endpoint.live = 3
    endpoint.cells[Endpoint.OPENED] += 5
    endpoint.cells[Endpoint.CLOSED] += 2
    one.apply(order())
    endpoint.cells[Endpoint.OPENED] += 1  # its connect was under way
    endpoint.cells[Endpoint.CLOSED] += 2
    endpoint.cells[Endpoint.FAILED] += 1
    one.apply(order(one_at(8)))
    assert one.endpoints[8] is endpoint
    assert counters.endpoint(8) == (6, 4, 1)
    endpoint.cells[Endpoint.CLOSED] += 2
    assert counters.endpoint(8) == (6, 6, 1)


def test_an_endpoint_that_left_without_connections_is_forgotten(one):
    endpoint = one.endpoints[8]
    one.apply(order())
    assert one._away == {}
    one.apply(order(one_at(8)))
    assert one.endpoints[8] is not endpoint


def test_a_retired_upstream_leaves_its_blocks_without_gauges(counters, one):
    endpoint = one.endpoints[8]
    endpoint.cells[Endpoint.OPENED] += 2
    one.cells[Word.SLOTS] += 2
    one.cells[Word.WAITING] += 1
    one.retire()
    assert counters.upstream(1)[Word.SLOTS] == counters.upstream(1)[Word.WAITING] == 0
    assert counters.endpoint(8) == (2, 2, 0)
    one.cells[Word.SLOTS] -= 2  # what still lives ends without a fault


@given(st.integers(0, 40), st.lists(st.integers(0, 60), min_size=2, max_size=2), st.floats(0, 1))
def test_second_attempts_are_three_or_a_share_of_the_living(retrying, live, budget):
    one = of_its_own(80, 81, retry_budget=budget)
    for endpoint, connections in zip(one.endpoints.values(), live, strict=True):
        endpoint.live = connections
    one.retrying = retrying
    assert one.may_retry() == (retrying < max(3, budget * sum(live)))


@given(
    st.sampled_from(get_args(Balance)),
    st.lists(
        st.dictionaries(st.integers(1, 24), st.integers(0, 200), max_size=20),
        min_size=1,
        max_size=6,
    ),
)
def test_an_endpoint_that_was_taken_out_is_never_picked_again(balance, orders):
    """Whatever the balancer remembered; control names only those that are to be used."""
    one = of_its_own(balance=balance)
    for endpoints in orders:
        named = tuple(
            EndpointOrder(number, number, "192.0.2.1", number, weight)
            for number, weight in endpoints.items()
        )
        one.apply(upstream(1, balance=balance, endpoints=named))
        usable = {number for number, weight in endpoints.items() if weight}
        for client in range(30):
            first = one.balancer.pick((), bytes([client]))
            if first is None:
                assert not usable
                break
            assert first.sockaddr[1] in usable
            second = one.balancer.pick((first,), bytes([client]))
            assert second is None or second.sockaddr[1] in usable - {first.sockaddr[1]}
            first.live += 1
