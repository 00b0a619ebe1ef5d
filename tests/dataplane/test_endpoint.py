"""An endpoint knows its address, and counts into its block."""

from __future__ import annotations

from tenantproxy.dataplane.counters import ENDPOINT_WORDS
from tenantproxy.dataplane.counters import Endpoint as Word
from tenantproxy.dataplane.endpoint import Endpoint


def test_ipv6_addresses_with_a_zone_keep_it():
    endpoint = Endpoint("fe80::1%lo", 80, 1)
    assert endpoint.sockaddr[:2] == ("fe80::1", 80)
    assert endpoint.sockaddr[3] > 0


def test_an_endpoint_counts_into_the_block_it_is_given(counters):
    at = counters.endpoint_at(7)
    cells = counters.words[at : at + ENDPOINT_WORDS]
    endpoint = Endpoint("192.0.2.1", 80, 1, id=7, cells=cells, server_name="one.example")
    endpoint.cells[Word.FAILED] += 3
    assert counters.endpoint(7)[Word.FAILED] == 3
    assert (endpoint.id, endpoint.server_name) == (7, "one.example")


def test_an_endpoint_without_a_block_counts_into_one_of_its_own():
    one, two = Endpoint("192.0.2.1", 80, 1), Endpoint("192.0.2.1", 80, 1)
    one.cells[Word.OPENED] += 1
    assert (one.cells[Word.OPENED], two.cells[Word.OPENED]) == (1, 0)
