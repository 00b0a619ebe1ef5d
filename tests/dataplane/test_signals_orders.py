"""What counts into a signal block, from when on and until when; and whose bytes."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tenantproxy.dataplane import messages as m
from tenantproxy.model.sides import Side
from tests.dataplane.signals_support import (
    BOTH,
    JUDGED,
    bytes_of,
    ended,
    goodbye,
    open_port,
)
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
from tests.dataplane.tls_support import a_tls_server

# Nobody there -----------------------------------------------------------------


@BOTH
async def test_each_attempt_that_fails_counts(rig):
    rig.upstreams(upstream(1, *(rig.dead_port() for _ in range(4)), connect_tries=3))
    port = rig.open(listener(1, {1: 1}, signals=JUDGED))
    assert await was_reset(await rig.connect(port))
    assert await was_reset(await rig.connect(port))
    await ended(rig, failed=6)


@BOTH
async def test_a_connect_that_takes_too_long_has_failed(rig):
    port = open_port(rig, await rig.black_hole(), connect_timeout_s=0.1)
    assert await was_reset(await rig.connect(port))
    await ended(rig, failed=1)


@BOTH
async def test_a_client_that_finds_no_endpoint_has_failed_once(rig):
    assert await was_reset(await rig.connect(open_port(rig)))
    await ended(rig, failed=1)


@BOTH
@pytest.mark.parametrize("queue", [{}, {"queue_size": 1, "queue_timeout_s": 0.1}])
async def test_a_client_for_whom_there_is_no_slot_has_failed(rig, queue):
    server = rig.listening()
    port = open_port(rig, port_of(server), max_connections=1, **queue)
    client, end = await rig.pair(port, server)
    assert await was_reset(await rig.connect(port))
    await goodbye(client, end)
    await ended(rig, opened=1, failed=1)


@BOTH
@pytest.mark.parametrize("there", [False, True])
async def test_who_is_held_while_the_port_wakes_fails_once_and_only_when_it_is_refused(rig, there):
    rig.upstreams(upstream(1, *([rig.dead_port()] if there else [])))
    port = rig.open(listener(1, {1: 1}, signals=JUDGED, hold_s=0.4))
    client = await rig.connect(port)
    await until(lambda: rig.engine._listeners[1].held == 1)
    await asyncio.sleep(0.1)
    assert rig.books.side().failed == 0
    assert await was_reset(client)
    assert rig.books.ends() == {"!wake_timeout": 1}
    await ended(rig, failed=1)


@BOTH
async def test_who_was_held_and_is_served_after_all_has_not_failed(rig):
    port = open_port(rig)
    rig.order(m.StopListeners((1,), sweep=False))
    port = rig.open(listener(1, {1: 1}, signals=JUDGED, hold_s=30.0))
    client = await rig.connect(port)
    await until(lambda: rig.engine._listeners[1].held == 1)
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server)))
    end = await rig.accept(server)
    await goodbye(client, end)
    await ended(rig, opened=1)


# Between the kernel's counts and the client's bytes ------------------------------


@BOTH
@pytest.mark.parametrize("first", ["client", "server"])
async def test_of_a_server_that_speaks_tls_the_clients_bytes_are_counted(rig, pki, first):
    with a_tls_server(pki.server_context()) as server:
        port = open_port(rig, server.port, tls=pki.order())
        client = await rig.connect(port)
        end = await server.accept()
        await send(client, b"x" * 96)
        assert len(await asyncio.to_thread(end.recv, 96)) == 96
        await asyncio.to_thread(end.sendall, b"y" * 1536)
        assert len(await receive(client, 1536)) == 1536
        if first == "client":
            client.shutdown(socket.SHUT_WR)
            assert await asyncio.to_thread(end.recv, 1) == b""
            await asyncio.to_thread(end.unwrap)
            end.close()
        else:
            end.close()
            assert await receive_all(client) == b""
            client.close()
        side = await ended(rig, opened=1)
    assert bytes_of(side.bytes_in) == [96]
    assert bytes_of(side.bytes_out) == [1536]
    assert sum(side.first_byte) == 1
    assert sum(side.closed_age) == (first == "server")


@BOTH
async def test_a_silent_server_that_speaks_tls_has_sent_nothing_but_tls(rig, pki):
    with a_tls_server(pki.server_context()) as server:
        client = await rig.connect(open_port(rig, server.port, tls=pki.order()))
        end = await server.accept()
        await rig.joined()
        end.close()
        assert await receive_all(client) == b""
        client.close()
        side = await ended(rig, opened=1, silent=1)
    assert bytes_of(side.bytes_in) == bytes_of(side.bytes_out) == [0]


@BOTH
async def test_a_handshake_that_fails_is_a_failed_attempt(rig, pki):
    with a_tls_server(pki.server_context()) as server:
        tls = pki.order(ca_file=pki.stranger_ca)
        client = await rig.connect(open_port(rig, server.port, tls=tls))
        with pytest.raises(OSError):
            await server.accept()
        assert await was_reset(client)
        await ended(rig, failed=1)


@BOTH
async def test_what_we_said_ourselves_is_not_the_clients(rig):
    server = rig.listening()
    port = open_port(rig, port_of(server), send_proxy="v2")
    client, end = await rig.pair(port, server)
    await send(client, b"12")
    assert (await receive(end, 30))[-2:] == b"12"
    reset(client)
    side = await ended(rig, opened=1, silent=1)
    assert bytes_of(side.bytes_in) == [2]


@pytest.mark.parametrize("mover", ["trial"], indirect=True)
async def test_what_the_kernel_moved_is_in_the_bytes(rig):
    server = rig.listening()
    client, end = await rig.pair(open_port(rig, port_of(server)), server)
    for _ in range(100):
        await send(client, b"x" * 10)
        await receive(end, 10)
        await send(end, b"y" * 20)
        await receive(client, 20)
    assert rig.engine._relay.linked == 1
    client.close()
    assert await receive_all(end) == b""
    end.close()
    side = await ended(rig, opened=1)
    assert bytes_of(side.bytes_in) == [1024]  # 768 is below
    assert bytes_of(side.bytes_out) == [2048]  # 1536 is below
    assert sum(side.first_byte) == 1


# Orders -----------------------------------------------------------------------


@BOTH
async def test_a_route_that_no_rollout_looks_at_leaves_no_trace(rig):
    port, server = rig.serve()
    client, end = await rig.pair(port, server)
    await rig.joined()
    (flow,) = rig.engine._listeners[1].flows
    assert flow.sample is None
    await goodbye(client, end)
    await rig.quiet()
    assert all(rig.books.side(block) == Side() for block in range(8))


@BOTH
@pytest.mark.parametrize("to", [-1, 2])
async def test_an_update_that_takes_the_block_away_holds_for_live_connections_too(rig, to):
    server = rig.listening()
    port = open_port(rig, port_of(server))
    client, end = await rig.pair(port, server)
    await rig.joined()
    rig.order(m.UpdateListeners((listener(1, {1: 1}, signals={1: to}),)))
    assert rig.books.side().opened == 1
    reset(end)
    assert await was_reset(client)
    await rig.quiet()
    assert rig.books.side().ended == 0  # it may be another rollout's by now
    assert rig.books.side(2) == Side()  # that never heard of this connection
    pair = await rig.pair(port, server)
    await rig.joined()
    await goodbye(*pair)
    await rig.quiet()
    assert rig.books.side().opened == 1
    assert (rig.books.side(2).opened, rig.books.side(2).ended) == ((1, 1) if to == 2 else (0, 0))


@BOTH
async def test_who_was_connected_before_the_rollout_is_no_part_of_it(rig):
    port, server = rig.serve()
    client, end = await rig.pair(port, server)
    await rig.joined()
    rig.order(m.UpdateListeners((listener(1, {1: 1}, signals=JUDGED),)))
    await goodbye(client, end)
    await rig.quiet()
    assert rig.books.side() == Side()


@BOTH
async def test_an_update_that_leaves_the_block_leaves_the_count(rig):
    server = rig.listening()
    port = open_port(rig, port_of(server))
    client, end = await rig.pair(port, server)
    await rig.joined()
    rig.order(m.UpdateListeners((listener(1, {1: 0, 2: 1}, signals={1: 1, 2: 2}),)))
    await goodbye(client, end)
    await ended(rig, opened=1)


@BOTH
async def test_a_route_that_leaves_the_split_counts_no_more_and_anew_when_it_comes_back(rig):
    server = rig.listening()
    port = open_port(rig, port_of(server))
    old = await rig.pair(port, server)
    await rig.joined()
    rig.order(m.UpdateListeners((listener(1, {2: 1}),)))
    rig.order(m.UpdateListeners((listener(1, {1: 1}, signals={1: 3}),)))
    new = await rig.pair(port, server)
    await rig.joined()
    await goodbye(*old)
    await goodbye(*new)
    await rig.quiet()
    assert (rig.books.side(1).opened, rig.books.side(1).ended) == (1, 0)
    assert (rig.books.side(3).opened, rig.books.side(3).ended) == (1, 1)


@BOTH
async def test_a_connection_under_way_counts_for_the_rollout_that_has_begun_meanwhile(rig):
    rig.upstreams(upstream(1))
    port = rig.open(listener(1, {1: 1}, hold_s=30.0))
    await rig.connect(port)
    await until(lambda: rig.engine._listeners[1].held == 1)
    rig.order(m.UpdateListeners((listener(1, {1: 1}, signals=JUDGED),)))
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server)))
    await rig.accept(server)
    await rig.joined()
    assert rig.books.side().opened == 1


@BOTH
async def test_two_members_of_a_split_count_apart(rig):
    stable, canary = rig.listening(), rig.listening()
    rig.upstreams(upstream(1, port_of(stable)), upstream(2, port_of(canary)))
    port = rig.open(listener(1, {1: 1, 2: 1}, signals={1: 1, 2: 2}))
    resets = 0
    for _ in range(10):
        client = await rig.connect(port)
        end, chosen = await rig.accept_any(stable, canary)
        await rig.joined()
        if chosen is canary:
            resets += 1
            reset(end)
            assert await was_reset(client)
        else:
            await goodbye(client, end)
    await rig.quiet()
    assert 3 <= resets <= 7
    sides = [(rig.books.side(n).ended, rig.books.side(n).resets) for n in (1, 2)]
    assert sides == [(10 - resets, 0), (resets, resets)]


@BOTH
async def test_the_end_of_the_worker_is_the_end_of_all(rig):
    server = rig.listening()
    await rig.pair(open_port(rig, port_of(server)), server)
    await rig.joined()
    rig.engine.close()
    rig.engine.close = lambda: None
    assert (rig.books.side().opened, rig.books.side().ended) == (1, 1)
