"""Somebody is reached, or the client is refused and the books say why."""

from __future__ import annotations

import _socket
import asyncio
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


async def test_while_waking_a_client_is_held_until_the_upstream_appears(rig):
    rig.upstreams(upstream(1))
    port = rig.open(listener(1, {1: 1}, hold_s=10.0))
    client = await rig.connect(port)
    await send(client, b"early")
    await until(lambda: rig.engine._listeners[1].held == 1)
    await asyncio.sleep(0.1)
    assert rig.books.ends() == {}
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server)))
    upstream_end = await rig.accept(server)
    assert await receive(upstream_end, 5) == b"early"
    await until(lambda: not rig.engine._listeners[1].waking)
    assert rig.engine._listeners[1].held == 0


async def test_while_waking_a_client_is_held_until_the_endpoint_listens(rig):
    dead = rig.keep(socket.socket())
    dead.bind((HOST, 0))
    rig.upstreams(upstream(1, port_of(dead)))
    port = rig.open(listener(1, {1: 1}, hold_s=10.0))
    client = await rig.connect(port)
    await until(lambda: rig.books.errors().get("refused", 0) >= 2)
    dead.listen()
    upstream_end = await rig.accept(dead)
    await send(client, b"at last")
    assert await receive(upstream_end, 7) == b"at last"


async def test_more_than_hold_are_refused_at_once(rig):
    rig.upstreams(upstream(1))
    port = rig.open(listener(1, {1: 1}, hold=3, hold_s=10.0))
    for _ in range(5):
        await rig.connect(port)
    await until(lambda: rig.books.ends().get("!hold_full") == 2)
    assert rig.engine._listeners[1].held == 3


async def test_nobody_is_held_longer_than_hold_s(rig):
    rig.upstreams(upstream(1))
    client = await rig.connect(rig.open(listener(1, {1: 1}, hold_s=0.2)))
    assert await was_reset(client)
    assert rig.books.ends() == {"!wake_timeout": 1}
    late = await rig.connect(port=client_port(rig))
    assert await was_reset(late)
    assert rig.books.ends() == {"!wake_timeout": 1, "!no_endpoint": 1}


def client_port(rig) -> int:
    return port_of(rig.engine._listeners[1].sock)


async def test_after_the_first_success_nobody_is_held(rig):
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server)))
    port = rig.open(listener(1, {1: 1}, hold_s=10.0))
    await rig.pair(port, server)
    await until(lambda: rig.books.route()[0] == 1)
    rig.upstreams(upstream(1))
    assert await was_reset(await rig.connect(port))
    assert rig.books.ends() == {"!no_endpoint": 1}


async def test_a_held_client_that_leaves_is_noticed(rig):
    rig.upstreams(upstream(1))
    port = rig.open(listener(1, {1: 1}, hold_s=10.0))
    client = await rig.connect(port)
    await until(lambda: rig.engine._listeners[1].held == 1)
    client.close()
    await rig.quiet()
    assert rig.books.ends() == {"!client_gone": 1}
    assert rig.engine._listeners[1].held == 0


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
    rig.serve()

    def none_left(*_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(connector, "_socket", SimpleNamespace(socket=none_left))
    client = await rig.connect(client_port(rig))
    assert await was_reset(client)
    assert rig.books.ends() == {"!overload": 1}
