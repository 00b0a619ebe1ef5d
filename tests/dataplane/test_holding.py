"""While a port wakes its clients are held, as many and as long as was said."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tenantproxy.dataplane.counters import Upstream
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
    port = rig.open(listener(1, {1: 1}, hold_s=0.2))
    client = await rig.connect(port)
    assert await was_reset(client)
    assert rig.books.ends() == {"!wake_timeout": 1}
    late = await rig.connect(port)
    assert await was_reset(late)
    assert rig.books.ends() == {"!wake_timeout": 1, "!no_endpoint": 1}


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


async def test_who_is_held_has_no_slot_and_does_not_count_as_retried(rig):
    rig.upstreams(upstream(1, rig.dead_port(), max_connections=3))
    port = rig.open(listener(1, {1: 1}, hold_s=10.0))
    for _ in range(3):
        await rig.connect(port)
    await until(lambda: rig.books.errors().get("refused", 0) >= 6)
    assert rig.engine._listeners[1].held == 3
    await until(lambda: rig.books.upstream(Upstream.SLOTS) == 0)  # none is being tried just now
    assert rig.books.upstream(Upstream.RETRIES) == 0
    assert rig.books.ends() == {}
