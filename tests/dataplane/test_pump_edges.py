"""A plain half is edge-triggered: nothing that was reported once may be left behind."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from tenantproxy.dataplane import endpoint
from tenantproxy.dataplane.flow import FIRST_SIZE
from tests.dataplane.support import (
    HOST,
    port_of,
    receive,
    receive_all,
    reset,
    send,
    until,
    upstream,
    was_reset,
)

_SEGS_IN = struct.Struct("140xI")
"""`tcpi_segs_in` of linux/tcp.h: packets that came, with and without data."""


@pytest.fixture
def outcome_at_once(monkeypatch):
    """Endpoints of tests have ephemeral ports, whose connects are looked at twice."""
    monkeypatch.setattr(endpoint, "_EPHEMERAL", range(0))


def segments_in(sock: socket.socket) -> int:
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SEGS_IN.size)
    return _SEGS_IN.unpack(info)[0]


@pytest.mark.parametrize("size", [FIRST_SIZE, 5 * FIRST_SIZE, FIRST_SIZE + 1, 1 << 20])
async def test_what_is_longer_than_a_read_arrives_though_nothing_follows(rig, size):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    for sender, reader in ((client, upstream_end), (upstream_end, client)):
        sending = asyncio.create_task(send(sender, bytes(size)))
        assert len(await receive(reader, size)) == size
        await sending


async def test_bytes_behind_an_urgent_mark_arrive(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    client.send(b"before")
    client.send(b"!", socket.MSG_OOB)
    client.send(b"after")
    assert await receive(upstream_end, 11) == b"beforeafter"  # as ever, the urgent byte is not


async def test_bytes_behind_an_urgent_mark_arrive_with_the_end(rig):
    port, server = rig.serve()
    client = await rig.connect(port)
    client.send(b"before")
    client.send(b"!", socket.MSG_OOB)
    client.send(b"after")
    client.shutdown(socket.SHUT_WR)
    upstream_end = await rig.accept(server)
    assert await receive_all(upstream_end) == b"beforeafter"


async def test_last_bytes_and_end_are_one_segment(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    await send(client, b"request")
    await receive(upstream_end, 7)
    before = segments_in(client)
    upstream_end.send(b"answer")  # no turn of the loop between it and its end
    upstream_end.shutdown(socket.SHUT_WR)
    assert await receive_all(client) == b"answer"
    assert segments_in(client) == before + 1
    client.close()
    await rig.quiet()
    assert rig.books.ends() == {"done": 1}


async def test_an_end_leaves_the_other_direction_open_and_resets_are_still_seen(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    upstream_end.send(b"answer")
    upstream_end.shutdown(socket.SHUT_WR)
    assert await receive_all(client) == b"answer"
    await send(client, b"more")
    assert await receive(upstream_end, 4) == b"more"
    reset(upstream_end)
    await rig.quiet()
    assert rig.books.ends() == {"upstream_reset": 1}


@pytest.mark.usefixtures("outcome_at_once")
async def test_a_clients_first_bytes_save_the_packet_that_ends_the_handshake(rig):
    port, server = rig.serve()
    silent = await rig.connect(port)
    silent_end = await rig.accept(server)
    silent.send(b"request")
    assert await receive(silent_end, 7) == b"request"

    eager = rig.keep(socket.create_connection((HOST, port)))
    eager.send(b"request")  # before the loop has had a turn to accept
    eager_end = await rig.accept(server)
    assert await receive(eager_end, 7) == b"request"
    assert segments_in(eager_end) == segments_in(silent_end) - 1


@pytest.mark.usefixtures("outcome_at_once")
async def test_a_server_that_speaks_first_is_heard_at_once(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    upstream_end.send(b"hello")
    assert await receive(client, 5) == b"hello"


@pytest.mark.usefixtures("outcome_at_once")
async def test_a_refusal_on_this_machine_is_known_at_once(rig):
    dead = rig.dead_port()
    port, server = rig.serve()
    rig.upstreams(upstream(1, dead, port_of(server)))
    for _ in range(2):
        client, upstream_end = await rig.pair(port, server)
        client.send(b"x")
        assert await receive(upstream_end, 1) == b"x"
    assert rig.books.errors() == {"refused": 1}


@pytest.mark.usefixtures("outcome_at_once")
async def test_a_connect_that_is_not_done_at_once_is_waited_for(rig):
    port, _ = rig.serve()
    hole = await rig.black_hole()
    rig.upstreams(upstream(1, hole, connect_timeout_s=0.1, connect_tries=1))
    client = await rig.connect(port)
    assert await was_reset(client)
    await until(lambda: rig.books.errors() == {"timeout": 1})


async def test_a_client_that_said_all_and_ended_before_it_was_accepted_is_served(rig):
    port, server = rig.serve()
    client = rig.keep(socket.create_connection((HOST, port)))
    client.send(b"all")
    client.shutdown(socket.SHUT_WR)
    upstream_end = await rig.accept(server)
    assert await receive_all(upstream_end) == b"all"
    await send(upstream_end, b"answer")
    upstream_end.close()
    assert await receive_all(client) == b"answer"
    await rig.quiet()
    assert rig.books.ends() == {"done": 1}


async def test_a_reset_that_comes_together_with_the_end_is_seen(rig):
    port, server = rig.serve()
    _client, upstream_end = await rig.pair(port, server)
    upstream_end.send(b"answer")  # no turn of the loop between all three
    upstream_end.shutdown(socket.SHUT_WR)
    reset(upstream_end)
    await rig.quiet()
    assert rig.books.ends() == {"upstream_reset": 1}
