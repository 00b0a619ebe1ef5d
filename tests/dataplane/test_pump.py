"""Bytes cross whole and in order; ends arrive as they were meant."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import random
import socket

import pytest

from tenantproxy.dataplane import pump as pump_module
from tenantproxy.dataplane.counters import Upstream
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

pytestmark = pytest.mark.both_movers

MIB = 1 << 20


async def send_in_pieces(sock: socket.socket, data: bytes, dice: random.Random) -> None:
    at = 0
    while at < len(data):
        size = dice.choice((1, 7, 1000, 16_384, 70_000, 300_000))
        await send(sock, data[at : at + size])
        at += size
        if dice.random() < 0.2:
            await asyncio.sleep(0)
    sock.shutdown(socket.SHUT_WR)


async def read_slowly(sock: socket.socket, dice: random.Random) -> bytes:
    got = bytearray()
    while data := await receive(sock, dice.choice((1, 5000, 65_536, 400_000))):
        got += data
        if dice.random() < 0.1:
            await asyncio.sleep(0.001)
    return bytes(got)


def half_of(rig, *, server: bool):
    (flow,) = rig.engine._listeners[1].flows
    return flow.server if server else flow.client


async def test_both_directions_at_once_in_random_pieces_arrive_equal(rig):
    port, server = rig.serve()
    dice = random.Random(1)

    async def one(number, client, upstream_end) -> tuple[int, int]:
        there, back = dice.randbytes(dice.randrange(2 * MIB)), dice.randbytes(number * 50_000)
        await send(client, hashlib.sha256(there).digest())
        await send(upstream_end, hashlib.sha256(back).digest())
        _, _, got_there, got_back = await asyncio.gather(
            send_in_pieces(client, there, dice),
            send_in_pieces(upstream_end, back, dice),
            read_slowly(upstream_end, dice),
            read_slowly(client, dice),
        )
        assert hashlib.sha256(got_there[32:]).digest() == got_there[:32]
        assert hashlib.sha256(got_back[32:]).digest() == got_back[:32]
        return len(got_there), len(got_back)

    pairs = [await rig.pair(port, server) for _ in range(16)]
    moved = await asyncio.gather(*(one(number, *pair) for number, pair in enumerate(pairs)))
    await rig.quiet()
    assert rig.books.route() == (16, 16, sum(m[0] for m in moved), sum(m[1] for m in moved))
    assert rig.books.ends() == {"done": 16}


async def test_the_upstream_may_answer_64_mib_after_the_clients_end_of_input(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    await send(client, b"question")
    client.shutdown(socket.SHUT_WR)
    assert await receive_all(upstream_end) == b"question"
    answer = random.Random(2).randbytes(MIB) * 64
    _, got = await asyncio.gather(_send_and_close(upstream_end, answer), receive_all(client))
    assert hashlib.sha256(got).digest() == hashlib.sha256(answer).digest()
    await rig.quiet()
    assert rig.books.ends() == {"done": 1}


async def test_the_client_may_send_64_mib_after_the_upstreams_end_of_input(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    upstream_end.shutdown(socket.SHUT_WR)
    assert await receive_all(client) == b""
    data = random.Random(3).randbytes(MIB) * 64
    _, got = await asyncio.gather(_send_and_close(client, data), receive_all(upstream_end))
    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()
    await rig.quiet()
    assert rig.books.ends() == {"done": 1}


async def _send_and_close(sock: socket.socket, data: bytes) -> None:
    await send(sock, data)
    sock.close()


async def test_a_reset_of_the_client_resets_the_upstream(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    reset(client)
    assert await was_reset(upstream_end)
    assert rig.books.ends() == {"client_reset": 1}


async def test_a_reset_of_the_upstream_resets_the_client(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    reset(upstream_end)
    assert await was_reset(client)
    assert rig.books.ends() == {"upstream_reset": 1}


@pytest.mark.parametrize("size", [100, 8 * MIB])
async def test_what_came_before_a_reset_is_delivered_first(rig, size):
    """8 MiB fill every buffer on the way: the reset finds the pump stalled and the kernel full."""
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    data = random.Random(4).randbytes(size)
    sending = asyncio.ensure_future(send(upstream_end, data))
    if size > MIB:
        await until(lambda: half_of(rig, server=False).pending is not None)
        sent = rig.books.route()[3]
        sending.cancel()
        await asyncio.wait([sending])
    else:
        await sending
        sent = size
    # An upstream that closes with unread input resets; what it sent before must arrive.
    await send(client, b"never read")
    await asyncio.sleep(0.05)
    upstream_end.close()
    await asyncio.sleep(0.05)
    got = bytearray()
    with pytest.raises(ConnectionResetError):
        while True:
            part = await asyncio.get_running_loop().sock_recv(client, 65_536)
            got += part
            if not part:
                break
    assert len(got) >= sent
    assert bytes(got) == data[: len(got)]
    await rig.quiet()
    assert rig.books.ends() == {"upstream_reset": 1}


async def test_a_reset_waits_for_what_the_kernel_has_not_sent_yet(rig):
    """Closing with a reset throws the kernel's queue away: the reader must have taken it first."""
    port, server = rig.serve()
    client = rig.keep(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect_ex((HOST, port))
    upstream_end = await rig.accept(server)
    data = random.Random(7).randbytes(150_000)
    await send(upstream_end, data)
    await until(lambda: rig.books.route()[3] == len(data))
    reset(upstream_end)
    await until(lambda: rig.books.ends() == {"upstream_reset": 1})
    assert rig.engine._pump.lingering == 1
    got = bytearray()
    with pytest.raises(ConnectionResetError):
        while part := await asyncio.get_running_loop().sock_recv(client, 65_536):
            got += part
    assert bytes(got) == data
    assert rig.engine._pump.lingering == 0


async def test_a_reset_does_not_wait_for_a_reader_that_is_gone(rig):
    port, server = rig.serve()
    client = rig.keep(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect_ex((HOST, port))
    upstream_end = await rig.accept(server)
    await send(upstream_end, bytes(150_000))
    await until(lambda: rig.books.route()[3] == 150_000)
    reset(upstream_end)
    await until(lambda: rig.engine._pump.lingering == 1)
    client.close()
    await until(lambda: rig.engine._pump.lingering == 0)


async def test_a_reset_found_by_writing_still_delivers_what_was_sent_before(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    engine_pump = rig.engine._pump
    rig.engine._loop.remove_reader(engine_pump._epoll.fileno())
    await send(upstream_end, b"last words")
    await send(client, b"x")
    await asyncio.sleep(0.02)
    reset(upstream_end)
    await asyncio.sleep(0.02)
    # The client's byte is served before the upstream's events are looked at.
    engine_pump._pump(half_of(rig, server=False), pump_module.IN)
    rig.engine._loop.add_reader(engine_pump._epoll.fileno(), engine_pump.ready)
    assert await receive(client, 10) == b"last words"
    assert await was_reset(client)
    assert rig.books.ends() == {"upstream_reset": 1}


async def test_a_reset_while_paused_does_not_spin(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    sending = asyncio.ensure_future(send(upstream_end, bytes(32 * MIB)))
    await until(lambda: half_of(rig, server=True).paused)
    sending.cancel()
    await asyncio.wait([sending])
    reset(upstream_end)
    await asyncio.sleep(0.05)
    turns = 0
    ready = rig.engine._pump.ready

    def counting() -> None:
        nonlocal turns
        turns += 1
        ready()

    fd = rig.engine._pump._epoll.fileno()
    rig.engine._loop.remove_reader(fd)
    rig.engine._loop.add_reader(fd, counting)
    await asyncio.sleep(0.2)
    assert turns < 5
    assert await was_reset(client)


async def test_a_half_that_said_fin_and_then_resets_ends_the_flow(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    client.shutdown(socket.SHUT_WR)
    assert await receive_all(upstream_end) == b""
    reset(client)
    # After a FIN a read never shows an error; the socket does.
    await until(lambda: upstream_end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    assert rig.books.ends() == {"client_reset": 1}


@pytest.mark.pump_only("about the pump's own buffer")
async def test_a_stopped_reader_costs_one_small_buffer(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    data = random.Random(5).randbytes(16 * MIB)
    sending = asyncio.ensure_future(_send_and_close(upstream_end, data))
    await until(lambda: half_of(rig, server=True).paused)
    assert len(half_of(rig, server=False).pending) <= pump_module.BUFFER_BYTES
    # Whoever stalls twice is read in small pieces from then on.
    await receive(client, 64 * 1024)
    await until(lambda: half_of(rig, server=True).size == pump_module.STALLED_SIZE)
    assert rig.books.route()[3] < 16 * MIB
    rest = await receive_all(client)
    assert len(rest) == 16 * MIB - 64 * 1024
    await sending


async def test_many_stopped_readers_cost_little_and_hinder_nobody(rig):
    port, server = rig.serve()
    pairs = [await rig.pair(port, server) for _ in range(30)]
    sending = [asyncio.ensure_future(send(end, bytes(16 * MIB))) for _, end in pairs]
    flows = rig.engine._listeners[1].flows
    await until(lambda: all(flow.client.pending is not None for flow in flows))
    assert sum(len(flow.client.pending) for flow in flows) <= 30 * pump_module.BUFFER_BYTES
    client, end = await rig.pair(port, server)
    await send(end, b"lively")
    assert await receive(client, 6) == b"lively"
    for task in sending:
        task.cancel()
    await asyncio.gather(*sending, return_exceptions=True)


async def test_bulk_grows_the_reads_and_chat_does_not(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    await send(client, b"hello")
    assert await receive(upstream_end, 5) == b"hello"
    assert half_of(rig, server=False).size == 65_536
    sizes = set()

    async def watch() -> None:
        while True:
            sizes.add(half_of(rig, server=False).size)
            await asyncio.sleep(0)

    watching = asyncio.ensure_future(watch())
    await asyncio.gather(send(client, bytes(32 * MIB)), receive(upstream_end, 32 * MIB))
    watching.cancel()
    await asyncio.wait([watching])
    assert max(sizes) == pump_module.BUFFER_BYTES


class Poor:
    """A socket whose every second send finds no memory in the kernel.

    `at_s` is when it was asked.
    """

    def __init__(self, sock, number: int) -> None:
        self._sock, self._number, self.at_s = sock, number, []

    def __getattr__(self, name):
        return getattr(self._sock, name)

    def send(self, data, flags):
        self.at_s.append(asyncio.get_running_loop().time())
        if len(self.at_s) % 2:
            raise OSError(self._number, "on purpose")
        return self._sock.send(data[:10_000], flags)


@pytest.mark.pump_only("the kernel's own sends do not pass here")
@pytest.mark.parametrize("number", [errno.ENOBUFS, errno.ENOMEM, errno.EFAULT])
async def test_a_send_without_memory_is_tried_again(rig, number):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    await until(lambda: rig.books.route()[0] == 1)
    halves = half_of(rig, server=False), half_of(rig, server=True)
    for half in halves:
        half.sock = Poor(half.sock, number)
    data = random.Random(number).randbytes(100_000)
    for sender, reader in ((client, upstream_end), (upstream_end, client)):
        await send(sender, data)
        sender.shutdown(socket.SHUT_WR)
        assert await receive_all(reader) == data
    await rig.quiet()
    assert rig.books.ends() == {"done": 1}
    for half in halves:
        asked = half.sock.at_s
        assert all(
            b - a >= pump_module.MEMORY_PAUSE_S / 2
            for a, b in zip(asked[::2], asked[1::2], strict=False)
        )


@pytest.mark.pump_only("the kernel's own sends do not pass here")
async def test_last_bytes_and_end_that_find_no_memory_arrive_both(rig):
    """The end was reported with the bytes, and an edge is not reported again by itself."""
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    await until(lambda: rig.books.route()[0] == 1)
    half = half_of(rig, server=False)
    half.sock = Poor(half.sock, errno.ENOMEM)
    upstream_end.send(b"answer")  # no turn of the loop between it and its end
    upstream_end.shutdown(socket.SHUT_WR)
    assert await receive_all(client) == b"answer"


@pytest.mark.pump_only("what is broken here is never called for a linked flow")
async def test_an_error_of_ours_ends_one_flow_and_is_reported(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    other, other_end = await rig.pair(port, server)
    await until(lambda: rig.books.route()[0] == 2)
    flow = next(
        f
        for f in rig.engine._listeners[1].flows
        if f.client.sock.getpeername() == client.getsockname()
    )

    def broken(_half, _events):
        raise ZeroDivisionError("on purpose")

    flow.client.on = broken
    await send(client, b"x")
    assert await was_reset(client)
    await send(other, b"fine")
    assert await receive(other_end, 4) == b"fine"
    assert rig.books.ends() == {"internal": 1}
    (notice,) = rig.notices("internal")
    assert "ZeroDivisionError: on purpose" in notice.detail
    assert notice.subject == "tenant/listener-1"
    assert await was_reset(upstream_end)


@pytest.mark.pump_only("a flow is linked after its first byte, but for the tests")
async def test_the_time_to_the_first_byte_is_counted_once(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    await send(client, b"?")
    await receive(upstream_end, 1)
    assert rig.books.histogram(Upstream.FIRST_BYTE) == 0
    for _ in range(3):
        await send(upstream_end, b"!")
        await receive(client, 1)
    assert rig.books.histogram(Upstream.FIRST_BYTE) == 1
    assert rig.books.histogram(Upstream.CONNECT) == 1


async def test_bytes_of_live_connections_count_while_they_live(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    await send(client, bytes(1000))
    await receive(upstream_end, 1000)
    await send(upstream_end, bytes(70_000))
    await receive(client, 70_000)
    await until(lambda: rig.books.route() == (1, 0, 1000, 70_000))


async def test_upstream_sockets_have_no_delay_and_keep_alive(rig):
    port, server = rig.serve()
    await rig.pair(port, server)
    await until(lambda: rig.books.route()[0] == 1)
    sock = half_of(rig, server=True).sock
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_one_bulk_stream_does_not_starve_a_chat(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    chat, chat_end = await rig.pair(port, server)
    bulk = asyncio.gather(send(client, bytes(256 * MIB)), receive(upstream_end, 256 * MIB))
    rounds = 0
    while not bulk.done():
        await send(chat, b"ping")
        await receive(chat_end, 4)
        await send(chat_end, b"pong")
        await receive(chat, 4)
        rounds += 1
    await bulk
    assert rounds > 50


async def test_the_split_of_a_live_connection_stays_when_its_upstream_is_dropped(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    await until(lambda: rig.books.route()[0] == 1)
    rig.upstreams(upstream(1))
    await send(client, b"still here")
    assert await receive(upstream_end, 10) == b"still here"
    assert port_of(server)
