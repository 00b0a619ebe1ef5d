"""Spare connections are there when they are needed, alive, and used once."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane import spares as spares_module
from tenantproxy.dataplane.counters import Endpoint, Upstream
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
from tests.dataplane.tls_support import a_tls_server, make_pki


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(spares_module, "BEAT_S", 0.005)
    monkeypatch.setattr(spares_module, "BACKOFF_S", 0.02)


def ready(rig, number=1) -> int:
    return rig.books.counters.upstream(number)[Upstream.SPARES]


def open_spares(rig) -> int:
    return rig.engine._spares.descriptors


async def accept_all(rig, server, count) -> list:
    return [await rig.accept(server) for _ in range(count)]


async def nobody_else_comes(server) -> None:
    await asyncio.sleep(0.1)
    with pytest.raises(BlockingIOError):
        server.accept()


async def test_as_many_as_asked_for_each_endpoint_are_connected_without_a_client(rig):
    servers = [rig.listening(), rig.listening()]
    rig.upstreams(upstream(1, *map(port_of, servers), warm=3))
    for server in servers:
        await accept_all(rig, server, 3)
    await until(lambda: ready(rig) == 6)
    for server in servers:
        await nobody_else_comes(server)
    assert rig.books.errors() == {}
    assert rig.books.histogram(Upstream.CONNECT) == 0


async def test_a_client_gets_a_spare_and_it_is_replaced(rig):
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server), warm=2))
    spares = await accept_all(rig, server, 2)
    await until(lambda: ready(rig) == 2)
    port = rig.open(listener(1, {1: 1}))
    client = await rig.connect(port)
    await send(client, b"question")
    assert await receive(spares[0], 8) == b"question"  # the oldest
    await send(spares[0], b"answer")
    assert await receive(client, 6) == b"answer"
    await accept_all(rig, server, 1)
    await until(lambda: ready(rig) == 2)
    assert rig.books.route()[:2] == (1, 0)
    assert rig.books.counters.endpoint(8)[Endpoint.OPENED] == 1
    assert rig.books.histogram(Upstream.CONNECT) == 1
    client.close()
    spares[0].close()
    await rig.quiet()
    assert rig.books.counters.endpoint(8)[Endpoint.CLOSED] == 1


async def test_no_spare_is_shared_by_two_clients(rig):
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server), warm=3))
    ends = await accept_all(rig, server, 3)
    await until(lambda: ready(rig) == 3)
    port = rig.open(listener(1, {1: 1}))
    clients = [await rig.connect(port) for _ in range(40)]
    for number, client in enumerate(clients):
        await send(client, b"%05d" % number)
    ends += await accept_all(rig, server, 40)
    said: set[bytes] = set()
    async with asyncio.timeout(10):
        reads = [asyncio.ensure_future(receive(end, 6)) for end in ends]
        while len(said) < 40:
            for end in ends:
                try:
                    data = end.recv(100, 2)  # MSG_PEEK
                except BlockingIOError:
                    continue
                assert len(data) == 5
                said.add(data)
            await asyncio.sleep(0.01)
        for read in reads:
            read.cancel()
        await asyncio.wait(reads)
    assert said == {b"%05d" % number for number in range(40)}


async def test_dead_spares_are_passed_over(rig):
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server), warm=3))
    ends = await accept_all(rig, server, 3)
    await until(lambda: ready(rig) == 3)
    ends[0].close()
    reset(ends[1])
    await asyncio.sleep(0.05)
    port = rig.open(listener(1, {1: 1}))
    client = await rig.connect(port)
    await send(client, b"question")
    assert await receive(ends[2], 8) == b"question"
    assert rig.books.errors() == {}


async def test_when_all_are_dead_a_new_one_is_made(rig):
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server), warm=2))
    for end in await accept_all(rig, server, 2):
        end.close()
    await asyncio.sleep(0.05)
    port = rig.open(listener(1, {1: 1}))
    client = await rig.connect(port)
    await send(client, b"question")
    ends = await accept_all(rig, server, 3)
    done, waiting = await asyncio.wait(
        [asyncio.ensure_future(receive(end, 8)) for end in ends],
        return_when=asyncio.FIRST_COMPLETED,
    )
    assert [one.result() for one in done] == [b"question"]
    for one in waiting:
        one.cancel()
    await asyncio.wait(waiting)
    assert rig.books.ends() == {}


async def one_spare_is_used(rig, server, **changes):
    """Return a client, and the server's end of the spare that it got."""
    rig.upstreams(upstream(1, port_of(server), warm=1, report=True, **changes))
    [end] = await accept_all(rig, server, 1)
    await until(lambda: ready(rig) == 1)
    rig.engine._spares._wake = lambda *_: None  # no other takes its place
    client = await rig.connect(rig.open(listener(1, {1: 1})))
    await until(lambda: rig.books.route()[0])
    return client, end


@pytest.mark.parametrize("tries", [1, 3])
async def test_a_spare_that_dies_as_it_is_used_is_no_failure_and_a_new_connection_is_made(
    rig, tries
):
    server = rig.listening()
    client, end = await one_spare_is_used(rig, server, connect_tries=tries)
    reset(end)
    end = await rig.accept(server)
    await send(client, b"question")
    assert await receive(end, 8) == b"question"
    await send(end, b"answer")
    assert await receive(client, 6) == b"answer"
    assert rig.books.errors() == rig.books.ends() == {}
    assert rig.books.endpoint(8) == (2, 1, 0)
    assert rig.said(m.Outcomes) == []


async def test_it_is_a_failure_if_the_new_connection_dies_too(rig):
    server = rig.listening()
    client, end = await one_spare_is_used(rig, server)
    reset(end)
    end = await rig.accept(server)
    await until(lambda: rig.books.route()[0] == 2)
    reset(end)
    assert await was_reset(client)
    assert rig.books.errors() == {"early_reset": 1}
    assert rig.books.ends() == {"upstream_reset": 1}


async def test_it_is_a_failure_if_the_client_was_heard(rig):
    server = rig.listening()
    client, end = await one_spare_is_used(rig, server)
    await send(client, b"pay 1 EUR")
    assert await receive(end, 9) == b"pay 1 EUR"
    reset(end)
    assert await was_reset(client)
    assert rig.books.errors() == {"early_reset": 1}
    with pytest.raises(BlockingIOError):
        server.accept()


async def test_a_flow_whose_spare_died_gets_no_other_spare(rig):
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server), warm=2))
    first, second = await accept_all(rig, server, 2)
    await until(lambda: ready(rig) == 2)
    rig.engine._spares._wake = lambda *_: None
    client = await rig.connect(rig.open(listener(1, {1: 1})))
    await until(lambda: rig.books.route()[0])
    reset(first)
    await send(await rig.accept(server), b"new")
    assert await receive(client, 3) == b"new"
    assert ready(rig) == 1
    second.close()


async def test_a_spare_that_dies_as_tls_begins_on_it_is_no_failure_either(rig, tmp_path):
    pki = make_pki(tmp_path)
    with a_tls_server(pki.server_context()) as server:
        rig.upstreams(upstream(1, server.port, warm=1, tls=pki.order()))
        stale = rig.keep(await asyncio.to_thread(lambda: server.listening.accept()[0]))
        await until(lambda: ready(rig) == 1)
        rig.engine._spares._wake = lambda *_: None
        client = await rig.connect(rig.open(listener(1, {1: 1})))
        assert (await receive(stale, 1)) == b"\x16"  # a ClientHello
        reset(stale)
        end = await server.accept()
        await asyncio.to_thread(end.sendall, b"answer")
        assert await receive(client, 6) == b"answer"
    assert rig.books.errors() == rig.books.ends() == {}
    assert rig.notices("upstream_tls") == []


async def test_a_server_that_speaks_first_is_alive_and_its_greeting_reaches_the_client(rig):
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server), warm=1))
    [end] = await accept_all(rig, server, 1)
    await send(end, b"220 ready\r\n")
    await until(lambda: ready(rig) == 1)
    await asyncio.sleep(0.05)
    port = rig.open(listener(1, {1: 1}))
    client = await rig.connect(port)
    assert await receive(client, 11) == b"220 ready\r\n"


async def test_an_old_spare_is_replaced(rig, quick, monkeypatch):
    monkeypatch.setattr(spares_module, "AGE_S", 0.2)
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server), warm=1))
    first, _second = await accept_all(rig, server, 2)
    assert await receive(first, 1) == b""
    assert rig.books.errors() == {}


async def test_none_is_kept_for_an_endpoint_that_leaves_or_when_none_is_wanted(rig):
    servers = [rig.listening(), rig.listening()]
    rig.upstreams(upstream(1, *map(port_of, servers), warm=2))
    stays, leaves = [await accept_all(rig, server, 2) for server in servers]
    await until(lambda: ready(rig) == 4)
    order = upstream(1, *map(port_of, servers), warm=1)
    rig.upstreams(msgspec.structs.replace(order, endpoints=order.endpoints[:1]))
    for end in leaves:
        assert await receive(end, 1) == b""
    assert await receive(stays[0], 1) == b""
    await until(lambda: ready(rig) == 1)
    rig.upstreams(upstream(1, port_of(servers[0])))
    assert await receive(stays[1], 1) == b""
    assert (ready(rig), open_spares(rig)) == (0, 0)


async def test_none_is_kept_for_an_upstream_that_is_dropped(rig):
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server), warm=2))
    ends = await accept_all(rig, server, 2)
    await until(lambda: ready(rig) == 2)
    rig.order(m.DropUpstreams((1,)))
    for end in ends:
        assert await receive(end, 1) == b""
    assert (ready(rig), open_spares(rig)) == (0, 0)


async def test_a_spare_that_cannot_be_had_is_the_endpoints_failure_and_no_clients(rig, quick):
    rig.upstreams(upstream(1, rig.dead_port(), warm=1, report=True))
    await until(lambda: any(o.failures > 2 for r in rig.said(m.Outcomes) for o in r.outcomes))
    assert rig.books.counters.endpoint(8)[Endpoint.FAILED] > 2
    assert rig.books.errors() == {}
    assert rig.notices("upstream_unreachable") == []
    outcomes = [o for r in rig.said(m.Outcomes) for o in r.outcomes]
    assert {(o.endpoint, o.reason) for o in outcomes} == {(8, "refused")}


async def test_the_pauses_between_failures_grow(rig, quick):
    rig.upstreams(upstream(1, rig.dead_port(), warm=5))
    await asyncio.sleep(0.3)
    assert 2 <= rig.books.counters.endpoint(8)[Endpoint.FAILED] <= 5  # after 0, 20, 60, 140, 300 ms


async def test_a_black_hole_costs_the_deadline_of_a_try(rig, quick):
    rig.upstreams(upstream(1, await rig.black_hole(), warm=1, connect_timeout_s=0.1, report=True))
    await until(lambda: rig.said(m.Outcomes))
    [outcome] = rig.said(m.Outcomes)[0].outcomes
    assert (outcome.failures, outcome.reason) == (1, "timeout")
    assert ready(rig) == 0


async def test_one_that_is_under_way_is_given_up_in_time_whatever_pause_there_is(rig, quick):
    rig.upstreams(upstream(1, await rig.black_hole(), warm=1, connect_timeout_s=0.3))
    await until(lambda: open_spares(rig) == 1)
    [pool] = rig.engine._spares._pools.values()
    pool.not_before_s = monotonic_s() + 60  # as after another one that failed
    await until(lambda: rig.books.endpoint(8)[2] == 1)
    assert open_spares(rig) == 0


async def test_an_endpoint_of_weight_0_gets_none(rig):
    server = rig.listening()
    order = upstream(1, port_of(server), warm=2)
    endpoint = m.EndpointOrder(8, 8, HOST, port_of(server), 0)
    rig.upstreams(msgspec.structs.replace(order, endpoints=(endpoint,)))
    await nobody_else_comes(server)


async def test_descriptors_of_spares_are_in_the_account_and_none_is_made_without_some_left(rig):
    server = rig.listening()
    acceptor = rig.engine._acceptor
    free = acceptor.free()
    rig.upstreams(upstream(1, port_of(server), warm=10))
    await accept_all(rig, server, 10)
    await until(lambda: ready(rig) == 10)
    assert acceptor.free() == free - 10
    acceptor._limit -= acceptor.free() - spares_module.LEFT_OVER + 1
    rig.upstreams(upstream(1, port_of(server), warm=20))
    await nobody_else_comes(server)
    assert open_spares(rig) == 10


async def test_spares_are_given_up_when_descriptors_are_short(rig):
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server), warm=10))
    ends = await accept_all(rig, server, 10)
    await until(lambda: ready(rig) == 10)
    acceptor = rig.engine._acceptor
    acceptor._limit -= acceptor.free() - spares_module.SHORT + 1
    for end in ends:
        assert await receive(end, 1) == b""
    assert open_spares(rig) == 0


async def test_a_burst_is_spread_over_beats(rig, monkeypatch):
    monkeypatch.setattr(spares_module, "BURST", 5)
    monkeypatch.setattr(spares_module, "BEAT_S", 0.2)
    servers = [rig.listening(), rig.listening()]
    rig.upstreams(upstream(1, *map(port_of, servers), warm=20))
    await until(lambda: open_spares(rig))
    assert open_spares(rig) == 5
    await until(lambda: ready(rig) == 40)
