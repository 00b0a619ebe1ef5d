"""Bytes of flows that speak TLS to the server cross whole and in order, as plain ones do."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import ssl
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenantproxy.dataplane.counters import Upstream
from tenantproxy.dataplane.flow import OVER, UNWATCHED, Half
from tenantproxy.dataplane.insides import Insides
from tenantproxy.dataplane.masks import IN
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
from tests.dataplane.tls_support import NoRoom, a_tls_server, open_port, pair

pytestmark = pytest.mark.both_movers

MIB = 1 << 20
VERSIONS = pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])


@pytest.fixture
def server(pki, request):
    version, small = getattr(request, "param", ("", False))
    with a_tls_server(pki.server_context(version=version), small=small) as server:
        yield server


def send_slowly(end: ssl.SSLSocket, data: bytes, dice: random.Random) -> None:
    at = 0
    while at < len(data):
        size = dice.choice((1, 700, 16_384, 16_385, 70_000, 300_000))
        end.sendall(data[at : at + size])
        at += size


def read_slowly(end: ssl.SSLSocket, size: int, dice: random.Random) -> bytes:
    got = bytearray()
    while len(got) < size and (data := end.recv(dice.choice((1, 5000, 65_536)))):
        got += data
        if dice.random() < 0.05:
            time.sleep(0.002)
    return bytes(got)


@pytest.mark.parametrize(
    "server", [("TLSv1_2", False), ("TLSv1_3", False), ("TLSv1_3", True)], indirect=True
)
async def test_bulk_both_ways_at_once_with_slow_readers_arrives_equal(rig, pki, server):
    port = open_port(rig, pki, server)
    dice = random.Random(5)
    there, back = dice.randbytes(3 * MIB), dice.randbytes(5 * MIB)
    client, end = await pair(rig, port, server)

    async def read_client() -> bytes:
        got = bytearray()
        while len(got) < len(back):
            got += await receive(client, min(len(back) - len(got), dice.choice((1, 9000, 400_000))))
            if dice.random() < 0.1:
                await asyncio.sleep(0.01)
        return bytes(got)

    # An SSLSocket is not to be read and written by two threads at once: one thread does both.
    def serve() -> bytes:
        end.settimeout(0)
        got, at = bytearray(), 0
        part = b""
        last = time.monotonic()
        while len(got) < len(there) or at < len(back):
            # What OpenSSL did not take has to be offered again as it was.
            part = part or back[at : at + dice.choice((1, 16_385, 300_000))]
            try:
                sent = end.send(part) if part else 0
                at, part = at + sent, b""
                last = time.monotonic()
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                pass
            try:
                got += end.recv(dice.choice((1, 5000, 65_536)))
                last = time.monotonic()
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                assert time.monotonic() < last + 20
                time.sleep(0.001)
        end.settimeout(20)
        return bytes(got)

    _, got_back, got_there = await asyncio.gather(
        send(client, there), read_client(), asyncio.to_thread(serve)
    )
    assert hashlib.sha256(got_there).digest() == hashlib.sha256(there).digest()
    assert hashlib.sha256(got_back).digest() == hashlib.sha256(back).digest()
    assert rig.books.route() == (1, 0, len(there), len(back))
    client.close()
    assert await asyncio.to_thread(end.recv, 1) == b""
    await asyncio.to_thread(end.unwrap)
    end.close()
    await rig.quiet()
    assert rig.books.ends() == {"done": 1}


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    questions=st.lists(st.integers(1, 150_000), min_size=1, max_size=5),
    answers=st.lists(st.integers(1, 400_000), min_size=1, max_size=5),
)
async def test_questions_and_answers_of_any_size_come_whole(pki, server, rig, questions, answers):
    if not rig.books.accepted():
        rig.shared_port = open_port(rig, pki, server)
    client, end = await pair(rig, rig.shared_port, server)
    for question, answer in zip(questions, answers, strict=False):
        asked, said = random.Random(question).randbytes(question), bytes([answer % 256]) * answer
        asking = asyncio.ensure_future(send(client, asked))
        assert await asyncio.to_thread(read_slowly, end, question, random.Random(1)) == asked
        await asking
        telling = asyncio.ensure_future(asyncio.to_thread(end.sendall, said))
        assert await receive(client, answer) == said
        await telling
    client.close()
    assert await asyncio.to_thread(end.recv, 1) == b""
    end.close()
    await rig.quiet()


@pytest.mark.parametrize("server", [("TLSv1_2", False), ("TLSv1_3", False)], indirect=True)
async def test_the_server_may_answer_after_the_clients_end_of_input(rig, pki, server):
    client, end = await pair(rig, open_port(rig, pki, server), server)
    await send(client, b"question")
    client.shutdown(socket.SHUT_WR)
    answer = random.Random(2).randbytes(MIB) * 16

    def serve() -> bytes:
        got = bytearray()
        while data := end.recv(100):
            got += data
        end.sendall(answer)
        end.unwrap().close()
        return bytes(got)

    asked, got = await asyncio.gather(asyncio.to_thread(serve), receive_all(client))
    assert asked == b"question"
    assert hashlib.sha256(got).digest() == hashlib.sha256(answer).digest()
    await rig.quiet()
    assert rig.books.ends() == {"done": 1}


@pytest.mark.parametrize("polite", [True, False])
async def test_the_client_may_send_after_the_servers_end_of_input(rig, pki, server, polite):
    client, end = await pair(rig, open_port(rig, pki, server), server)
    end.settimeout(0.05)
    if polite:
        with pytest.raises((ssl.SSLError, TimeoutError)):
            end.unwrap()  # it says close_notify and waits in vain for ours
    else:
        end.shutdown(socket.SHUT_WR)
    assert await receive_all(client) == b""
    if not polite:  # Python's server has dropped its TLS with the FIN
        return
    raw = end.detach()
    with socket.socket(fileno=raw) as theirs:
        theirs.settimeout(20)
        sending = asyncio.ensure_future(send(client, bytes(MIB)))
        size = 0
        while size < MIB:
            size += len(await asyncio.to_thread(theirs.recv, 65_536))
        await sending
        client.close()
        await rig.quiet()
    assert rig.books.ends() == {"done": 1}


async def test_what_stays_inside_after_a_full_read_is_read_too(rig, pki, server):
    """All of it was in one record: the kernel has nothing more to tell."""
    client, end = await pair(rig, open_port(rig, pki, server), server)
    await asyncio.sleep(0.05)
    (flow,) = rig.engine._listeners[1].flows
    for size in (100, 1000, 5000):
        flow.server.size = size
        end.sendall(b"x" * 16_000)
        assert await receive(client, 16_000) == b"x" * 16_000


async def test_what_was_inside_a_paused_server_is_read_when_its_client_takes_more(rig, pki, server):
    client, end = await pair(rig, open_port(rig, pki, server), server)
    await asyncio.sleep(0.05)
    (flow,) = rig.engine._listeners[1].flows
    flow.server.size = 1000
    flow.client.sock = full = NoRoom(flow.client.sock)
    end.sendall(b"x" * 16_000)  # one record
    await until(lambda: flow.client.pending is not None)
    full.full = False
    assert await receive(client, 16_000) == b"x" * 16_000


async def test_a_greeting_that_comes_with_the_last_of_the_handshake_is_heard(rig, pki):
    """Of that no event tells: the handshake has read it."""
    listening = rig.listening()
    rig.upstreams(upstream(1, port_of(listening), tls=pki.order()))
    port = rig.open(listener(1, {1: 1}))
    client = await rig.connect(port)
    end = await rig.accept(listening)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = pki.server_context(version="TLSv1_2").wrap_bio(incoming, outgoing, server_side=True)
    done = False
    while not done:
        incoming.write(await asyncio.get_running_loop().sock_recv(end, 65_536))
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        else:
            done = True
            tls.write(b"220 ready\r\n")
        await send(end, outgoing.read())
    assert await receive(client, 11) == b"220 ready\r\n"


async def test_a_server_that_speaks_first_is_heard_at_once(rig, pki, server):
    rig.upstreams(upstream(1, server.port, tls=pki.order()))
    port = rig.open(listener(1, {1: 1}))

    def greet() -> None:
        end = server.accept_now()
        end.sendall(b"220 ready\r\n")

    greeting = asyncio.ensure_future(asyncio.to_thread(greet))
    client = await rig.connect(port)
    assert await receive(client, 11) == b"220 ready\r\n"
    await greeting
    assert rig.books.histogram(Upstream.FIRST_BYTE) == 1


async def test_the_first_byte_is_one_of_the_servers_and_no_ticket(rig, pki, server):
    client, end = await pair(rig, open_port(rig, pki, server), server)
    await asyncio.sleep(0.1)
    assert rig.books.histogram(Upstream.FIRST_BYTE) == 0
    assert rig.books.route() == (1, 0, 0, 0)
    await asyncio.to_thread(end.sendall, b"x")
    assert await receive(client, 1) == b"x"
    assert rig.books.histogram(Upstream.FIRST_BYTE) == 1


async def narrow_pair(rig, pki, server) -> tuple[socket.socket, ssl.SSLSocket]:
    """Return the two ends; little fits between the client and the proxy."""
    listening = rig.listening()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    rig.upstreams(upstream(1, server.port, tls=pki.order()))
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", rig.open(listener(1, {1: 1}), listening)))
    return rig.keep(client), await server.accept()


async def test_the_first_byte_to_a_slow_client_is_counted_once(rig, pki, server):
    client, end = await narrow_pair(rig, pki, server)
    data = random.Random(4).randbytes(MIB)
    telling = asyncio.ensure_future(asyncio.to_thread(end.sendall, data))
    (flow,) = rig.engine._listeners[1].flows
    await until(lambda: flow.client.pending is not None)
    assert await receive(client, len(data)) == data
    await telling
    assert rig.books.histogram(Upstream.FIRST_BYTE) == 1


async def test_what_was_inside_when_a_slow_client_paused_the_server_is_read_on(rig, pki, server):
    """All of it is in user space by then: no event tells of it when the client reads on."""
    client, end = await narrow_pair(rig, pki, server)
    await until(lambda: rig.books.route()[0])
    await asyncio.sleep(0.05)
    (flow,) = rig.engine._listeners[1].flows
    flow.server.size = 4096
    data = random.Random(6).randbytes(40_000)
    end.sendall(data)  # at once, for the loop stands still
    got = await receive(client, 4096)
    await until(lambda: flow.client.pending is not None)
    await asyncio.sleep(0.1)
    async with asyncio.timeout(10):
        got += await receive(client, len(data) - len(got))
    assert got == data


@pytest.mark.pump_only("no flow at all")
@pytest.mark.parametrize("mask", [UNWATCHED, OVER, 0, IN])
async def test_only_a_half_that_is_watched_for_input_is_looked_into(mask):
    looked = []
    insides = Insides(asyncio.get_running_loop(), None, None, lambda: None, None)
    half = Half(None, -1, None)
    half.mask, half.read = mask, lambda *call: looked.append(call)
    insides.look(half)
    await asyncio.sleep(0.01)
    assert looked == ([(half, IN)] if mask == IN else [])


async def test_a_reset_of_the_client_resets_the_server(rig, pki, server):
    client, end = await pair(rig, open_port(rig, pki, server), server)
    await send(client, b"part")
    assert await asyncio.to_thread(end.recv, 100) == b"part"
    reset(client)
    with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
        await asyncio.to_thread(end.recv, 100)
    await rig.quiet()
    assert rig.books.ends() == {"client_reset": 1}


async def test_a_reset_of_the_server_resets_the_client(rig, pki, server):
    client, end = await pair(rig, open_port(rig, pki, server), server)
    await asyncio.to_thread(end.sendall, b"part")
    assert await receive(client, 4) == b"part"
    reset(end)
    assert await was_reset(client)
    await rig.quiet()
    assert rig.books.ends() == {"upstream_reset": 1}


async def test_what_is_no_tls_any_more_resets_the_client_and_is_told(rig, pki, server):
    client, end = await pair(rig, open_port(rig, pki, server), server)
    await asyncio.to_thread(end.sendall, b"part")
    assert await receive(client, 4) == b"part"
    with socket.socket(fileno=end.detach()) as raw:
        raw.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert await was_reset(client)
    assert [n.detail for n in rig.notices("upstream_tls")] == ["wrong version number"]


async def test_a_slow_client_does_not_make_us_hold_more_than_a_buffer(rig, pki, server):
    client, end = await pair(rig, open_port(rig, pki, server), server)
    data = random.Random(3).randbytes(32 * MIB)
    telling = asyncio.ensure_future(asyncio.to_thread(end.sendall, data))
    (flow,) = rig.engine._listeners[1].flows
    await until(lambda: flow.client.pending is not None)
    await asyncio.sleep(0.2)
    assert not telling.done()
    assert rig.books.route()[3] < 31 * MIB
    assert await receive(client, len(data)) == data
    await telling


async def test_a_slow_server_does_not_make_us_hold_more_than_a_buffer(rig, pki, server):
    client, end = await pair(rig, open_port(rig, pki, server), server)
    data = random.Random(3).randbytes(32 * MIB)
    sending = asyncio.ensure_future(send(client, data))
    (flow,) = rig.engine._listeners[1].flows
    await until(lambda: flow.server.pending is not None)
    await asyncio.sleep(0.2)
    assert not sending.done()
    assert len(flow.server.sock._unsent) < MIB

    def read() -> bytes:
        got = hashlib.sha256()
        size = 0
        while size < len(data):
            part = end.recv(65_536)
            size += len(part)
            got.update(part)
        return got.digest()

    assert await asyncio.to_thread(read) == hashlib.sha256(data).digest()
    await sending


async def test_flows_that_speak_tls_are_left_to_the_pump_and_end_as_others(rig, pki, server):
    port = open_port(rig, pki, server, idle_timeout_s=0.3)
    client, end = await pair(rig, port, server)
    for _ in range(20):
        await send(client, b"question")
        assert await asyncio.to_thread(end.recv, 100) == b"question"
        await asyncio.to_thread(end.sendall, b"answer")
        assert await receive(client, 6) == b"answer"
    assert rig.engine._relay.linked == 0
    rig.engine._relay.count()
    assert await receive_all(client) == b""
    assert await asyncio.to_thread(end.recv, 100) == b""
    await rig.quiet()
    assert rig.books.ends() == {"idle_timeout": 1}
    assert rig.books.route() == (1, 1, 160, 120)
