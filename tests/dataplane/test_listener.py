"""A listener keeps its walk and its routes over every change of its split."""

from __future__ import annotations

import socket
from collections import Counter

import pytest

from tenantproxy.dataplane.counters import Route
from tenantproxy.dataplane.listener import CLOSED, REJECTED, Listener
from tenantproxy.model.split import Split, sticky_point
from tests.dataplane.support import HOST, listener, port_of, receive, send, upstream

NOBODY = None
"""A split that is not sticky does not look at the client."""


def test_routes_are_made_when_first_used_and_kept(counters):
    one = Listener(listener(1, {1: 1, 2: 1}), counters)
    assert one._routes == {}
    first = [one.next_route(NOBODY) for _ in range(10)]
    assert len({id(route) for route in first}) == 2
    one.update(listener(1, {1: 1, 2: 3}))
    assert {id(one.next_route(NOBODY)) for _ in range(10)} == {id(route) for route in first}


def test_routes_that_the_split_forgets_are_forgotten(counters):
    one = Listener(listener(1, {1: 1, 2: 1}), counters)
    for _ in range(10):
        one.next_route(NOBODY)
    one.update(listener(1, {2: 1}))
    assert [route.upstream_id for route in one._routes.values()] == [2]


def test_frequent_reweighs_do_not_begin_the_walk_again(counters):
    one = Listener(listener(1, {1: 90, 2: 10}), counters)
    picks: Counter[int] = Counter()
    for _ in range(300):
        one.update(listener(1, {1: 90, 2: 10}))
        picks[one.next_route(NOBODY).upstream_id] += 1
    assert picks[2] == pytest.approx(30, abs=2)


def test_listeners_do_not_all_begin_with_the_same_member(counters):
    first = {
        Listener(listener(1, {1: 50, 2: 50}), counters).next_route(NOBODY).upstream_id
        for _ in range(64)
    }
    assert first == {1, 2}


def test_a_route_counts_into_its_own_block(counters):
    one = Listener(listener(1, {1: 1}), counters)
    route = one.next_route(NOBODY)
    route.bytes_in[0] += 5
    route.bytes_out[0] += 7
    route.bytes_out[1] = 99
    route.cells[Route.OPENED] += 1
    assert counters.route(9) == (1, 0, 5, 0, 7, 99)


def test_every_reason_has_a_word_of_its_own():
    words = [*CLOSED.values(), *REJECTED.values()]
    assert len(set(words)) == len(words)


async def test_a_sticky_client_gets_the_same_upstream_however_often_it_comes(rig):
    servers = {number: rig.listening() for number in (1, 2)}
    rig.upstreams(*(upstream(number, port_of(server)) for number, server in servers.items()))
    port = rig.open(listener(1, {1: 1, 2: 1}, sticky=True, salt="acme/web"))
    split = Split.of([1, 1])
    homes = set()
    for host in range(1, 9):
        home = split.at(sticky_point("acme/web", bytes([127, 0, 0, host]))) + 1
        homes.add(home)
        for _ in range(2):
            sock = rig.keep(socket.create_connection((HOST, port), 10, (f"127.0.0.{host}", 0)))
            accepted = await rig.accept(servers[home])
            await send(sock, b"from %d" % host)
            assert await receive(accepted, 6) == b"from %d" % host
    assert homes == {1, 2}


def test_without_sticky_and_fallback_nothing_is_chosen_by_the_client(counters):
    one = Listener(listener(1, {1: 1, 2: 1}), counters)
    one.set_unhealthy({1})
    assert one._choice is None
    one.update(listener(1, {1: 1, 2: 1}, fallback=True))
    assert one._choice is not None
    one.set_unhealthy(frozenset())
    assert one._choice is None
    one.update(listener(1, {1: 1, 2: 1}, sticky=True))
    assert one._choice is not None


def test_routes_get_the_shares_of_their_own_weights(counters):
    """The line has another order than the document."""
    one = Listener(listener(1, {1: 60, 2: 0, 3: 30, 4: 10}), counters)
    picks = Counter(one.next_route(NOBODY).upstream_id for _ in range(1000))
    assert picks == {n: pytest.approx(v, abs=4) for n, v in ((1, 600), (3, 300), (4, 100))}
