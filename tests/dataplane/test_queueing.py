"""Never more connections than the limit, over all workers; who waits is served in turn."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane import queueing as queueing_module
from tenantproxy.dataplane.counters import CounterFile, Upstream
from tenantproxy.dataplane.peers import Peers
from tenantproxy.dataplane.queueing import Queueing
from tenantproxy.dataplane.upstream import Upstream as WorkersUpstream
from tests.dataplane.support import (
    SMALL,
    Rig,
    listener,
    port_of,
    receive,
    reset,
    send,
    two_rigs,
    until,
    upstream,
    was_reset,
)


def slots(*rigs: Rig) -> int:
    return sum(rig.books.upstream(Upstream.SLOTS) for rig in rigs)


def waiting(*rigs: Rig) -> int:
    return sum(rig.books.upstream(Upstream.WAITING) for rig in rigs)


def limit(server: socket.socket, most: int, size: int = 0, timeout_s: float = 30.0, **changes):
    return upstream(
        1,
        port_of(server),
        max_connections=most,
        queue_size=size,
        queue_timeout_s=timeout_s,
        **changes,
    )


@pytest.fixture
def server(rig):
    return rig.listening()


def nobody_comes(server: socket.socket) -> bool:
    with suppress(BlockingIOError):
        server.accept()[0].close()
        return False
    return True


async def test_a_limit_that_comes_counts_those_that_are_there(rig, server):
    hole = await rig.black_hole()
    rig.upstreams(upstream(1, port_of(server)), upstream(2, hole))
    port = rig.open(listener(1, {1: 1}))
    other = rig.open(listener(2, {2: 1}))
    pairs = [await rig.pair(port, server) for _ in range(3)]
    await until(lambda: rig.books.route()[0] == 3)
    for sock in pairs[0]:
        sock.close()
    await until(lambda: rig.engine.flows == 2)
    assert slots(rig) == 0  # without a limit it would cost something and be of no use
    for _ in range(2):  # to say it twice is to say it once
        rig.upstreams(limit(server, 2))
        assert slots(rig) == 2
    assert await was_reset(await rig.connect(port))
    assert rig.books.ends() == {"done": 1, "!upstream_full": 1}
    await rig.connect(other)
    await until(lambda: len(rig.engine._connector._deadlines) == 1)
    rig.upstreams(upstream(2, hole, max_connections=5))
    assert rig.books.upstream(Upstream.SLOTS, 2) == 1  # it connects
    for order in (upstream(1, port_of(server)), limit(server, 2)):  # goes, and comes again
        rig.upstreams(order)
        assert slots(rig) == 2
    rig.order(m.EndConnections((1, 2), "kill", 0, forget=False))
    assert slots(rig) == rig.books.upstream(Upstream.SLOTS, 2) == 0


async def test_without_a_queue_one_too_many_is_refused(rig, server):
    rig.upstreams(limit(server, 2))
    port = rig.open(listener(1, {1: 1}))
    pairs = [await rig.pair(port, server) for _ in range(2)]
    assert await was_reset(await rig.connect(port))
    assert rig.books.ends() == {"!upstream_full": 1}
    for sock in pairs[0]:
        sock.close()
    await until(lambda: slots(rig) == 1)
    await rig.pair(port, server)
    assert slots(rig) == 2


async def test_who_waits_is_served_in_turn_at_once_when_one_ends(rig, server):
    rig.upstreams(limit(server, 1, size=3))
    port = rig.open(listener(1, {1: 1}))
    first = await rig.pair(port, server)
    clients = []
    for number in range(3):
        clients.append(await rig.connect(port))
        await send(clients[-1], b"%d" % number)
        await until(lambda number=number: waiting(rig) == number + 1)
    assert await was_reset(await rig.connect(port))
    assert rig.books.ends() == {"!upstream_full": 1}
    assert nobody_comes(server)
    rig.engine._connector._queueing._poll.cancel()  # not by looking every now and then
    ends = first
    for number in range(3):
        for sock in ends:
            sock.close()
        end = await rig.accept(server)
        assert await receive(end, 1) == b"%d" % number
        assert waiting(rig) == 2 - number
        assert slots(rig) == 1
        ends = clients[number], end


async def test_nobody_waits_longer_than_was_said(rig, server):
    rig.upstreams(limit(server, 1, size=9, timeout_s=0.3))
    port = rig.open(listener(1, {1: 1}))
    await rig.pair(port, server)
    began_s = monotonic_s()
    client = await rig.connect(port)
    assert await was_reset(client)
    assert monotonic_s() - began_s > 0.28
    assert rig.books.ends() == {"!queue_timeout": 1}
    assert waiting(rig) == 0
    assert rig.engine._connector._queueing._poll is None  # nobody waits, nobody looks


async def test_a_client_that_left_is_noticed_at_its_turn_and_costs_no_connection(rig, server):
    rig.upstreams(limit(server, 1, size=9))
    port = rig.open(listener(1, {1: 1}))
    first = await rig.pair(port, server)
    gone = await rig.connect(port)
    await until(lambda: waiting(rig) == 1)
    stays = await rig.connect(port)
    await until(lambda: waiting(rig) == 2)
    gone.close()
    for sock in first:
        sock.close()
    await send(stays, b"me")
    assert await receive(await rig.accept(server), 2) == b"me"
    assert rig.books.ends() == {"done": 1, "!client_gone": 1}
    assert slots(rig) == 1
    assert nobody_comes(server)


async def test_clients_that_left_make_room_when_the_queue_is_full(rig, server):
    rig.upstreams(limit(server, 1, size=3))
    port = rig.open(listener(1, {1: 1}))
    await rig.pair(port, server)
    waiters = [await rig.connect(port) for _ in range(3)]
    await until(lambda: waiting(rig) == 3)
    waiters[0].close()
    reset(waiters[2])
    await asyncio.sleep(0.05)
    await rig.connect(port)
    await until(lambda: waiting(rig) == 2)
    assert rig.books.ends() == {"!client_gone": 2}


async def test_a_full_queue_is_not_asked_again_by_everybody_who_comes(rig, server, monkeypatch):
    asked = []
    monkeypatch.setattr(queueing_module, "has_left", lambda half: bool(asked.append(half)))
    rig.upstreams(limit(server, 1, size=3))
    port = rig.open(listener(1, {1: 1}))
    await rig.pair(port, server)
    for _ in range(3):
        await rig.connect(port)
    await until(lambda: waiting(rig) == 3)
    monkeypatch.setattr(rig.engine._connector._queueing, "_look", lambda: None)
    rig.engine._connector._queueing._poll.cancel()
    for _ in range(5):
        assert await was_reset(await rig.connect(port))
    assert len(asked) <= 3
    assert rig.books.ends() == {"!upstream_full": 5}


async def test_who_waits_can_be_killed(rig, server):
    rig.upstreams(limit(server, 1, size=9))
    port = rig.open(listener(1, {1: 1}))
    await rig.pair(port, server)
    clients = [await rig.connect(port) for _ in range(3)]
    await until(lambda: waiting(rig) == 3)
    rig.order(m.EndConnections((1,), "kill", 0, forget=False))
    for client in clients:
        assert await was_reset(client)
    assert rig.books.ends() == {"killed": 1, "!shutdown": 3}
    assert waiting(rig) == slots(rig) == 0


@pytest.mark.parametrize("most", [0, 10])
async def test_a_limit_that_is_raised_or_goes_lets_those_who_wait_begin(rig, server, most):
    rig.upstreams(limit(server, 1, size=9))
    port = rig.open(listener(1, {1: 1}))
    await rig.pair(port, server)
    for _ in range(4):
        await rig.connect(port)
    await until(lambda: waiting(rig) == 4)
    rig.engine._connector._queueing._poll.cancel()  # not by looking every now and then
    rig.upstreams(limit(server, most, size=9))
    for _ in range(4):
        await rig.accept(server)
    assert waiting(rig) == 0
    assert slots(rig) == 5


async def test_a_limit_that_is_lowered_ends_nobody(rig, server):
    rig.upstreams(limit(server, 3, size=9))
    port = rig.open(listener(1, {1: 1}))
    pairs = [await rig.pair(port, server) for _ in range(3)]
    rig.upstreams(limit(server, 1, size=9))
    await rig.connect(port)
    await until(lambda: waiting(rig) == 1)
    for sock in pairs[0] + pairs[1]:
        sock.close()
    await until(lambda: slots(rig) == 1)
    await asyncio.sleep(0.05)
    assert waiting(rig) == 1
    for sock in pairs[2]:
        sock.close()
    await rig.accept(server)
    assert rig.books.ends() == {"done": 3}


async def test_who_waits_for_an_upstream_that_goes_is_refused(rig, server):
    rig.upstreams(limit(server, 1, size=9))
    port = rig.open(listener(1, {1: 1}))
    await rig.pair(port, server)
    client = await rig.connect(port)
    await until(lambda: waiting(rig) == 1)
    rig.order(m.DropUpstreams((1,)))
    assert await was_reset(client)
    assert rig.books.ends() == {"!no_endpoint": 1}
    assert waiting(rig) == slots(rig) == 0  # the block is nobody's any more
    rig.order(m.EndConnections((1,), "kill", 0, forget=False))
    assert rig.engine.flows == 0


async def test_a_slot_is_kept_over_all_tries_and_given_back_by_who_found_nobody(rig):
    hole = await rig.black_hole()
    rig.upstreams(upstream(1, rig.dead_port(), hole, max_connections=1, connect_timeout_s=0.3))
    client = await rig.connect(rig.open(listener(1, {1: 1})))
    await until(lambda: slots(rig) == 1)
    assert await was_reset(client)
    assert slots(rig) == 0
    assert rig.books.ends() == {"!connect_failed": 1}


async def test_a_slot_of_an_upstream_that_went_is_none_of_the_one_that_came(rig):
    holes = await rig.black_hole(), await rig.black_hole()
    order = upstream(1, *holes, max_connections=1, connect_timeout_s=0.3)
    rig.upstreams(order)
    client = await rig.connect(rig.open(listener(1, {1: 1})))
    await until(lambda: slots(rig) == 1)
    rig.order(m.DropUpstreams((1,)))
    rig.upstreams(order)
    assert slots(rig) == 0
    await until(lambda: slots(rig) == 1)  # the next try
    assert await was_reset(client)
    assert slots(rig) == 0
    assert rig.books.ends() == {"!connect_failed": 1}


async def test_a_slot_given_back_in_another_worker_is_noticed():
    with two_rigs() as (one, other):
        server = one.listening()
        ports = []
        for rig in (one, other):
            rig.upstreams(limit(server, 1, size=9))
            ports.append(rig.open(listener(1, {1: 1})))
        first = await one.pair(ports[0], server)
        client = await other.connect(ports[1])
        await until(lambda: waiting(other) == 1)
        assert nobody_comes(server)
        for sock in first:
            sock.close()
        await send(client, b"mine")
        assert await receive(await one.accept(server), 4) == b"mine"
        assert (slots(one), slots(other)) == (0, 1)


async def test_nobody_overtakes_who_waits_for_a_slot_that_another_worker_has_given_back():
    with two_rigs() as (one, other):
        server = one.listening()
        ports = []
        for rig in (one, other):
            rig.upstreams(limit(server, 1, size=9))
            ports.append(rig.open(listener(1, {1: 1})))
        first = await one.pair(ports[0], server)
        early = await other.connect(ports[1])
        await until(lambda: waiting(other) == 1)
        queueing = other.engine._connector._queueing
        queueing._poll.cancel()
        for sock in first:
            sock.close()
        await until(lambda: slots(one) == 0)
        late = await other.connect(ports[1])
        await until(lambda: other.books.accepted() == 2)
        assert waiting(other) == 2
        await send(early, b"early")
        await send(late, b"late")
        queueing._look()
        assert await receive(await one.accept(server), 5) == b"early"


async def test_a_worker_keeps_no_slot_for_its_own_while_clients_of_others_wait():
    with two_rigs() as (one, other):
        server = one.listening()
        ports = []
        for rig in (one, other):
            rig.upstreams(limit(server, 1, size=9))
            ports.append(rig.open(listener(1, {1: 1})))
        first = await one.pair(ports[0], server)
        for rig, port, name in ((one, ports[0], b"own"), (other, ports[1], b"others")):
            await send(await rig.connect(port), name)
            await until(lambda rig=rig: waiting(rig) == 1)
        own = one.engine._connector._queueing
        own._poll.cancel()  # the other worker looks first
        for sock in first:
            sock.close()
        end = await one.accept(server)
        assert await receive(end, 6) == b"others"
        assert (waiting(one), waiting(other)) == (1, 0)
        reset(end)
        await other.quiet()
        own._look()
        assert await receive(await one.accept(server), 3) == b"own"


async def test_a_newcomer_lets_those_go_first_who_wait_in_another_worker(monkeypatch):
    with two_rigs() as (one, other):
        server = one.listening()
        ports = []
        for rig in (one, other):
            rig.upstreams(limit(server, 1, size=9))
            ports.append(rig.open(listener(1, {1: 1})))
        first = await one.pair(ports[0], server)
        await send(await other.connect(ports[1]), b"early")
        await until(lambda: waiting(other) == 1)
        others = other.engine._connector._queueing
        others._poll.cancel()
        for sock in first:
            sock.close()
        await until(lambda: slots(one) == 0)
        monkeypatch.setattr(one.engine._connector._queueing, "_look_later", lambda: None)
        await send(await one.connect(ports[0]), b"late")
        await until(lambda: one.books.accepted() == 2)
        assert waiting(one) == 1
        others._look()
        assert await receive(await one.accept(server), 5) == b"early"


async def test_workers_with_as_many_clients_each_get_about_as_many_slots():
    """Every connection lasts as long as the others, and every client comes again at once."""
    with two_rigs() as rigs:
        server = rigs[0].listening()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + 2
        ports = []
        for rig in rigs:
            rig.upstreams(limit(server, 2, size=100))
            ports.append(rig.open(listener(1, {1: 1})))

        async def serve() -> None:
            while True:
                end, _ = await loop.sock_accept(server)
                loop.call_later(0.02, end.close)

        async def come_again(rig: Rig, port: int) -> None:
            while loop.time() < until_s:
                client = await rig.connect(port)
                assert await receive(client, 1) == b""
                client.close()

        serving = asyncio.ensure_future(serve())
        await asyncio.gather(
            *(come_again(*pair) for pair in zip(rigs, ports, strict=True) for _ in range(6))
        )
        serving.cancel()
        await asyncio.wait([serving])
        done = [rig.books.ends()["done"] for rig in rigs]
        assert min(done) > sum(done) / 3
        assert [len(rig.books.ends()) for rig in rigs] == [1, 1]


async def test_without_a_queue_the_slots_of_other_workers_count_too():
    with two_rigs() as (one, other):
        server = one.listening()
        ports = []
        for rig in (one, other):
            rig.upstreams(limit(server, 2))
            ports.append(rig.open(listener(1, {1: 1})))
        await one.pair(ports[0], server)
        await other.pair(ports[1], server)
        for rig, port in zip((one, other), ports, strict=True):
            assert await was_reset(await rig.connect(port))
            assert rig.books.ends() == {"!upstream_full": 1}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("connect"), st.integers(0, 1)),
        st.tuples(st.just("end"), st.integers(0, 30)),
        st.tuples(st.just("leave"), st.integers(0, 30)),
        st.tuples(st.just("let go"), st.integers(1, 3)),
    ),
    max_size=25,
)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), STEPS)
def test_never_more_than_the_limit_and_nobody_is_forgotten(most, steps):
    asyncio.run(_never_more(most, steps))


async def _never_more(most, steps):
    """Clients of two workers come, end, and leave the queue, as the steps say."""
    with two_rigs() as rigs:
        server = rigs[0].listening()
        ports = []
        for rig in rigs:
            rig.upstreams(limit(server, most, size=100))
            ports.append(rig.open(listener(1, {1: 1})))
        clients: list[socket.socket] = []
        living: list[socket.socket] = []

        def look():
            with suppress(BlockingIOError):
                while True:
                    living.append(rigs[0].keep(server.accept()[0]))
            for end in tuple(living):
                with suppress(BlockingIOError):
                    if not end.recv(1):  # the client has left
                        end.close()
                        living.remove(end)
            connections = [rig.books.endpoint(8)[0] - rig.books.endpoint(8)[1] for rig in rigs]
            assert sum(connections) <= most
            assert slots(*rigs) <= most

        for step, number in steps:
            if step == "connect":
                clients.append(await rigs[number].connect(ports[number]))
            elif step == "end" and living:
                reset(living.pop(number % len(living)))
            elif step == "leave" and clients:
                clients.pop(number % len(clients)).close()
            elif step == "let go":
                await asyncio.sleep(0.004 * number)
            await asyncio.sleep(0)
            look()

        async with asyncio.timeout(20):
            while any(rig.engine.flows for rig in rigs):
                look()
                while living:
                    reset(living.pop())
                await asyncio.sleep(0.002)
        assert slots(*rigs) == waiting(*rigs) == 0
        assert not any(rig.engine._connector._queueing._full for rig in rigs)


_CONTEND = """
import sys
from tests.dataplane.test_queueing import contend
contend(*map(int, sys.argv[1:]))
"""


def contend(mine: int, other: int, page: int, times: int) -> None:
    """Add to a number in shared memory, read and written apart, under a limit of one."""
    counters, peers = CounterFile(mine, SMALL), Peers([other], capacity=SMALL)
    number = CounterFile(page, SMALL).words
    one = WorkersUpstream(upstream(1, 80, max_connections=1), counters)
    queueing = Queueing(None, peers, None, None)  # type: ignore[arg-type]
    while times:
        if queueing._take(one):
            seen = number[0]
            sum(range(50))
            number[0] = seen + 1
            one.cells[Upstream.SLOTS] -= 1
            times -= 1


def test_two_processes_never_have_the_last_slot_at_once():
    """Nothing but the slot keeps them from overwriting what the other has added."""
    files, fds = zip(*(CounterFile.create("test", SMALL) for _ in range(3)), strict=True)
    times = 20_000
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                _CONTEND,
                *map(str, (mine, other, fds[2], times)),
            ],
            pass_fds=fds,
        )
        for mine, other in (fds[:2], fds[1::-1])
    ]
    assert [process.wait(50) for process in processes] == [0, 0]
    assert files[2].words[0] == 2 * times
    for file, fd in zip(files, fds, strict=True):
        file.close()
        os.close(fd)
