"""What a rollout counts of a side is what its clients met."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane.counters import Upstream
from tests.dataplane.signals_support import (
    BOTH,
    JUDGED,
    ON_TRIAL,
    adds_up,
    bytes_of,
    ended,
    goodbye,
    live,
    open_port,
    times_of,
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

# How connections end --------------------------------------------------------


@BOTH
async def test_a_connection_counts_as_opened_while_it_lives(rig):
    server = rig.listening()
    await rig.pair(open_port(rig, port_of(server)), server)
    await rig.joined()
    side = rig.books.side()
    assert (side.opened, side.ended, sum(side.connect_time)) == (1, 0, 1)
    assert adds_up(side, live(rig))
    assert live(rig) == 1


@BOTH
async def test_a_client_that_is_done_leaves_duration_and_bytes(rig):
    server = rig.listening()
    client, end = await rig.pair(open_port(rig, port_of(server)), server)
    await send(client, b"x" * 48)
    assert len(await receive(end, 48)) == 48
    await send(end, b"y" * 4097)
    assert len(await receive(client, 4097)) == 4097
    await asyncio.sleep(0.05)
    client.shutdown(socket.SHUT_WR)
    assert await receive_all(end) == b""
    end.close()
    side = await ended(rig, opened=1)
    assert bytes_of(side.bytes_in) == [48]
    assert bytes_of(side.bytes_out) == [6144]
    assert 0.05 <= times_of(side.duration)[0] < 10
    assert sum(side.closed_age) == 0


@BOTH
async def test_bytes_that_fit_a_bucket_exactly_are_not_in_the_next_one_whoever_ends_first(rig):
    """SYN and FIN count as bytes in the kernel, and in which order they went matters."""
    server = rig.listening()
    port = open_port(rig, port_of(server))
    for first in ("client", "server"):
        client, end = await rig.pair(port, server)
        await send(client, b"x" * 64)
        await receive(end, 64)
        await send(end, b"y" * 1024)
        await receive(client, 1024)
        one, other = (client, end) if first == "client" else (end, client)
        one.shutdown(socket.SHUT_WR)
        assert await receive_all(other) == b""
        other.close()
    side = await ended(rig, opened=2)
    assert bytes_of(side.bytes_in) == [64]
    assert bytes_of(side.bytes_out) == [1024]


@BOTH
async def test_a_server_that_answers_and_says_fin_first_leaves_its_age(rig):
    server = rig.listening()
    client, end = await rig.pair(open_port(rig, port_of(server)), server)
    await send(client, b"GET")
    await receive(end, 3)
    await asyncio.sleep(0.05)
    end.send(b"answer")
    end.close()
    assert await receive_all(client) == b"answer"
    await asyncio.sleep(0.5)  # the age is that of the server's end, not of the client's
    client.close()
    side = await ended(rig, opened=1)
    (age_s,) = times_of(side.closed_age)
    (duration_s,) = times_of(side.duration)
    assert 0.05 <= age_s < duration_s


@BOTH
async def test_a_server_that_says_fin_and_nothing_else_is_silent(rig):
    server = rig.listening()
    client, end = await rig.pair(open_port(rig, port_of(server)), server)
    await send(client, b"GET")
    await receive(end, 3)
    end.close()
    assert await receive_all(client) == b""
    client.close()
    side = await ended(rig, opened=1, silent=1)
    assert bytes_of(side.bytes_out) == [0]
    assert sum(side.closed_age) == sum(side.first_byte) == 0


@BOTH
async def test_a_client_that_ends_first_leaves_no_silent_server(rig):
    server = rig.listening()
    client, end = await rig.pair(open_port(rig, port_of(server)), server)
    client.shutdown(socket.SHUT_WR)
    assert await receive_all(end) == b""
    end.close()
    await ended(rig, opened=1)


@ON_TRIAL
async def test_an_answer_and_a_fin_in_one_packet_are_an_answer(rig):
    server = rig.listening()
    client, end = await rig.pair(open_port(rig, port_of(server)), server)
    client.shutdown(socket.SHUT_WR)
    assert await receive_all(end) == b""
    await rig.joined()
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    end.send(b"answer")
    end.close()
    assert await receive_all(client) == b"answer"
    side = await ended(rig, opened=1)
    assert sum(side.first_byte) == 1
    assert bytes_of(side.bytes_out) == [6]


@BOTH
async def test_a_reset_of_the_servers_counts_and_one_of_the_clients_does_not(rig):
    server = rig.listening()
    port = open_port(rig, port_of(server))
    for who in (0, 1):
        pair = await rig.pair(port, server)
        await send(pair[0], b"GET")
        await receive(pair[1], 3)
        await send(pair[1], b"220")
        await receive(pair[0], 3)
        reset(pair[who])
        assert await was_reset(pair[1 - who])
    side = await ended(rig, opened=2, resets=1)
    assert bytes_of(side.bytes_in) == bytes_of(side.bytes_out) == [3]


@BOTH
async def test_a_reset_before_the_first_byte_counts_when_the_client_was_heard(rig):
    server = rig.listening()
    client, end = await rig.pair(open_port(rig, port_of(server)), server)
    await send(client, b"GET")
    await receive(end, 3)
    reset(end)
    assert await was_reset(client)
    side = await ended(rig, opened=1, resets=1)
    assert sum(side.first_byte) == 0


@BOTH
async def test_who_only_said_fin_and_is_reset_blames_nobody(rig):
    server = rig.listening()
    client, end = await rig.pair(open_port(rig, port_of(server)), server)
    client.shutdown(socket.SHUT_WR)
    assert await receive_all(end) == b""
    reset(end)
    assert await was_reset(client)
    await ended(rig, opened=1)


@BOTH
async def test_cut_connections_end_too(rig):
    server = rig.listening()
    port = open_port(rig, port_of(server))
    for _ in range(3):
        await rig.pair(port, server)
    await rig.joined()
    rig.order(m.EndConnections((1,), "kill", 0, forget=False))
    await ended(rig, opened=3)


# Taken back -----------------------------------------------------------------


@ON_TRIAL
@pytest.mark.parametrize("said_fin", [False, True])
async def test_a_reset_that_no_client_notices_counts_and_the_next_server_is_counted_anew(
    rig, said_fin
):
    servers = rig.listening(), rig.listening()
    client = await rig.connect(open_port(rig, *map(port_of, servers)))
    end, chosen = await rig.accept_any(*servers)
    await rig.joined()
    if said_fin:
        client.shutdown(socket.SHUT_WR)
        assert await receive_all(end) == b""
    reset(end)
    second = await rig.accept(servers[chosen is servers[0]])
    await rig.joined()
    side = rig.books.side()
    assert (side.opened, side.ended, side.resets) == (2, 1, 0 if said_fin else 1)
    assert adds_up(side, live(rig))
    await send(second, b"answer")
    second.close()
    assert await receive_all(client) == b"answer"
    client.close()
    side = await ended(rig, opened=2, **({} if said_fin else {"resets": 1}))
    assert bytes_of(side.bytes_out) == [0, 6]


@ON_TRIAL
@pytest.mark.parametrize("says", [b"", b"GET"])
async def test_who_gets_no_first_byte_in_time_counts_with_the_time_though_it_said_nothing(
    rig, says
):
    server = rig.listening()
    port = open_port(rig, port_of(server), first_byte_timeout_s=0.3)
    client, _ = await rig.pair(port, server)
    await send(client, says)
    assert await was_reset(client)
    side = await ended(rig, opened=1, silent=1)
    assert rig.books.ends() == {"first_byte_timeout": 1}
    assert times_of(side.first_byte) == times_of(side.duration)
    assert times_of(side.first_byte)[0] >= 0.3


@ON_TRIAL
async def test_a_server_that_was_left_for_saying_nothing_counts_with_the_time(rig):
    servers = rig.listening(), rig.listening()
    client = await rig.connect(open_port(rig, *map(port_of, servers), first_byte_timeout_s=0.3))
    end, chosen = await rig.accept_any(*servers)
    second = await rig.accept(servers[chosen is servers[0]])
    await send(second, b"220")
    assert await receive(client, 3) == b"220"
    await goodbye(client, second)
    side = await ended(rig, opened=2)
    assert max(times_of(side.first_byte)) >= 0.3
    assert sum(side.first_byte) == 2
    assert await was_reset(end)


@ON_TRIAL
async def test_a_spare_that_dies_as_it_is_used_is_opened_and_ended_and_no_fault(rig):
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server), warm=1))
    spare = await rig.accept(server)
    await until(lambda: rig.books.upstream(Upstream.SPARES) == 1)
    rig.engine._spares._wake = lambda *_: None  # no other takes its place
    client = await rig.connect(rig.open(listener(1, {1: 1}, signals=JUDGED)))
    await until(lambda: rig.books.side().opened)
    reset(spare)
    await send(await rig.accept(server), b"hello")
    assert await receive(client, 5) == b"hello"
    side = rig.books.side()
    assert (side.opened, side.ended, side.resets) == (2, 1, 0)
    assert adds_up(side, live(rig))


# The first byte -------------------------------------------------------------


@ON_TRIAL
async def test_who_was_answered_counts_with_that_and_not_with_the_end(rig):
    server = rig.listening()
    client, end = await rig.pair(open_port(rig, port_of(server)), server)
    await send(client, b"GET")
    await receive(end, 3)
    await send(end, b"220")
    await receive(client, 3)
    await asyncio.sleep(0.3)
    reset(client)
    side = await ended(rig, opened=1)
    assert sum(side.first_byte) == 1
    assert times_of(side.first_byte) < times_of(side.duration)


@BOTH
async def test_bytes_that_the_server_sent_are_an_answer_whoever_moved_them(rig):
    server = rig.listening()
    client, end = await rig.pair(open_port(rig, port_of(server)), server)
    await send(client, b"GET")
    await receive(end, 3)
    await send(end, b"220")
    await receive(client, 3)
    end.close()
    assert await receive_all(client) == b""
    client.close()
    side = await ended(rig, opened=1)
    assert sum(side.closed_age) == 1


@ON_TRIAL
async def test_the_first_byte_is_timed_from_connected(rig):
    server = rig.listening()
    client, end = await rig.pair(open_port(rig, port_of(server)), server)
    await rig.joined()
    await asyncio.sleep(0.1)
    await send(end, b"220")
    await receive(client, 3)
    await send(end, b"more")
    await receive(client, 4)
    side = rig.books.side()
    (first_byte_s,) = times_of(side.first_byte)
    assert 0.1 <= first_byte_s < 10
    assert sum(side.first_byte) == 1
