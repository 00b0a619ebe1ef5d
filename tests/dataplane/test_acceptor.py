"""Nothing is accepted that could not be served."""

from __future__ import annotations

import asyncio
import os
import socket

from tenantproxy.dataplane import acceptor
from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane.counters import Header
from tests.dataplane.support import (
    a_worker,
    listener,
    port_of,
    receive,
    send,
    until,
    upstream,
    was_reset,
)


def leave_room_for(rig, flows: int) -> None:
    part = rig.engine._acceptor
    part._limit = acceptor.RESERVE + len(part._listeners) + 2 * flows


async def test_at_the_reserve_accepting_pauses_and_goes_on_when_one_ends(rig):
    port, server = rig.serve()
    leave_room_for(rig, 2)
    first, first_end = await rig.pair(port, server)
    await rig.pair(port, server)
    third = await rig.connect(port)
    await send(third, b"patient")
    await asyncio.sleep(0.05)
    assert rig.books.accepted() == 2
    await send(first, b"still served")
    assert await receive(first_end, 12) == b"still served"
    first.close()
    first_end.close()
    third_end = await rig.accept(server)
    assert await receive(third_end, 7) == b"patient"
    assert rig.books.ends() == {"done": 1}
    assert rig.engine._acceptor.pauses >= 1
    assert len(rig.notices("fd_limit")) == 1


async def test_a_pause_holds_every_listener_without_spinning(rig):
    port, server = rig.serve()
    other = rig.open(listener(2, {1: 1}))
    leave_room_for(rig, 1)
    held, held_end = await rig.pair(port, server)
    waiting = [await rig.connect(to) for to in (port, other) * 5]
    await asyncio.sleep(0.02)
    polls = 0
    ready = rig.engine._acceptor._ready

    def counting() -> None:
        nonlocal polls
        polls += 1
        ready()

    rig.engine._acceptor._ready = counting
    await asyncio.sleep(0.1)
    assert polls == 0
    assert rig.engine.flows == 1
    held.close()
    held_end.close()
    for client in waiting:
        client.close()
    for _ in waiting:
        (await rig.accept(server)).close()
    await rig.quiet()
    assert rig.books.accepted(1) + rig.books.accepted(2) == 11
    assert rig.books.ends(1) == {"done": 6}
    assert rig.books.ends(2) == {"done": 5}


async def test_when_accept_fails_for_want_of_descriptors_it_rests(rig, monkeypatch):
    monkeypatch.setattr(acceptor, "REFUSED_PAUSE_S", 0.05)
    port, server = rig.serve()
    real = rig.engine._listeners[1].sock
    tries = 0

    class Starved:
        fileno = staticmethod(real.fileno)
        close = staticmethod(real.close)

        @staticmethod
        def _accept():
            nonlocal tries
            tries += 1
            if tries <= 3:
                raise OSError(24, "Too many open files")
            return real._accept()

    rig.engine._listeners[1].sock = Starved
    client, end = await rig.pair(port, server)
    await send(client, b"late")
    assert await receive(end, 4) == b"late"
    assert tries in (4, 5)  # the fifth found the queue empty
    assert rig.notices("fd_limit")[0].detail == "accept failed: Too many open files"


async def test_the_end_of_a_shortage_is_told_once_when_it_is_calm(rig, monkeypatch):
    monkeypatch.setattr(acceptor, "CALM_S", 0.1)
    port, server = rig.serve()
    leave_room_for(rig, 1)
    for _ in range(3):
        client, end = await rig.pair(port, server)
        await rig.connect(port)
        client.close()
        end.close()
        again = await rig.accept(server)
        again.close()
        for sock in rig._all[-3:]:
            sock.close()
        await rig.quiet()
    assert rig.notices("fd_limit_over") == []
    await until(lambda: rig.notices("fd_limit_over"))
    await asyncio.sleep(0.15)
    assert len(rig.notices("fd_limit_over")) == 1
    assert len(rig.notices("fd_limit")) == 1


async def test_a_socket_that_no_longer_listens_is_let_go(rig):
    port, _ = rig.serve()
    rig.engine._listeners[1].sock.shutdown(socket.SHUT_RDWR)
    await until(lambda: rig.notices("internal"))
    assert rig.notices("internal")[0].detail == "accept: Invalid argument"
    assert rig.engine._acceptor._listeners == {}, "it would be reported without end"
    assert port


async def test_several_may_accept_from_one_socket(rig):
    server = rig.listening()
    shared = rig.listening()
    rig.upstreams(upstream(1, port_of(server)))
    rig.open(listener(1, {1: 1}), shared)
    rig.open(listener(2, {1: 1}), shared)
    for _ in range(20):
        await rig.pair(port_of(shared), server)
    assert rig.books.accepted(1) + rig.books.accepted(2) == 20


async def test_a_worker_short_of_descriptors_serves_all_in_turn():
    async with a_worker(limit_fds=60) as worker:
        server = worker.listening()
        port = await worker.open(listener(1, {1: 1}), [upstream(1, port_of(server))])
        clients = [await worker.connect(port) for _ in range(40)]
        for number, client in enumerate(clients):
            await send(client, b"%4d" % number)
        seen = set()
        for _ in range(40):
            end = await worker.accept(server)
            number = int(await receive(end, 4))
            seen.add(number)
            await send(end, b"done")
            assert await receive(clients[number], 4) == b"done"
            open_fds = len(os.listdir(f"/proc/{worker.popen.pid}/fd"))
            assert open_fds <= 60 - acceptor.RESERVE
            clients[number].close()
            end.close()
        assert seen == set(range(40))
        await until(lambda: worker.books.ends() == {"done": 40})
        kinds = [r.kind for r in worker.reports if isinstance(r, m.Notice)]
        assert "fd_limit" in kinds
        await until(lambda: worker.books.counters.header()[Header.ACCEPT_PAUSES] >= 1)


async def test_none_is_reset_while_descriptors_are_short(rig):
    port, server = rig.serve()
    leave_room_for(rig, 0)
    client = await rig.connect(port)
    reading = asyncio.ensure_future(was_reset(client))
    await asyncio.sleep(0.2)
    assert not reading.done()
    reading.cancel()
    await asyncio.wait([reading])
    assert rig.books.accepted() == 0
    assert server
