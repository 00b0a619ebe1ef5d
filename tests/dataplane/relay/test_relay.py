"""A flow is linked when it proved chatty, leaves the kernel whole, and never goes back."""

from __future__ import annotations

import asyncio
import errno
import random
import select
import socket

import pytest

from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane.counters import Upstream
from tenantproxy.dataplane.flow import FIRST_SIZE, Half
from tenantproxy.dataplane.listener import CLOSED
from tenantproxy.dataplane.relay import links as links_module
from tenantproxy.dataplane.relay import relay, switch
from tenantproxy.dataplane.relay.bpf import Elements
from tenantproxy.dataplane.relay.gates import GATE_WORDS, NEXT
from tenantproxy.dataplane.relay.lane import Lane
from tests.dataplane.relay.maps import NO_ENTRIES, entries
from tests.dataplane.support import (
    HOST,
    Rig,
    a_rig,
    port_of,
    receive,
    receive_all,
    reset,
    send,
    until,
    was_reset,
)

pytestmark = pytest.mark.usefixtures("kernel_relay")

MIB = 1 << 20
ROUNDS = 3


@pytest.fixture
async def rig(monkeypatch):
    """A rig with the kernel relay on, in which three round trips are enough."""
    monkeypatch.setattr(relay, "ROUND_TRIPS", ROUNDS)
    with a_rig() as rig:
        rig.engine.turn_relay("kernel")
        yield rig
        for flow in list(rig.engine._listeners[1].flows):
            rig.engine._cut(flow, 0, abort=True)
        kernel = kernel_of(rig)
        assert (kernel._links.free, kernel.linked) == (switch.pairs(workers=1), 0)
        assert entries(kernel._links) == NO_ENTRIES
        assert (kernel._pairs, kernel._lanes, kernel._waiting) == ({}, {}, set())


@pytest.fixture
def no_room(monkeypatch):
    """A kernel that does not let a socket take what waits for it: readers are waited for."""
    monkeypatch.setattr(Lane, "make_room", lambda lane: None)


def kernel_of(rig: Rig) -> relay.KernelRelay:
    return rig.engine._relay._relay


async def talk(client, end, rounds: int = 1) -> None:
    for _ in range(rounds):
        await send(client, b"question")
        assert await receive(end, 8) == b"question"
        await send(end, b"answer")
        assert await receive(client, 6) == b"answer"


async def linked_pair(rig: Rig, *, small_buffers: bool = False):
    if small_buffers:
        client, end = await pair_with_small_buffers(rig, *rig.serve())
    else:
        client, end = await rig.pair(*rig.serve())
    await talk(client, end, ROUNDS)
    assert rig.engine._relay.linked == 1
    return client, end


async def pair_with_small_buffers(rig: Rig, port: int, server: socket.socket):
    """Next to nothing fits from the proxy to the client."""
    client = rig.keep(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect_ex((HOST, port))
    end = await rig.accept(server)
    flow = next(flow for flow in rig.engine._listeners[1].flows if is_of(flow, client))
    flow.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return client, end


def is_of(flow, client: socket.socket) -> bool:
    return flow.client.sock.getpeername() == client.getsockname()


def the_flow(rig: Rig):
    (flow,) = rig.engine._listeners[1].flows
    return flow


# Into the kernel -------------------------------------------------------------------


async def test_so_many_round_trips_and_no_fewer(rig):
    port, server = rig.serve()
    client, end = await rig.pair(port, server)
    await talk(client, end, ROUNDS - 1)
    await send(client, b"only half of a round trip")
    await receive(end, 25)
    assert rig.engine._relay.linked == 0
    await send(end, b"and now the other")
    await receive(client, 17)
    assert rig.engine._relay.linked == 1


async def test_many_messages_one_way_are_no_round_trips(rig):
    port, server = rig.serve()
    client, end = await rig.pair(port, server)
    for sender, reader in ((client, end), (end, client)):
        for _ in range(10 * ROUNDS):
            await send(sender, b"more")
            assert await receive(reader, 4) == b"more"
    assert rig.engine._relay.linked == 0


async def test_a_server_that_speaks_first_may_be_linked_and_its_first_byte_counts_once(rig):
    port, server = rig.serve()
    client, end = await rig.pair(port, server)
    for word in (b"welcome", b"dear", b"friend"):
        await send(end, word)
        assert await receive(client, len(word)) == word
    await talk(client, end, ROUNDS)
    assert rig.engine._relay.linked == 1
    assert rig.books.histogram(Upstream.FIRST_BYTE) == 1


async def test_a_full_buffer_ends_the_trial_for_good(rig):
    port, server = rig.serve()
    client, end = await rig.pair(port, server)
    await talk(client, end)
    flow = the_flow(rig)
    rig.engine._loop.remove_reader(rig.engine._pump._epoll.fileno())
    await send(end, bytes(2 * FIRST_SIZE))
    await asyncio.sleep(0.02)
    rig.engine._loop.add_reader(rig.engine._pump._epoll.fileno(), rig.engine._pump.ready)
    await receive(client, 2 * FIRST_SIZE)
    await talk(client, end, 3 * ROUNDS)
    assert rig.engine._relay.linked == 0
    assert flow.client.read is flow.server.read is rig.engine._pump.read


async def test_a_flow_with_bytes_in_user_space_waits_for_another_round_trip(rig):
    client, end = await pair_with_small_buffers(rig, *rig.serve())
    flow = the_flow(rig)
    await talk(client, end, ROUNDS - 1)
    await send(client, b"question")
    await receive(end, 8)
    await send(end, bytes(FIRST_SIZE - 100))
    await until(lambda: flow.client.pending is not None)
    assert rig.engine._relay.linked == 0
    await receive(client, FIRST_SIZE - 100)
    await talk(client, end)
    assert rig.engine._relay.linked == 1
    await talk(client, end)


async def test_while_it_is_linked_the_worker_sleeps(rig):
    client, end = await linked_pair(rig)
    turns = 0
    pump = rig.engine._pump
    ready = pump.ready

    def counting() -> None:
        nonlocal turns
        turns += 1
        ready()

    rig.engine._loop.remove_reader(pump._epoll.fileno())
    rig.engine._loop.add_reader(pump._epoll.fileno(), counting)
    await talk(client, end, 100)
    assert turns == 0
    # With EPOLLIN the kernel would wake us and find nothing to tell: that is not seen here.
    flow = the_flow(rig)
    assert not (flow.client.mask | flow.server.mask) & select.EPOLLIN


async def test_no_more_pairs_than_there_is_room_for(rig, monkeypatch):
    kernel = kernel_of(rig)
    spare = kernel._links._free[:-4]
    del kernel._links._free[:-4]
    port, server = rig.serve()
    pairs = [await rig.pair(port, server) for _ in range(4)]
    for pair in pairs:
        await talk(*pair, ROUNDS)
    assert rig.engine._relay.linked == 2
    for pair in pairs:
        await talk(*pair, ROUNDS)
    for sock in pairs[0]:
        sock.close()
    await until(lambda: rig.engine.flows == 3)
    late = await rig.pair(port, server)
    await talk(*late, ROUNDS)
    assert rig.engine._relay.linked == 2
    kernel._links._free[:0] = spare


async def test_turned_off_links_no_more_and_leaves_those_that_are(rig):
    client, end = await linked_pair(rig)
    port, server = rig.serve()
    trying, trying_end = await rig.pair(port, server)
    await talk(trying, trying_end)
    assert not rig.engine.turn_relay("pump").works
    await talk(trying, trying_end, ROUNDS)
    new, new_end = await rig.pair(port, server)
    await talk(new, new_end, 2 * ROUNDS)
    assert rig.engine._relay.linked == 1
    await talk(client, end)
    assert rig.engine.turn_relay("auto").works
    again, again_end = await rig.pair(port, server)
    await talk(again, again_end, ROUNDS)
    assert rig.engine._relay.linked == 2


async def test_an_adopted_connection_is_never_linked(rig):
    _, server = rig.serve()
    elsewhere = rig.listening()
    client = await rig.connect(port_of(elsewhere))
    rig.order(m.Adopt(1, 1), (await rig.accept(elsewhere)).fileno())
    end = await rig.accept(server)
    await talk(client, end, 3 * ROUNDS)
    assert rig.engine._relay.linked == 0


# A kernel that refuses ---------------------------------------------------------------


@pytest.mark.parametrize("at", range(1, 7))
async def test_a_refused_link_stays_in_the_pump_whole(rig, monkeypatch, at):
    """Bytes that arrive in the very moment are neither lost nor out of order."""
    port, server = rig.serve()
    client, end = await rig.pair(port, server)
    await talk(client, end, ROUNDS - 1)
    await talk_half(client, end)
    done = 0
    real = Elements.set

    def set_(self, key, value):
        nonlocal done
        done += 1
        client.send(b"%d" % done)
        end.send(b"%d" % done)
        if done == at:
            raise OSError(errno.ENOSPC, "No space left on device", "set an element of peers")
        real(self, key, value)

    monkeypatch.setattr(Elements, "set", set_)
    await send(end, b"answer")
    assert await receive(client, 6 + at) == b"answer" + b"123456"[:at]
    assert await receive(end, at) == b"123456"[:at]
    await talk(client, end, 3 * ROUNDS)
    assert rig.engine._relay.linked == 0
    assert done == at, "it is not tried again"
    if at < 6:
        (notice,) = rig.notices("internal")
        assert notice.detail == "kernel relay: No space left on device (set an element of peers)"
    client.close()
    end.close()
    await rig.quiet()
    assert rig.books.ends() == {"done": 1}
    chat = 4 * ROUNDS
    assert rig.books.route() == (1, 1, 8 * chat + at, 6 * chat + at)


async def talk_half(client, end) -> None:
    await send(client, b"question")
    assert await receive(end, 8) == b"question"


async def test_an_end_that_comes_with_the_last_answer_is_nobodys_fault(rig):
    port, server = rig.serve()
    client, end = await rig.pair(port, server)
    await talk(client, end, ROUNDS - 1)
    await talk_half(client, end)
    rig.engine._loop.remove_reader(rig.engine._pump._epoll.fileno())
    await send(end, b"answer")
    end.shutdown(socket.SHUT_WR)
    rig.engine._loop.add_reader(rig.engine._pump._epoll.fileno(), rig.engine._pump.ready)
    assert await receive_all(client) == b"answer"
    await send(client, b"thanks")
    client.close()
    assert await receive_all(end) == b"thanks"
    await rig.quiet()
    assert rig.notices("internal") == []


# Out of the kernel -------------------------------------------------------------------


async def test_bulk_leaves_the_kernel_and_never_goes_back(rig):
    client, end = await linked_pair(rig)
    data = random.Random(1).randbytes(8 * MIB)
    _, got = await asyncio.gather(send(client, data), receive(end, len(data)))
    assert got == data
    assert rig.engine._relay.linked == 0
    await talk(client, end, 3 * ROUNDS)
    assert rig.engine._relay.linked == 0
    flow = the_flow(rig)
    moved = sum(lane.counted for lane in kernel_of(rig)._pairs[flow].lanes)
    assert moved <= switch.CREDIT_BYTES // 4 + 6


async def test_a_conversation_of_any_length_stays_in_the_kernel(rig):
    """Each message is well below the credit; together they are eight times as much."""
    client, end = await linked_pair(rig)
    for _ in range(64):
        for sender, reader in ((client, end), (end, client)):
            _, got = await asyncio.gather(send(sender, bytes(60_000)), receive(reader, 60_000))
            assert len(got) == 60_000
    assert rig.engine._relay.linked == 1
    assert not kernel_of(rig)._waiting


async def test_a_reader_that_stops_costs_the_kernel_no_more_than_the_credit(rig):
    client, end = await linked_pair(rig)
    flow = the_flow(rig)
    lane = kernel_of(rig)._pairs[flow].lanes[1]
    data = random.Random(2).randbytes(32 * MIB)
    sending = asyncio.ensure_future(send(end, data))
    await until(lambda: lane.stage is not relay.Stage.KERNEL)
    await asyncio.sleep(0.1)
    moved = kernel_of(rig)._links.moved(lane.slot)
    assert moved <= switch.CREDIT_BYTES * 3 // 4
    assert not sending.done()
    assert len(await receive(client, 32 * MIB)) == len(data)
    await sending
    assert rig.books.route()[3] == len(data) + 6 * ROUNDS


@pytest.mark.parametrize("size", [100_000, 4 * MIB])
async def test_who_does_not_read_can_still_send(rig, size):
    """What the program hands over waits behind what the same socket has to send."""
    client, end = await linked_pair(rig, small_buffers=True)
    down = random.Random(4).randbytes(size)  # less than the credit, and more
    answering = asyncio.ensure_future(send(end, down))
    await asyncio.sleep(0.05)
    up = random.Random(5).randbytes(4 * MIB)
    sending = asyncio.ensure_future(send(client, up))
    async with asyncio.timeout(5):
        assert await receive(end, len(up)) == up
    await sending
    assert await receive(client, len(down)) == down
    await answering


async def test_a_slow_reader_gets_every_byte_and_then_the_fin(rig):
    client, end = await linked_pair(rig)
    data = random.Random(3).randbytes(4 * MIB)

    async def send_and_close() -> None:
        await send(end, data)
        end.close()

    sending = asyncio.ensure_future(send_and_close())
    got = bytearray()
    while part := await receive(client, 50_000):
        got += part
        await asyncio.sleep(0.0005)
    assert bytes(got) == data
    await sending
    client.close()
    await rig.quiet()
    assert rig.books.ends() == {"done": 1}


@pytest.mark.parametrize("size", [0, 1000, 200_000])
async def test_a_fin_follows_what_the_kernel_still_has(rig, size):
    client, end = await linked_pair(rig, small_buffers=True)
    await send(end, bytes(size))
    end.shutdown(socket.SHUT_WR)
    await asyncio.sleep(0.05)
    await send(client, b"the other way goes on")
    assert await receive(end, 21) == b"the other way goes on"
    assert len(await receive_all(client)) == size
    client.close()
    assert await receive_all(end) == b""
    await rig.quiet()
    assert rig.books.ends() == {"done": 1}


@pytest.mark.parametrize("size", [0, 1000, 200_000])
async def test_a_reset_follows_what_the_kernel_still_has(rig, size):
    client, end = await linked_pair(rig, small_buffers=True)
    await send(end, bytes(size))
    reset(end)
    await asyncio.sleep(0.05)
    got = 0
    with pytest.raises(ConnectionResetError):
        while part := await asyncio.get_running_loop().sock_recv(client, 65_536):
            got += len(part)
    assert got == size
    await rig.quiet()
    assert rig.books.ends() == {"upstream_reset": 1}
    assert rig.books.route()[3] == 6 * ROUNDS + size


@pytest.mark.usefixtures("no_room")
async def test_a_reset_waits_for_a_stopped_reader_not_for_ever(rig, monkeypatch):
    monkeypatch.setattr(relay, "DEAD_WAIT_S", 0.1)
    monkeypatch.setattr("tenantproxy.dataplane.lingering.LINGER_S", 0.1)
    client, end = await linked_pair(rig, small_buffers=True)
    await send(end, bytes(200_000))
    reset(end)
    await rig.quiet()
    await until(lambda: not rig.engine._pump.lingering)
    assert await was_reset(client)
    assert rig.books.ends() == {"upstream_reset": 1}


@pytest.mark.usefixtures("no_room")
async def test_a_slow_reader_of_an_ended_flow_costs_few_looks(rig, monkeypatch):
    client, end = await linked_pair(rig, small_buffers=True)
    looks = 0
    is_written = Lane.is_written

    def counting(self):
        nonlocal looks
        looks += 1
        return is_written(self)

    monkeypatch.setattr(Lane, "is_written", counting)
    await send(end, bytes(200_000))
    end.shutdown(socket.SHUT_WR)
    await asyncio.sleep(0.5)
    assert 5 < looks < 25
    assert len(await receive_all(client)) == 200_000


@pytest.mark.usefixtures("no_room")
async def test_a_flow_that_ends_while_it_is_waited_for_is_waited_for_no_longer(rig):
    client, end = await linked_pair(rig, small_buffers=True)
    await send(end, bytes(200_000))
    end.shutdown(socket.SHUT_WR)
    await until(lambda: kernel_of(rig)._waiting)
    rig.order(m.EndConnections((1,), "kill", 0.0, forget=False))
    assert not kernel_of(rig)._waiting
    assert await was_reset(client)


@pytest.mark.parametrize("mode", ["kill", "drain"])
@pytest.mark.parametrize("size", [0, 200_000])
async def test_cut_with_fin_only_when_all_was_passed_on(rig, mode, size):
    client, end = await linked_pair(rig, small_buffers=True)
    await send(end, bytes(size))
    rig.order(m.EndConnections((1,), mode, 0.0, forget=False))
    await rig.quiet()
    assert await was_reset(client) == (mode == "kill" or size > 0)


# Counting ----------------------------------------------------------------------------


async def test_bytes_in_the_kernel_count_while_the_connection_lives(rig):
    client, end = await linked_pair(rig)
    before = rig.books.route()
    await send(client, bytes(1000))
    await receive(end, 1000)
    await send(end, bytes(70_000))
    await receive(client, 70_000)
    assert rig.books.route() == before
    await until(lambda: rig.books.route() == (1, 0, before[2] + 1000, before[3] + 70_000))
    flow = the_flow(rig)
    assert max(flow.client.last_ms, flow.server.last_ms) > 0


@pytest.mark.parametrize("abort", [True, False])
async def test_bytes_since_the_last_beat_count_when_the_flow_is_cut(rig, abort):
    client, end = await linked_pair(rig)
    before = rig.books.route()
    await send(client, bytes(1000))
    await receive(end, 1000)
    rig.engine._cut(the_flow(rig), CLOSED["killed"], abort=abort)
    assert rig.books.route() == (1, 1, before[2] + 1000, before[3])


async def test_a_drain_knows_who_talked_since_the_last_beat(rig):
    port, server = rig.serve()
    rig.engine._pulse.close()
    busy, busy_end = await rig.pair(port, server)
    await talk(busy, busy_end, ROUNDS)
    await asyncio.sleep(0.01)
    silent, silent_end = await rig.pair(port, server)
    await talk(silent, silent_end, ROUNDS)
    await asyncio.sleep(0.01)
    rig.engine._pump.touch()
    await talk(busy, busy_end)
    rig.order(m.EndConnections((1,), "drain", 0.2, forget=False))
    assert await receive_all(silent) == b""
    assert rig.books.ends() == {"drained": 1}
    await talk(busy, busy_end)
    assert await receive_all(busy) == b""


async def test_a_silent_linked_pair_does_not_look_busy(rig):
    await linked_pair(rig)
    flow = the_flow(rig)
    before = flow.client.last_ms, flow.server.last_ms
    for _ in range(3):
        await asyncio.sleep(0.01)
        rig.engine._gauges()
    assert (flow.client.last_ms, flow.server.last_ms) == before


# Bytes that come late, errors, the end ---------------------------------------------


async def test_an_end_of_input_is_not_believed_while_bytes_are_missing(rig, monkeypatch):
    """What waits behind the socket's own writing is simulated: it cannot be had at will."""
    client, end = await linked_pair(rig)
    late = 5

    def is_late(_self) -> bool:
        nonlocal late
        late -= 1
        return late >= 0

    monkeypatch.setattr(Lane, "is_late", is_late)
    end.shutdown(socket.SHUT_WR)
    assert await receive_all(client) == b""
    assert late < 0
    client.close()
    assert await receive_all(end) == b""
    await rig.quiet()
    assert rig.notices("internal") == []
    assert rig.books.ends() == {"done": 1}


async def test_bytes_that_never_come_end_in_a_reset_not_in_a_fin(rig, monkeypatch):
    monkeypatch.setattr(relay, "LATE_WAIT_S", 0.05)
    monkeypatch.setattr(Lane, "is_late", lambda _self: True)
    client, end = await linked_pair(rig)
    end.shutdown(socket.SHUT_WR)
    assert await was_reset(client)
    assert rig.books.ends() == {"internal": 1}
    assert "LateBytes" in rig.notices("internal")[0].detail


async def test_what_was_received_is_late_until_it_is_read(rig):
    client, end = await linked_pair(rig)
    lane = kernel_of(rig)._pairs[the_flow(rig)].lanes[0]
    await send(client, b"moved")
    await receive(end, 5)
    client.shutdown(socket.SHUT_WR)
    await receive_all(end)
    assert not lane.is_late()
    lane.passed -= 1
    assert lane.is_late()


@pytest.mark.parametrize(("where", "answers"), [("grant", 0), ("is_written", 0), ("is_written", 1)])
async def test_an_error_of_ours_ends_one_flow_and_is_reported(rig, monkeypatch, where, answers):
    """When the ring speaks, when it leaves, and when it is waited for."""
    client, end = await linked_pair(rig)
    port, server = rig.serve()
    other, other_end = await rig.pair(port, server)
    await talk(other, other_end, ROUNDS)
    broken: Half = next(f for f in rig.engine._listeners[1].flows if is_of(f, client)).client
    real = getattr(Lane, where)
    left = answers

    def raising(self):
        nonlocal left
        if self.source is not broken:
            return real(self)
        left -= 1
        if left >= 0:
            return False
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(Lane, where, raising)
    await send(client, bytes(200_000))
    assert await was_reset(client)
    assert await was_reset(end)
    monkeypatch.undo()
    await talk(other, other_end)
    assert rig.books.ends() == {"internal": 1}
    assert "ZeroDivisionError: on purpose" in rig.notices("internal")[0].detail


async def test_the_ring_may_speak_of_a_pair_that_has_ended(rig):
    client, end = await linked_pair(rig)
    rig.engine._loop.remove_reader(kernel_of(rig)._links.ring_fd)
    await send(client, bytes(200_000))
    await receive(end, 200_000)
    reset(client)
    await rig.quiet()
    kernel_of(rig)._told()
    rig.engine._loop.add_reader(kernel_of(rig)._links.ring_fd, kernel_of(rig)._told)
    assert rig.notices("internal") == []


async def test_an_old_word_of_the_ring_does_not_throw_a_new_pair_out(rig):
    await linked_pair(rig)
    kernel, (lane, _) = kernel_of(rig), kernel_of(rig)._pairs[the_flow(rig)].lanes
    kernel._heed(lane)
    assert rig.engine._relay.linked == 1


async def test_a_lane_that_tripped_is_found_though_the_ring_is_silent(rig):
    client, end = await linked_pair(rig)
    rig.engine._loop.remove_reader(kernel_of(rig)._links.ring_fd)
    data = random.Random(3).randbytes(8 * MIB)
    _, got = await asyncio.gather(send(client, data), receive(end, len(data)))
    assert got == data
    rig.engine._loop.add_reader(kernel_of(rig)._links.ring_fd, kernel_of(rig)._told)


@pytest.fixture
def no_beat(rig, monkeypatch):
    """Nothing is looked at unless the ring wakes us."""
    monkeypatch.setattr(rig.engine._relay, "check", lambda: None)


async def say_much(client, end, size: int) -> None:
    """Send so much in pieces, each answered."""
    for _ in range(size // 25_000):
        await send(client, bytes(25_000))
        await receive(end, 25_000)
        await send(end, b"answer")
        await receive(client, 6)


HALF_USED = 150_000
"""More than half of a client's credit, and less than three quarters."""


@pytest.mark.usefixtures("no_beat")
async def test_who_is_woken_by_one_lane_gives_credit_to_all_that_used_half(rig):
    port, server = rig.serve()
    one, other = [await rig.pair(port, server) for _ in range(2)]
    for pair in one, other:
        await talk(*pair, ROUNDS)
    links = kernel_of(rig)._links
    lane = next(p.lanes[0] for f, p in kernel_of(rig)._pairs.items() if is_of(f, one[0]))
    await say_much(*one, HALF_USED)
    await asyncio.sleep(0.02)
    assert links.is_soon(lane.slot)
    await say_much(*other, 200_000)
    await until(lambda: not links.is_soon(lane.slot))
    assert rig.engine._relay.linked == 2


async def test_what_is_told_quietly_is_read_at_the_next_beat(rig):
    client, end = await linked_pair(rig)
    lane = kernel_of(rig)._pairs[the_flow(rig)].lanes[0]
    await say_much(client, end, HALF_USED)
    await until(lambda: not kernel_of(rig)._links.is_soon(lane.slot))
    assert lane.stage is relay.Stage.KERNEL


@pytest.mark.usefixtures("no_beat")
async def test_a_flow_that_talks_in_the_kernel_is_not_idle(rig):
    """Its clock is brought up to date before it is believed."""
    client, end = await rig.pair(*rig.serve(idle_timeout_s=0.5))
    await talk(client, end, ROUNDS)
    assert rig.engine._relay.linked == 1
    for _ in range(30):
        await talk(client, end)
        await asyncio.sleep(0.05)
    assert rig.engine._relay.linked == 1
    assert await was_cut(client)
    assert rig.books.ends() == {"idle_timeout": 1}


async def was_cut(sock: socket.socket) -> bool:
    return await receive_all(sock) == b""


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EPERM])
async def test_a_flow_whose_place_is_not_told_stays_in_the_pump_whole(rig, monkeypatch, number):
    def refuse(sock, read):
        raise OSError(number, "no", "ask where a stream goes on")

    monkeypatch.setattr(links_module, "next_sequence", refuse)
    client, end = await rig.pair(*rig.serve())
    await talk(client, end, 3 * ROUNDS)
    assert rig.engine._relay.linked == 0
    said = [notice.detail for notice in rig.notices("internal")]
    assert said == ["kernel relay: no (ask where a stream goes on)"] * (number == errno.EPERM)
    client.close()


@pytest.mark.usefixtures("no_beat")
async def test_of_many_lanes_each_beat_looks_at_a_part(rig, monkeypatch):
    """All in a round; those that left meanwhile are passed over, their slots may be others' now."""
    monkeypatch.setattr(relay, "LANES_A_BEAT", 2)
    port, server = rig.serve()
    pairs = [await rig.pair(port, server) for _ in range(3)]
    for client, end in pairs:
        await talk(client, end, ROUNDS)
    kernel = kernel_of(rig)
    kernel._round = iter(())
    looked: list[Lane] = []
    real = Lane.count
    monkeypatch.setattr(Lane, "count", lambda lane, now: (looked.append(lane), real(lane, now)))
    lanes = list(kernel._lanes.values())
    kernel.check()
    assert looked == lanes[:2]
    reset(pairs[1][0])
    await until(lambda: len(kernel._pairs) == 2)
    looked.clear()
    kernel.check()
    assert looked == []
    kernel.check()
    assert looked == lanes[4:]
    looked.clear()
    kernel.check()
    assert looked == lanes[:2]


@pytest.mark.parametrize("left", [False, True])
async def test_bytes_that_come_again_do_not_reach_the_other_side_twice(rig, going_back, left):
    """In the kernel, and when the lane has left it."""
    client, end = await linked_pair(rig)
    size = 1000
    if left:
        size = 50_000
        for _ in range(8):  # most of the credit without a word back
            await send(client, bytes(size))
            await receive(end, size)
        assert rig.engine._relay.linked == 0
    await send(client, b"o" * size)
    assert await receive(end, size) == b"o" * size
    again = going_back(client, size)
    again.setblocking(False)
    await send(again, b"o" * size + b"new")
    again.shutdown(socket.SHUT_WR)
    assert await receive_all(end) == b"new"
    await send(end, b"answer")
    assert await receive(again, 6) == b"answer"
    assert rig.notices("internal") == []


@pytest.mark.parametrize("left", [False, True])
async def test_a_stream_with_a_hole_ends_in_a_reset(rig, left):
    client, end = await linked_pair(rig)
    await talk(client, end)
    kernel, (lane, _) = kernel_of(rig), kernel_of(rig)._pairs[the_flow(rig)].lanes
    if left:
        kernel._leave(lane)
        assert lane.stage is relay.Stage.PUMPED
    kernel._links._gates.words[lane.slot * GATE_WORDS + NEXT] -= 1
    await send(client, b"after the hole")
    assert await was_reset(client)
    assert await was_reset(end)
    assert "BrokenStream" in rig.notices("internal")[0].detail
    assert rig.books.ends() == {"internal": 1}


async def test_bytes_that_the_pump_had_read_do_not_pass_though_they_come_first(rig, going_back):
    client, end = await linked_pair(rig)
    again = going_back(client, 8)
    again.setblocking(False)
    await send(again, b"questionmore")
    assert await receive(end, 4) == b"more"
    await send(end, b"answer")
    assert await receive(again, 6) == b"answer"
    assert rig.notices("internal") == []


@pytest.mark.usefixtures("no_room")
async def test_closing_the_engine_resets_links_in_every_stage(monkeypatch):
    monkeypatch.setattr(relay, "ROUND_TRIPS", 0)
    with a_rig() as rig:
        rig.engine.turn_relay("kernel")
        port, server = rig.serve()
        pairs = [await rig.pair(port, server) for _ in range(4)]
        pairs[1] = await pair_with_small_buffers(rig, port, server)
        await talk(*pairs[0])
        stopped = asyncio.ensure_future(send(pairs[1][1], bytes(32 * MIB)))
        await send(pairs[2][0], bytes(1000))
        pairs[2][0].shutdown(socket.SHUT_WR)
        await asyncio.gather(send(pairs[3][0], bytes(4 * MIB)), receive(pairs[3][1], 4 * MIB))
        await until(lambda: kernel_of(rig)._waiting)
        books, reports = rig.books, rig.reports
        rig.engine.close()
        with pytest.raises(ConnectionError):
            await stopped
        reading = {sock for pair in pairs for sock in pair} - {pairs[1][1], pairs[2][1]}
        for sock in reading:  # but those that saw an error by writing, or a FIN
            assert await was_reset(sock)
        assert books.ends() == {"shutdown": 5}
        assert not [r for r in reports if isinstance(r, m.Notice)]
        rig.engine.close = lambda: None
        del books


@pytest.mark.parametrize(
    "count",
    [2_000, pytest.param(100_000, marks=[pytest.mark.trial, pytest.mark.timeout(900)])],
)
async def test_short_links_leave_nothing_and_every_byte_is_counted(monkeypatch, count):
    """A hundred bytes each, with ends of every kind, 50 at once."""
    monkeypatch.setattr(relay, "ROUND_TRIPS", 0)
    with a_rig() as rig:
        rig.engine.turn_relay("kernel")
        port, server = rig.serve()
        left = count
        one_by_one = asyncio.Lock()

        async def one_after_another() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                how = left % 3
                async with one_by_one:
                    client, end = await connected(port, server)
                client.send(bytes(60))
                assert len(await receive(end, 60)) == 60
                end.send(bytes(40))
                if how == 0:
                    end.close()
                    assert len(await receive_all(client)) == 40
                else:
                    assert len(await receive(client, 40)) == 40
                    (reset if how == 1 else socket.socket.close)(client)
                client.close()
                end.close()

        await asyncio.gather(*(one_after_another() for _ in range(50)))
        await rig.quiet()
        assert rig.books.route() == (count, count, 60 * count, 40 * count)
        kernel = kernel_of(rig)
        assert (kernel._links.free, kernel.linked) == (switch.pairs(workers=1), 0)
        assert entries(kernel._links) == NO_ENTRIES
        assert (kernel._pairs, kernel._lanes, kernel._waiting) == ({}, {}, set())


async def connected(port: int, server: socket.socket) -> tuple[socket.socket, socket.socket]:
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex((HOST, port))
    end, _ = await asyncio.get_running_loop().sock_accept(server)
    return client, end
