"""A connection that breaks before a byte went either way is tried elsewhere; any other is not."""

from __future__ import annotations

import asyncio
import os
import socket
from types import SimpleNamespace

import pytest

from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane.counters import Upstream
from tests.dataplane.support import (
    listener,
    port_of,
    receive,
    receive_all,
    reset,
    send,
    until,
    upstream,
    was_reset,
)

pytestmark = pytest.mark.parametrize("mover", ["pump", "trial"], indirect=True)


@pytest.fixture
def servers(rig):
    """Two servers of upstream 1."""
    two = rig.listening(), rig.listening()
    rig.upstreams(upstream(1, *map(port_of, two)))
    return two


@pytest.fixture
def port(rig, servers):
    return rig.open(listener(1, {1: 1}))


async def reached(rig, port, servers):
    """Return a client, the server's end it got, and the server that it did not get."""
    client = await rig.connect(port)
    end, chosen = await rig.accept_any(*servers)
    await rig.joined()
    return client, end, servers[chosen is servers[0]]


def opened_and_closed(rig):
    """Return what the route and both endpoints together count."""
    endpoints = [rig.books.endpoint(8 + i) for i in range(2)]
    return rig.books.route()[:2], tuple(map(sum, zip(*endpoints, strict=True)))


async def test_a_silent_client_of_a_server_that_resets_gets_another(rig, port, servers):
    client, end, other = await reached(rig, port, servers)
    reset(end)
    second = await rig.accept(other)
    await send(second, b"220 ready")
    assert await receive(client, 9) == b"220 ready"
    await send(client, b"HELO")
    assert await receive(second, 4) == b"HELO"
    assert rig.books.ends() == {}
    assert rig.books.errors() == {"early_reset": 1}
    assert opened_and_closed(rig) == ((2, 1), (2, 1, 1))
    assert rig.books.upstream(Upstream.RETRIES) == 1
    client.close()
    second.close()
    await rig.quiet()
    assert opened_and_closed(rig) == ((2, 2), (2, 2, 1))
    assert all(e.live == 0 for e in rig.engine._upstreams[1].endpoints.values())


@pytest.mark.parametrize("first", ["bytes", "reset"])
async def test_what_a_client_says_at_the_moment_of_the_reset_reaches_the_next_server_once(
    rig, port, servers, first
):
    client, end, other = await reached(rig, port, servers)
    if first == "bytes":  # they are read, and cannot be sent
        client.send(b"hello")
        reset(end)
    else:
        reset(end)
        client.send(b"hello")
    second = await rig.accept(other)
    assert await receive(second, 5) == b"hello"
    await send(client, b", and more")
    assert await receive(second, 10) == b", and more"
    await send(second, b"answer")
    assert await receive(client, 6) == b"answer"
    client.shutdown(socket.SHUT_WR)
    assert await receive_all(second) == b""
    second.close()
    assert await receive_all(client) == b""
    assert rig.books.ends() == {"done": 1}
    assert rig.books.route()[2:] == (15, 6)


async def test_the_next_server_may_say_fin_before_the_client_does(rig, port, servers):
    client, end, other = await reached(rig, port, servers)
    client.send(b"hello")
    reset(end)
    second = await rig.accept(other)
    second.shutdown(socket.SHUT_WR)
    assert await receive_all(client) == b""
    await send(client, b", and more")
    assert await receive(second, 15) == b"hello, and more"
    client.close()
    assert await receive_all(second) == b""


async def test_a_client_that_spoke_first_and_then_said_fin_loses_neither(rig, port, servers):
    client, end, other = await reached(rig, port, servers)
    client.send(b"all of it")
    client.shutdown(socket.SHUT_WR)
    reset(end)
    second = await rig.accept(other)
    assert await receive_all(second) == b"all of it"


async def test_a_client_that_only_said_fin_is_tried_elsewhere(rig, port, servers):
    client, end, other = await reached(rig, port, servers)
    client.shutdown(socket.SHUT_WR)
    assert await receive_all(end) == b""
    reset(end)
    second = await rig.accept(other)
    assert await receive_all(second) == b""
    await send(second, b"answer")
    second.close()
    assert await receive_all(client) == b"answer"
    assert rig.books.ends() == {"done": 1}
    assert rig.books.errors() == {}  # that a server resets who says nothing is no failure


@pytest.mark.parametrize("read", [True, False])
async def test_what_a_server_took_is_never_sent_to_another(rig, port, servers, read):
    client, end, other = await reached(rig, port, servers)
    await send(client, b"pay 1 EUR")
    if read:
        assert await receive(end, 9) == b"pay 1 EUR"
    else:
        await until(lambda: rig.books.route()[2] == 9)
    reset(end)
    assert await was_reset(client)
    assert rig.books.ends() == {"upstream_reset": 1}
    assert rig.books.errors() == {"early_reset": 1}
    assert opened_and_closed(rig) == ((1, 1), (1, 1, 1))
    assert rig.books.upstream(Upstream.RETRIES) == 0
    with pytest.raises(BlockingIOError):
        other.accept()


async def test_one_byte_and_a_fin_that_could_not_be_sent_are_not_taken_for_a_fin(
    rig, port, servers
):
    """Of a byte that was sent and a FIN that was not the kernel counts as much as of a FIN."""
    client, end, other = await reached(rig, port, servers)
    await send(client, b"1")
    await until(lambda: rig.books.route()[2] == 1)
    client.shutdown(socket.SHUT_WR)
    reset(end)
    assert await was_reset(client)
    with pytest.raises(BlockingIOError):
        other.accept()


async def test_a_reset_after_the_servers_first_byte_is_the_clients(rig, port, servers):
    client, end, _ = await reached(rig, port, servers)
    end.send(b"2")
    reset(end)
    with pytest.raises(ConnectionResetError):
        while await receive(client, 1):
            pass
    assert rig.books.ends() == {"upstream_reset": 1}
    assert rig.books.errors() == {}


async def test_a_fin_without_a_byte_is_no_failure(rig, port, servers):
    client, end, _ = await reached(rig, port, servers)
    end.close()
    assert await receive_all(client) == b""
    await send(client, b"too late")  # and is answered with an RST
    await rig.quiet()
    assert rig.books.ends() == {"upstream_reset": 1}
    assert rig.books.errors() == {}
    assert opened_and_closed(rig)[1][2] == 0


async def test_a_client_that_resets_is_no_failure_of_the_server(rig, port, servers):
    client, end, _ = await reached(rig, port, servers)
    reset(client)
    assert await was_reset(end)
    assert rig.books.ends() == {"client_reset": 1}
    assert rig.books.errors() == {}


async def test_when_all_reset_the_client_is_reset(rig, port, servers):
    client, end, other = await reached(rig, port, servers)
    reset(end)
    second = await rig.accept(other)
    await rig.joined()
    reset(second)
    assert await was_reset(client)
    assert rig.books.ends() == {"upstream_reset": 1}
    assert rig.books.errors() == {"early_reset": 2}
    assert opened_and_closed(rig) == ((2, 2), (2, 2, 2))


async def test_resets_use_up_the_tries(rig):
    servers = [rig.listening() for _ in range(4)]
    rig.upstreams(upstream(1, *map(port_of, servers), connect_tries=3))
    client = await rig.connect(rig.open(listener(1, {1: 1})))
    met = set()
    for _ in range(3):
        end, server = await rig.accept_any(*servers)
        met.add(server)
        await rig.joined()
        reset(end)
    assert await was_reset(client)
    assert len(met) == 3
    assert rig.books.ends() == {"upstream_reset": 1}
    assert rig.books.errors() == {"early_reset": 3}


async def test_a_client_that_leaves_while_it_is_between_two_servers_is_found_out(
    rig, port, servers
):
    client, end, other = await reached(rig, port, servers)
    reset(end)
    client.close()
    assert await receive_all(await rig.accept(other)) == b""


@pytest.mark.parametrize("first_byte_s", [0.0, 60.0])
async def test_a_flow_between_two_servers_can_be_killed(
    rig, port, servers, monkeypatch, first_byte_s
):
    rig.upstreams(upstream(1, *map(port_of, servers), first_byte_timeout_s=first_byte_s))
    client, end, _ = await reached(rig, port, servers)
    calls = []
    later = SimpleNamespace(call_soon=lambda *call: calls.append(call))
    monkeypatch.setattr(rig.engine._connector._elsewhere, "_loop", later)
    reset(end)
    await until(lambda: calls)
    rig.order(m.EndConnections((1,), "kill", 0, forget=False))
    assert await was_reset(client)
    assert rig.books.ends() == {"!shutdown": 1}
    call, *arguments = calls.pop()
    call(*arguments)  # and what was to come does not come
    del arguments
    assert rig.engine.flows == 0
    assert rig.left() == []


async def test_an_adopted_client_leaves_the_epoll_on_the_way(rig, port, servers):
    elsewhere = rig.listening()
    client = await rig.connect(port_of(elsewhere))
    accepted = await rig.accept(elsewhere)
    rig.order(m.Adopt(1, 1), accepted.fileno())
    end, chosen = await rig.accept_any(*servers)
    await rig.joined()
    reset(end)
    second = await rig.accept(servers[chosen is servers[0]])
    await send(client, b"hello")
    assert await receive(second, 5) == b"hello"
    client.close()
    second.close()
    await rig.quiet()
    assert rig.engine._pump._halves == {}
    assert rig.engine._pump._epoll.poll(0.05) == []


async def test_many_flows_change_servers_and_lose_nothing(rig, port, servers):
    """New sockets get the numbers of those closed a moment ago."""
    stop = asyncio.Event()

    async def bad():
        while not stop.is_set():
            reset(await rig.accept(servers[0]))

    async def good():
        while not stop.is_set():
            end = await rig.accept(servers[1])
            await send(end, b"220")
            assert await receive(end, 8) == b"question"
            await send(end, b"answer")

    async def client():
        sock = await rig.connect(port)
        assert await receive(sock, 3) == b"220"
        await send(sock, b"question")
        assert await receive(sock, 6) == b"answer"
        sock.close()

    tasks = [asyncio.ensure_future(bad()), asyncio.ensure_future(good())]
    for _ in range(10):
        await asyncio.gather(*(client() for _ in range(10)))
    stop.set()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert rig.books.upstream(Upstream.RETRIES) > 10
    assert len(os.listdir("/proc/self/fd")) < 500
