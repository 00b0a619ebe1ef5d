"""What the kernel does with each message: every branch of the verdict, on real sockets."""

from __future__ import annotations

import random
import select
import socket
from collections.abc import Iterator

import pytest

from tenantproxy.dataplane.relay.gates import GATE_WORDS, MESSAGE_BYTES, NEXT
from tenantproxy.dataplane.relay.links import Links
from tenantproxy.dataplane.relay.tcp_info import TcpInfo
from tests.dataplane.relay.again import freeze
from tests.dataplane.relay.conftest import CREDIT, ONE, exactly, linked_by


def told(links) -> list[int]:
    return list(links.told())


def test_what_fits_the_credit_goes_to_the_peer_and_is_counted(links, linked):
    linked.client.sendall(b"one")
    assert linked.server.recv(100) == b"one"
    linked.server.sendall(b"the other")
    assert linked.client.recv(100) == b"the other"
    assert links.moved(linked.there) == 3
    assert links.moved(linked.back) == 9
    assert told(links) == []
    linked.ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        linked.ours.recv(1)


def test_exactly_the_credit_passes_and_one_byte_more_does_not(links, linked):
    linked.client.sendall(bytes(ONE))
    assert exactly(linked.server, ONE) == bytes(ONE)
    assert (links.tripped(linked.there), links.charged(linked.there)) == (False, CREDIT)
    linked.client.sendall(b"!")
    assert linked.ours.recv(10) == b"!"
    assert links.tripped(linked.there)
    assert links.moved(linked.there) == ONE


def test_a_message_takes_memory_besides_its_bytes(links, linked):
    for number in range(1, CREDIT // MESSAGE_BYTES + 1):
        linked.client.sendall(b"8 bytes.")
        assert linked.server.recv(100) == b"8 bytes."
        assert links.charged(linked.there) == number * (8 + MESSAGE_BYTES)
    linked.client.sendall(b"8 bytes.")
    assert linked.ours.recv(100) == b"8 bytes."


def test_user_space_is_told_once_of_soon_of_low_and_of_the_trip_and_woken_by_the_last_two(
    kernel_relay, connect
):
    credit = 4 * CREDIT
    links = Links(1, (credit, credit))
    try:
        _tells_and_wakes(links, linked_by(links, connect), credit)
    finally:
        links.close()


def _tells_and_wakes(links, linked, credit) -> None:
    sleeper = select.epoll()
    sleeper.register(links.ring_fd, select.EPOLLIN | select.EPOLLET)
    for size, tells, wakes in (
        (credit // 2 - MESSAGE_BYTES - 1, [], False),
        (1, [linked.there], False),
        (1, [], False),
        (credit // 4 - 3 * MESSAGE_BYTES, [linked.there], True),
        (100, [], False),
        (credit, [linked.there], True),
        (credit, [], False),
    ):
        linked.client.sendall(bytes(size))
        got = 0
        while got < size:
            ready = linked.ours if links.tripped(linked.there) else linked.server
            got += len(ready.recv(size - got))
        assert bool(sleeper.poll(1 if wakes else 0.02)) == wakes, size
        assert told(links) == tells, size
    sleeper.close()


def test_who_sleeps_is_woken_though_what_was_told_quietly_was_not_read(links, linked):
    sleeper = select.epoll()
    sleeper.register(links.ring_fd, select.EPOLLIN | select.EPOLLET)
    for size, wakes in (CREDIT // 2, False), (100, True):
        linked.client.sendall(bytes(size))
        assert exactly(linked.server, size) == bytes(size)
        assert bool(sleeper.poll(1 if wakes else 0.02)) == wakes
    assert told(links) == [linked.there, linked.there]
    sleeper.close()


def test_what_comes_after_a_trip_goes_to_user_space_though_it_would_fit(links, linked):
    fits = ONE - MESSAGE_BYTES - 10
    linked.client.sendall(bytes(fits))
    assert len(exactly(linked.server, fits)) == fits
    linked.client.sendall(bytes(11))
    assert len(linked.ours.recv(100)) == 11
    linked.client.sendall(b"x")
    assert linked.ours.recv(100) == b"x"
    assert links.moved(linked.there) == fits


def test_one_direction_trips_alone(links, linked):
    links.stop(linked.there)
    linked.client.sendall(b"to user space")
    assert linked.ours.recv(100) == b"to user space"
    linked.server.sendall(b"still through")
    assert linked.client.recv(100) == b"still through"
    assert (links.tripped(linked.there), links.tripped(linked.back)) == (True, False)


@pytest.fixture
def roomy(kernel_relay) -> Iterator[Links]:
    """Room for every message of a test."""
    links = Links(1, (1 << 20, 1 << 20))
    yield links
    links.close()


@pytest.mark.parametrize("seen", [1, 5, 4095, 4096, 10_000, 60_000])
@pytest.mark.parametrize("tripped", [False, True])
def test_bytes_that_come_again_are_cut_off(roomy, connect, going_back, seen, tripped):
    """TCP may send what it believes lost together with new bytes."""
    client, ours = connect()
    server, theirs = connect()
    there = roomy.link(ours, theirs).slots[0]
    old = random.Random(seen).randbytes(seen)
    client.sendall(old)
    assert exactly(server, seen) == old
    if tripped:
        roomy.stop(there)
    again = going_back(client, seen)
    again.sendall(old + b"new")
    assert exactly(ours if tripped else server, 3) == b"new"
    assert roomy.moved(there) == seen + (0 if tripped else 3)
    assert not roomy.broken(there)
    assert TcpInfo(ours).received == seen + 3


def test_sequence_numbers_begin_again_at_zero(links, connect, going_back):
    client, ours = connect()
    server, theirs = connect()
    frozen = freeze(client), freeze(ours)
    frozen[0].sending = frozen[1].receiving = 2**32 - 3
    with frozen[0].thaw() as client, frozen[1].thaw() as ours:
        link = links.link(ours, theirs)
        client.sendall(b"one")
        assert exactly(server, 3) == b"one"
        client.sendall(b"two")
        assert exactly(server, 3) == b"two"
        with going_back(client, 5) as again:
            again.sendall(b"netwothree")
            assert exactly(server, 5) == b"three"
        assert not links.broken(link.slots[0])


@pytest.mark.parametrize("off", [-1, 100_000])
def test_bytes_that_are_missing_break_the_link(links, linked, off):
    """As if the one before had been lost on its way to the program, or were longer than any."""
    linked.client.sendall(b"first")
    assert exactly(linked.server, 5) == b"first"
    links._gates.words[linked.there * GATE_WORDS + NEXT] += off
    linked.client.sendall(b"second")
    linked.client.sendall(b"third")
    assert select.select([links.ring_fd], [], [], 2)[0]
    assert told(links) == [linked.there]
    assert links.broken(linked.there)
    linked.server.settimeout(0.05)
    linked.ours.settimeout(0.05)
    for sock in linked.server, linked.ours:
        with pytest.raises(TimeoutError):
            sock.recv(1)
    assert links.moved(linked.there) == 5


def test_a_fin_is_not_passed_on_and_does_not_trip(links, linked):
    linked.client.sendall(b"last")
    linked.client.shutdown(socket.SHUT_WR)
    assert linked.server.recv(100) == b"last"
    linked.server.settimeout(0.05)
    with pytest.raises(TimeoutError):
        linked.server.recv(1)
    assert linked.ours.recv(1) == b""
    assert (links.moved(linked.there), links.tripped(linked.there)) == (4, False)
    assert told(links) == []


def test_a_fin_behind_a_writer_that_is_full_does_not_break_the_way_back(links, connect):
    """Its empty message would wait behind what is unsent, where it counts as an error."""
    client, ours = connect()
    server, theirs = connect()
    theirs.setblocking(False)
    sent = 0
    while True:
        try:
            sent += theirs.send(bytes(65_536))
        except BlockingIOError:
            break
    link = links.link(ours, theirs)
    client.sendall(b"waits")
    client.shutdown(socket.SHUT_WR)
    while sent:
        sent -= len(server.recv(min(sent, 1 << 20)))
    assert server.recv(100) == b"waits"
    server.sendall(b"answer")
    assert client.recv(100) == b"answer"
    assert links.moved(link.slots[0]) == 5


def test_a_socket_without_a_slot_is_left_to_user_space(links, linked):
    links._slots.discard(linked.link.cookies[0])
    linked.client.sendall(b"whose?")
    assert linked.ours.recv(100) == b"whose?"
    assert links.moved(linked.there) == 0


def test_pairs_do_not_meet(links, connect):
    pairs = []
    for _ in range(4):
        client, ours = connect()
        server, theirs = connect()
        links.link(ours, theirs)
        pairs.append((client, server))
    for number, (client, _) in enumerate(pairs):
        client.sendall(b"%d" % number)
    for number, (_, server) in enumerate(pairs):
        assert server.recv(100) == b"%d" % number
