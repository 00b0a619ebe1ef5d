"""What the kernel does with each message: every branch of the verdict, on real sockets."""

from __future__ import annotations

import socket

import pytest

from tests.dataplane.relay.conftest import CREDIT, exactly


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
    linked.client.sendall(bytes(CREDIT))
    assert exactly(linked.server, CREDIT) == bytes(CREDIT)
    assert not links.tripped(linked.there)
    linked.client.sendall(b"!")
    assert linked.ours.recv(10) == b"!"
    assert links.tripped(linked.there)
    assert links.moved(linked.there) == CREDIT


def test_user_space_is_told_once_when_low_is_passed_and_once_of_the_trip(links, linked):
    for size, tells in (
        (CREDIT * 3 // 4 - 1, []),
        (1, [linked.there]),
        (100, []),
        (CREDIT, [linked.there]),
        (CREDIT, []),
    ):
        linked.client.sendall(bytes(size))
        got = 0
        while got < size:
            ready = linked.ours if links.tripped(linked.there) else linked.server
            got += len(ready.recv(size - got))
        assert told(links) == tells, size


def test_what_comes_after_a_trip_goes_to_user_space_though_it_would_fit(links, linked):
    linked.client.sendall(bytes(CREDIT - 10))
    assert len(exactly(linked.server, CREDIT - 10)) == CREDIT - 10
    linked.client.sendall(bytes(11))
    assert len(linked.ours.recv(100)) == 11
    linked.client.sendall(b"x")
    assert linked.ours.recv(100) == b"x"
    assert links.moved(linked.there) == CREDIT - 10


def test_one_direction_trips_alone(links, linked):
    links.stop(linked.there)
    linked.client.sendall(b"to user space")
    assert linked.ours.recv(100) == b"to user space"
    linked.server.sendall(b"still through")
    assert linked.client.recv(100) == b"still through"
    assert (links.tripped(linked.there), links.tripped(linked.back)) == (True, False)


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
