"""A server that says nothing is seen, whoever ends the connection, and if nobody does."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane import signals
from tests.dataplane.signals_support import (
    BOTH,
    adds_up,
    bytes_of,
    ended,
    live,
    open_port,
    times_of,
)
from tests.dataplane.support import port_of, receive, receive_all, reset, send, until

# No answer ------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("how", ["leaves", "killed"])
async def test_who_spoke_and_got_no_answer_counts_with_the_time_it_waited(rig, how):
    server = rig.listening()
    client, end = await rig.pair(open_port(rig, port_of(server)), server)
    await send(client, b"GET")
    await receive(end, 3)
    await asyncio.sleep(0.1)
    if how == "leaves":
        reset(client)
    else:
        rig.order(m.EndConnections((1,), "kill", 0, forget=False))
    side = await ended(rig, opened=1, **({"silent": 1} if how == "leaves" else {}))
    assert times_of(side.first_byte)[0] >= 0.1
    assert times_of(side.first_byte) == times_of(side.duration)


@BOTH
async def test_who_never_spoke_waited_for_nothing(rig):
    server = rig.listening()
    client, _ = await rig.pair(open_port(rig, port_of(server)), server)
    await rig.joined()
    reset(client)
    side = await ended(rig, opened=1)
    assert sum(side.first_byte) == 0


# The client has left --------------------------------------------------------


@BOTH
async def test_who_left_a_server_that_hangs_counts_though_the_flow_lives(rig, monkeypatch):
    monkeypatch.setattr(signals, "PATIENCE_S", 0.2)
    server = rig.listening()
    port = open_port(rig, port_of(server))
    client, end = await rig.pair(port, server)
    await send(client, b"GET")
    await receive(end, 3)
    client.close()
    assert await receive_all(end) == b""
    await asyncio.sleep(0.3)
    await rig.pair(port, server)  # who comes lets us look after those who left
    await rig.joined()
    side = rig.books.side()
    assert (side.opened, side.ended, side.silent, sum(side.first_byte)) == (2, 1, 1, 1)
    assert adds_up(side, live(rig))
    assert rig.engine.flows == 2
    end.send(b"late")  # nobody hears it
    end.close()
    await until(lambda: rig.engine.flows == 1)
    assert rig.books.side() == side


@BOTH
async def test_who_said_fin_and_is_answered_bit_by_bit_has_not_left(rig, monkeypatch):
    monkeypatch.setattr(signals, "PATIENCE_S", 0.2)
    server = rig.listening()
    port = open_port(rig, port_of(server))
    client, end = await rig.pair(port, server)
    await send(client, b"GET")
    client.shutdown(socket.SHUT_WR)
    assert await receive_all(end) == b"GET"
    for _ in range(3):
        await send(end, b"more")
        await receive(client, 4)
        await asyncio.sleep(0.3)
        other, _ = await rig.pair(port, server)
        reset(other)
        await until(lambda: rig.engine.flows == 1)
    side = rig.books.side()
    assert (side.silent, side.opened - side.ended) == (0, 1)
    end.close()
    assert await receive_all(client) == b""
    side = await ended(rig, opened=4)
    assert bytes_of(side.bytes_out) == [0, 12]


@BOTH
async def test_an_answer_that_stops_half_way_ends_when_its_client_has_left(rig, monkeypatch):
    monkeypatch.setattr(signals, "PATIENCE_S", 0.1)
    server = rig.listening()
    port = open_port(rig, port_of(server))
    client, end = await rig.pair(port, server)
    await send(client, b"GET")
    await receive(end, 3)
    await send(end, b"half")
    await receive(client, 4)
    client.shutdown(socket.SHUT_WR)
    assert await receive_all(end) == b""
    for _ in range(2):
        await asyncio.sleep(0.2)
        await rig.pair(port, server)
    side = rig.books.side()
    assert (side.ended, side.silent) == (1, 0)
    assert bytes_of(side.bytes_out) == [4]


@BOTH
@pytest.mark.parametrize(("stays_s", "silent"), [(0.0, 0), (0.3, 1)])
async def test_who_said_nothing_and_got_nothing_had_to_wait_to_count(
    rig, monkeypatch, stays_s, silent
):
    """A TCP health check leaves at once; a client of a server that speaks first waits."""
    monkeypatch.setattr(signals, "PATIENCE_S", 0.2)
    server = rig.listening()
    client, _ = await rig.pair(open_port(rig, port_of(server)), server)
    await rig.joined()
    await asyncio.sleep(stays_s)
    reset(client)
    await ended(rig, opened=1, **({"silent": 1} if silent else {}))
