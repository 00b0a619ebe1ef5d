"""Somebody is reached, or the client is refused and the books say why."""

from __future__ import annotations

import _socket
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from tenantproxy.dataplane import connector
from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane.counters import Upstream
from tenantproxy.dataplane.endpoint import Endpoint
from tests.dataplane.support import (
    HOST,
    listener,
    port_of,
    receive,
    reset,
    send,
    until,
    upstream,
    was_reset,
)

pytestmark = pytest.mark.both_movers


async def test_a_refused_connect_is_retried_on_another_endpoint(rig):
    server = rig.listening()
    rig.upstreams(upstream(1, rig.dead_port(), port_of(server), rig.dead_port()))
    port = rig.open(listener(1, {1: 1}))
    for _ in range(3):
        client, upstream_end = await rig.pair(port, server)
        await send(client, b"served")
        assert await receive(upstream_end, 6) == b"served"
    assert rig.books.ends() == {}
    # Over three turns of the ring each dead endpoint was met.
    assert rig.books.errors()["refused"] >= 2
    assert rig.books.histogram(Upstream.CONNECT) == 3


async def test_when_all_refuse_the_client_is_reset(rig):
    rig.upstreams(upstream(1, *(rig.dead_port() for _ in range(5)), connect_tries=3))
    client = await rig.connect(rig.open(listener(1, {1: 1})))
    assert await was_reset(client)
    assert rig.books.ends() == {"!connect_failed": 1}
    assert rig.books.errors() == {"refused": 3}
    assert rig.books.route() == (0, 0, 0, 0)
    (notice,) = rig.notices("upstream_unreachable")
    assert (notice.subject, notice.detail) == ("tenant/upstream-1", "refused")


async def test_an_endpoint_is_tried_once_by_a_flow(rig):
    rig.upstreams(upstream(1, rig.dead_port(), connect_tries=3))
    client = await rig.connect(rig.open(listener(1, {1: 1})))
    assert await was_reset(client)
    assert rig.books.errors() == {"refused": 1}


async def test_a_silent_endpoint_is_given_up_at_the_deadline(rig):
    server = rig.listening()
    silent = await rig.black_hole()
    rig.upstreams(upstream(1, silent, port_of(server), connect_timeout_s=0.15))
    port = rig.open(listener(1, {1: 1}))
    for _ in range(2):  # in two turns the silent one was first once
        client, upstream_end = await rig.pair(port, server)
        await send(client, b"x")
        assert await receive(upstream_end, 1) == b"x"
    assert rig.books.errors() == {"timeout": 1}


async def test_when_all_are_silent_the_client_is_reset(rig):
    rig.upstreams(upstream(1, await rig.black_hole(), connect_timeout_s=0.1))
    client = await rig.connect(rig.open(listener(1, {1: 1})))
    assert await was_reset(client)
    assert rig.books.ends() == {"!connect_failed": 1}
    assert rig.books.errors() == {"timeout": 1}
    assert all(e.live == 0 for e in rig.engine._upstreams[1].endpoints.values())


async def test_a_member_without_endpoints_takes_its_share_and_refuses_it(rig):
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server)), upstream(2))
    port = rig.open(listener(1, {1: 75, 2: 25}))
    for _ in range(40):
        await rig.connect(port)
    await until(lambda: rig.books.ends().get("!no_endpoint", 0) + rig.books.route()[0] == 40)
    assert rig.books.ends() == {"!no_endpoint": pytest.approx(10, abs=1)}


async def test_a_split_that_names_an_unknown_upstream_refuses(rig):
    client = await rig.connect(rig.open(listener(1, {9: 1})))
    assert await was_reset(client)
    assert rig.books.ends() == {"!no_endpoint": 1}


async def test_a_connect_that_met_itself_is_retried_elsewhere(rig, monkeypatch):
    """The kernel's port choice is not ours to steer: the socket is bound to what it connects to."""
    server = rig.listening()
    held = rig.keep(socket.socket())
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((HOST, 0))
    lonely = port_of(held)
    held.close()
    rig.upstreams(upstream(1, lonely, port_of(server)))
    for endpoint in rig.engine._upstreams[1].endpoints.values():
        endpoint.may_self_connect = True

    class Bound(_socket.socket):
        def connect_ex(self, address):
            if address[1] == lonely:
                self.bind((HOST, lonely))
            return super().connect_ex(address)

    monkeypatch.setattr(connector, "_socket", SimpleNamespace(socket=Bound))
    port = rig.open(listener(1, {1: 1}))
    for _ in range(2):
        client, upstream_end = await rig.pair(port, server)
        await send(client, b"other")
        assert await receive(upstream_end, 5) == b"other"
    assert rig.books.errors() == {"self_connect": 1}


def test_only_local_ephemeral_endpoints_may_meet_themselves():
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert Endpoint(HOST, low, 1).may_self_connect
    assert Endpoint("::1", high, 1).may_self_connect
    assert not Endpoint(HOST, low - 1, 1).may_self_connect
    assert not Endpoint("192.0.2.1", low, 1).may_self_connect


async def test_a_connecting_flow_that_is_killed_is_refused(rig):
    rig.upstreams(upstream(1, await rig.black_hole()))
    port = rig.open(listener(1, {1: 1}))
    client = await rig.connect(port)
    await until(lambda: rig.engine._connector._deadlines)
    rig.order(m.EndConnections((1,), "kill", 0, forget=False))
    assert await was_reset(client)
    assert rig.books.ends() == {"!shutdown": 1}


async def test_an_error_while_connecting_ends_that_flow_only(rig):
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server)), upstream(2, port_of(server)))
    port = rig.open(listener(1, {1: 1}))
    rig.engine._upstreams[1].balancer = None
    assert await was_reset(await rig.connect(port))
    assert rig.books.ends() == {"!internal": 1}
    assert rig.notices("internal")
    other = rig.open(listener(2, {2: 1}))
    await rig.pair(other, server)


async def test_no_socket_for_an_upstream_is_overload(rig, monkeypatch):
    port, _ = rig.serve()

    def none_left(*_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(connector, "_socket", SimpleNamespace(socket=none_left))
    client = await rig.connect(port)
    assert await was_reset(client)
    assert rig.books.ends() == {"!overload": 1}


# Endpoints have books of their own ----------------------------------------------------


async def test_an_endpoint_counts_what_was_opened_closed_and_failed(rig):
    server = rig.listening()
    dead = rig.dead_port()
    rig.upstreams(upstream(1, dead, port_of(server)))
    port = rig.open(listener(1, {1: 1}))
    pairs = [await rig.pair(port, server) for _ in range(4)]
    await until(lambda: rig.books.route()[0] == 4)
    assert rig.books.endpoint(8) == (0, 0, 2)
    assert rig.books.endpoint(9) == (4, 0, 0)
    for sock in pairs[0] + pairs[1]:
        sock.close()
    await until(lambda: rig.engine.flows == 2)
    assert rig.books.endpoint(9) == (4, 2, 0)
    rig.order(m.EndConnections((1,), "kill", 0, forget=False))
    assert rig.books.endpoint(9) == (4, 4, 0)


async def test_a_connect_given_up_is_neither_opened_nor_failed(rig):
    rig.upstreams(upstream(1, await rig.black_hole()))
    client = await rig.connect(rig.open(listener(1, {1: 1})))
    await until(lambda: len(rig.engine._connector._deadlines))
    rig.order(m.EndConnections((1,), "kill", 0, forget=False))
    assert await was_reset(client)
    assert rig.books.endpoint(8) == (0, 0, 0)


# Second attempts have a budget ------------------------------------------------------------


async def one_refuses_and_one_is_silent(rig, clients, **changes):
    """Every second client is refused first, and is retried where nobody answers."""
    hole = await rig.black_hole()
    rig.upstreams(upstream(1, rig.dead_port(), hole, connect_timeout_s=1.0, **changes))
    port = rig.open(listener(1, {1: 1}))
    for _ in range(clients):
        await rig.connect(port)
    await until(lambda: rig.books.accepted() == clients)
    await until(lambda: rig.books.errors().get("refused", 0) >= clients // 2)


async def test_three_second_attempts_may_always_be_under_way_and_others_wait(rig):
    await one_refuses_and_one_is_silent(rig, 20, retry_budget=0.0)
    assert rig.books.upstream(Upstream.RETRIES) == 3
    assert rig.books.upstream(Upstream.RETRIES_DENIED) == 0
    assert len(rig.engine._connector._turns) == 7
    await rig.quiet()  # and those that waited are denied theirs, or had it and are refused
    assert rig.engine._upstreams[1].retrying == 0
    assert len(rig.engine._connector._turns) == 0
    assert rig.books.upstream(Upstream.RETRIES_DENIED) >= 1
    assert rig.books.ends() == {"!connect_failed": 20}


async def test_in_a_burst_everybody_gets_a_second_attempt_in_turn(rig):
    """A hundred at once, half of them refused first: three are under way, and none is denied."""
    server = rig.listening()
    rig.upstreams(upstream(1, rig.dead_port(), port_of(server), retry_budget=0.0))
    port = rig.open(listener(1, {1: 1}))
    clients = [await rig.connect(port) for _ in range(100)]
    for _ in clients:
        await rig.accept(server)
    assert rig.books.upstream(Upstream.RETRIES) == 50
    assert rig.books.upstream(Upstream.RETRIES_DENIED) == 0
    assert rig.books.ends() == {}


async def test_who_waits_for_a_second_attempt_can_be_killed(rig):
    await one_refuses_and_one_is_silent(rig, 20, retry_budget=0.0)
    rig.order(m.EndConnections((1,), "kill", 0, forget=False))
    assert len(rig.engine._connector._turns) == 0
    assert rig.engine._upstreams[1].retrying == 0
    assert rig.books.ends() == {"!shutdown": 20}


async def test_more_may_if_they_are_few_among_the_living(rig):
    await one_refuses_and_one_is_silent(rig, 20, retry_budget=1.0)
    assert rig.books.upstream(Upstream.RETRIES) == 10
    assert rig.books.upstream(Upstream.RETRIES_DENIED) == 0
    rig.order(m.EndConnections((1,), "kill", 0, forget=False))
    assert rig.engine._upstreams[1].retrying == 0


async def test_a_retry_that_is_connected_leaves_the_budget(rig):
    server = rig.listening()
    rig.upstreams(upstream(1, rig.dead_port(), port_of(server), retry_budget=0.0))
    port = rig.open(listener(1, {1: 1}))
    for _ in range(12):
        await rig.pair(port, server)
    assert rig.books.upstream(Upstream.RETRIES) == 6
    assert rig.books.upstream(Upstream.RETRIES_DENIED) == 0


@pytest.mark.pump_only("what the kernel moves is not taken back")
async def test_an_early_reset_waits_for_its_turn_too(rig):
    server, other = rig.listening(), rig.listening()
    rig.upstreams(upstream(1, port_of(server), port_of(other), retry_budget=0.0))
    port = rig.open(listener(1, {1: 1}))
    one = rig.engine._upstreams[1]
    one.retrying += 3
    client = await rig.connect(port)
    end, _ = await rig.accept_any(server, other)
    await rig.joined()
    reset(end)
    await until(lambda: len(rig.engine._connector._turns) == 1)
    for _ in range(3):
        rig.engine._connector._over(one)
    end, _ = await rig.accept_any(server, other)
    await send(end, b"hello")
    assert await receive(client, 5) == b"hello"
    assert rig.books.upstream(Upstream.RETRIES_DENIED) == 0


async def test_a_client_comes_back_to_the_endpoint_its_address_says(rig):
    servers = [rig.listening() for _ in range(8)]
    rig.upstreams(upstream(1, *map(port_of, servers), balance="source_hash"))
    port = rig.open(listener(1, {1: 1}))
    met = {}
    for host in ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4") * 3:
        client = socket.create_connection((HOST, port), source_address=(host, 0))
        rig.keep(client)
        _, server = await rig.accept_any(*servers)
        assert met.setdefault(host, server) is server
    assert len(set(met.values())) > 1
