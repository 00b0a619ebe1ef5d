"""Connect times, first bytes and errors land in the right words."""

from __future__ import annotations

import errno

import pytest

from tenantproxy.dataplane.balancer import LeastConnections
from tenantproxy.dataplane.counters import BUCKETS_S
from tenantproxy.dataplane.counters import Upstream as Word
from tenantproxy.dataplane.messages import EndpointOrder
from tenantproxy.dataplane.upstream import Upstream, reason_of
from tests.dataplane.support import upstream


@pytest.fixture
def one(counters):
    one = Upstream(upstream(1, 80, 81), counters)
    yield one
    one.retire()  # lets go of the map


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
