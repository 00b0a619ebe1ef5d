"""Whatever both ends and the engine do, in whatever order: no byte is lost, added or miscounted."""

from __future__ import annotations

import asyncio
import random
import socket

import pytest

from tenantproxy.dataplane import ending
from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane.relay import relay, switch
from tests.dataplane.relay.maps import NO_ENTRIES, entries
from tests.dataplane.relay.storm import PATIENCE_S, End, Talk
from tests.dataplane.support import (
    HOST,
    Rig,
    a_rig,
    listener,
    port_of,
    until,
    upstream,
)

LISTENERS = range(1, 8)
"""As many as have room in the small counters."""


@pytest.mark.usefixtures("kernel_relay")
@pytest.mark.parametrize("seed", range(8))
async def test_a_storm(monkeypatch, seed):
    await storm(monkeypatch, seed, rounds=3)


@pytest.mark.trial
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("kernel_relay")
@pytest.mark.parametrize("seed", range(1000, 1060))
async def test_a_long_storm(monkeypatch, seed):
    await storm(monkeypatch, seed, rounds=8)


async def storm(monkeypatch, seed: int, rounds: int) -> None:
    dice = random.Random(seed)
    monkeypatch.setattr(ending, "IDLE_PERIOD_MIN_S", 0.02)
    monkeypatch.setattr(relay, "ROUND_TRIPS", dice.choice((0, 0, 1, 3)))
    monkeypatch.setattr(switch, "CREDIT_BYTES", dice.choice((1 << 14, 1 << 17, 1 << 20)))
    pairs = dice.choice((3, 64))
    monkeypatch.setattr(switch, "pairs", lambda workers: pairs)
    with a_rig() as rig:
        assert rig.engine.turn_relay("kernel").works
        kernel = rig.engine._relay._relay
        servers = {number: rig.listening() for number in LISTENERS}
        ports = {}
        for number, server in servers.items():
            rig.upstreams(upstream(number, port_of(server)))
            ports[number] = rig.open(listener(number, {number: 1}))
        for _ in range(rounds):
            complaints = await asyncio.gather(
                *(
                    one(rig, number, ports[number], servers[number], random.Random(dice.random()))
                    for number in LISTENERS
                )
            )
            told = [line for lines in complaints for line in lines]
            assert not told, "\n".join(told)
            assert [notice.detail for notice in rig.notices("internal")] == []
            assert (kernel._links.free, kernel.linked) == (pairs, 0)
            assert (kernel._pairs, kernel._lanes, kernel._waiting) == ({}, {}, set())
            # A socket that waits to pass an RST on leaves the maps when it is closed.
            await until(lambda: not rig.engine._pump.lingering, timeout_s=PATIENCE_S)
            assert entries(kernel._links) == NO_ENTRIES


async def one(
    rig: Rig, number: int, port: int, server: socket.socket, dice: random.Random
) -> list[str]:
    before = rig.books.route(number, number)
    talk = await begin(rig, number, port, server, dice)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await talk.chat(dice.choice((0, 2, 4)), dice)
            talk.story.append("|")
            await talk.storm(dice.randrange(1, 25), dice)
            await asyncio.gather(*(end.over() for end in talk.ends))
            while rig.engine._listeners[number].flows:
                await asyncio.sleep(0.002)
    except TimeoutError:
        talk.story.append("(not over in time)")
    after = rig.books.route(number, number)
    told = talk.complaints(after[2] - before[2], after[3] - before[3])
    for end in talk.ends:
        await end.close()
    rig.order(m.UpdateListeners((listener(number, {number: 1}),)))
    if rig.engine._listeners[number].flows and not told:
        told.append("the flow does not end: " + " ".join(talk.story))
    if told:
        told.append(f"listener {number} ended {rig.books.ends(number)}, {rig.notices('internal')}")
    return told


async def begin(
    rig: Rig, number: int, port: int, server: socket.socket, dice: random.Random
) -> Talk:
    client = socket.socket()
    if dice.random() < 0.3:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    client.connect_ex((HOST, port))
    accepted, _ = await asyncio.get_running_loop().sock_accept(server)
    for sock in client, accepted:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, dice.randrange(2))
    return Talk(rig, number, End("client", client), End("server", accepted))
