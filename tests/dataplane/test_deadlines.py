"""Who comes no further in time is tried elsewhere, or ended; nobody else is looked at."""

from __future__ import annotations

import asyncio

import pytest

from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane import unspoken
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
from tests.dataplane.tls_support import a_tls_server, make_pki

BOTH = pytest.mark.both_movers
ON_TRIAL = pytest.mark.parametrize("mover", ["pump", "trial"], indirect=True)


def waiting(rig) -> int:
    return len(rig.engine._connector._deadlines)


def serve(rig, *servers, **changes) -> int:
    changes = {"first_byte_timeout_s": 0.3} | changes
    rig.upstreams(upstream(1, *map(port_of, servers), **changes))
    return rig.open(listener(1, {1: 1}))


@BOTH
async def test_without_a_limit_nobody_waits_for_the_first_byte(rig):
    server = rig.listening()
    await rig.pair(serve(rig, server, first_byte_timeout_s=0.0), server)
    await until(lambda: rig.books.route()[0])
    assert waiting(rig) == 0


@BOTH
async def test_a_server_that_says_nothing_in_time_is_given_up(rig):
    server = rig.listening()
    port = serve(rig, server)
    client, end = await rig.pair(port, server)
    await send(client, b"anybody?")
    assert await was_reset(client)
    assert rig.books.ends() == {"first_byte_timeout": 1}
    assert rig.books.errors() == {"timeout": 1}
    assert rig.books.endpoint(8) == (1, 1, 1)
    assert rig.books.upstream(Upstream.RETRIES) == 0
    with pytest.raises(ConnectionResetError):
        await receive_all(end)
    assert waiting(rig) == 0


@BOTH
async def test_a_server_that_speaks_in_time_has_all_the_time_afterwards(rig):
    server = rig.listening()
    client, end = await rig.pair(serve(rig, server), server)
    await send(end, b"wait")
    assert await receive(client, 4) == b"wait"
    await asyncio.sleep(0.6)
    await send(end, b"ed")
    assert await receive(client, 2) == b"ed"
    assert rig.books.ends() == {}
    assert rig.books.errors() == {}
    assert waiting(rig) == 0


@BOTH
async def test_a_server_that_says_fin_in_time_has_spoken(rig):
    server = rig.listening()
    client, end = await rig.pair(serve(rig, server), server)
    end.shutdown(1)
    assert await receive_all(client) == b""
    await asyncio.sleep(0.6)
    await send(client, b"still listening")
    assert await receive(end, 15) == b"still listening"
    assert rig.books.errors() == {}


@BOTH
async def test_a_flow_that_ends_before_is_forgotten(rig):
    server = rig.listening()
    client, end = await rig.pair(serve(rig, server, first_byte_timeout_s=60.0), server)
    await until(lambda: waiting(rig) == 1)
    client.close()
    end.close()
    await rig.quiet()
    assert waiting(rig) == 0


@ON_TRIAL
async def test_the_first_byte_ends_the_wait(rig):
    server = rig.listening()
    client, end = await rig.pair(serve(rig, server, first_byte_timeout_s=60.0), server)
    await until(lambda: waiting(rig) == 1)
    await send(end, b"1")
    await receive(client, 1)
    assert waiting(rig) == 0


@ON_TRIAL
async def test_a_silent_client_of_a_silent_server_is_tried_elsewhere(rig):
    servers = rig.listening(), rig.listening()
    client = await rig.connect(serve(rig, *servers))
    end, chosen = await rig.accept_any(*servers)
    second = await rig.accept(servers[chosen is servers[0]])
    with pytest.raises(ConnectionResetError):
        await receive_all(end)
    await send(second, b"here")
    assert await receive(client, 4) == b"here"
    assert rig.books.ends() == {}
    assert rig.books.errors() == {"timeout": 1}
    assert rig.books.upstream(Upstream.RETRIES) == 1


@ON_TRIAL
async def test_a_deadline_ends_with_the_connection_it_was_set_for(rig):
    server = rig.listening()
    port = serve(rig, server, rig.below_ephemeral())
    for _ in range(2):  # in two turns the server was first once, and nobody was left behind it
        client, end = await rig.pair(port, server)
        reset(end)
        assert await was_reset(client)
    await rig.quiet()
    assert waiting(rig) == 0
    await asyncio.sleep(0.5)
    assert rig.books.errors() == {"early_reset": 2, "refused": 2}
    assert rig.left() == []


@ON_TRIAL
async def test_the_next_try_has_a_deadline_of_its_own(rig):
    """The first connection's is far away; the second one is never greeted."""
    server, mute = rig.listening(), rig.below_ephemeral()
    mute.listen()
    changes = {"first_byte_timeout_s": 60.0, "connect_timeout_s": 0.3}
    port = serve(rig, server, mute, **changes)
    while True:
        client = await rig.connect(port)
        end, chosen = await rig.accept_any(server, mute)
        if chosen is server:
            break
    await until(lambda: waiting(rig) == rig.books.accepted())
    tls = m.TlsOrder("", None, None, None, verify=False, version=1)
    rig.upstreams(upstream(1, *map(port_of, (server, mute)), **changes, tls=tls))
    reset(end)
    await rig.accept(mute)
    assert await was_reset(client)
    assert rig.books.errors() == {"early_reset": 1, "timeout": 1}


@BOTH
@pytest.mark.parametrize("speaks", [False, True])
async def test_tickets_that_wait_to_be_read_are_no_answer_for_good(
    rig, monkeypatch, tmp_path, speaks
):
    unread = [True] * (1000 if speaks else 2)
    look = unspoken.unread
    monkeypatch.setattr(unspoken, "unread", lambda fd: unread.pop() if unread else look(fd))
    pki = make_pki(tmp_path)
    with a_tls_server(pki.server_context()) as server:
        changes = {"first_byte_timeout_s": 0.3, "tls": pki.order()}
        rig.upstreams(upstream(1, server.port, **changes))
        client = await rig.connect(rig.open(listener(1, {1: 1})))
        end = await server.accept()
        await until(lambda: len(unread) in (0, 998))
        if speaks:
            await asyncio.to_thread(end.sendall, b"late")
            assert await receive(client, 4) == b"late"
            assert waiting(rig) == 0
        else:
            assert await was_reset(client)
    assert rig.books.errors() == ({} if speaks else {"timeout": 1})


@BOTH
async def test_a_client_that_was_heard_is_not_tried_elsewhere(rig):
    servers = rig.listening(), rig.listening()
    client = await rig.connect(serve(rig, *servers))
    await send(client, b"order")
    end, chosen = await rig.accept_any(*servers)
    assert await receive(end, 5) == b"order"
    assert await was_reset(client)
    assert rig.books.ends() == {"first_byte_timeout": 1}
    with pytest.raises(BlockingIOError):
        servers[chosen is servers[0]].accept()


@ON_TRIAL
async def test_what_is_said_is_told_apart_from_what_comes_late(rig):
    """A client that speaks after the change of servers is heard by the second alone."""
    servers = rig.listening(), rig.listening()
    client = await rig.connect(serve(rig, *servers, first_byte_timeout_s=0.2))
    _, chosen = await rig.accept_any(*servers)
    second = await rig.accept(servers[chosen is servers[0]])
    await send(client, b"now")
    assert await receive(second, 3) == b"now"
    await send(second, b"yes")
    assert await receive(client, 3) == b"yes"


@BOTH
async def test_connects_and_first_bytes_are_swept_together(rig):
    server = rig.listening()
    silent = await rig.black_hole()
    rig.upstreams(upstream(2, silent, connect_timeout_s=0.3))
    port = serve(rig, server)
    hole = rig.open(listener(2, {2: 1}))
    await rig.pair(port, server)
    await rig.connect(hole)
    await until(lambda: waiting(rig) == 2)
    await rig.quiet()
    assert rig.books.ends(1) == {"first_byte_timeout": 1}
    assert rig.books.ends(2) == {"!connect_failed": 1}
    assert waiting(rig) == 0


@pytest.mark.parametrize("mover", ["kernel"], indirect=True)
async def test_a_flow_that_the_kernel_moves_is_not_tried_elsewhere(rig):
    """An open socket does not leave the kernel's maps; but no flow is linked before it spoke."""
    servers = rig.listening(), rig.listening()
    client = await rig.connect(serve(rig, *servers))
    await rig.accept_any(*servers)
    await until(lambda: rig.engine._relay.linked == 1)
    assert await was_reset(client)
    assert rig.books.ends() == {"first_byte_timeout": 1}
    assert rig.books.errors() == {"timeout": 1}
    assert rig.engine._relay.linked == 0
