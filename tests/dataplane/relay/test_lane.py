"""The accounts of one direction, on real sockets."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import pytest

from tenantproxy.dataplane.flow import Half
from tenantproxy.dataplane.relay import gates
from tenantproxy.dataplane.relay.gates import GATE_WORDS
from tenantproxy.dataplane.relay.lane import Lane, MoreThanReceived
from tenantproxy.dataplane.relay.links import Links
from tests.dataplane.relay.conftest import CREDIT, ONE, Linked, exactly
from tests.dataplane.support import reset


@dataclass
class Both:
    linked: Linked
    links: Links
    there: Lane
    back: Lane


@pytest.fixture
def lanes(links, connect) -> Both:
    """Both lanes of a pair that had talked before it was linked."""
    client, ours = connect()
    server, theirs = connect()
    for a, b, c, d in ((client, ours, theirs, server), (server, theirs, ours, client)):
        a.sendall(b"before")
        c.sendall(b.recv(100))
        d.recv(100)
    halves = [Half(sock, sock.fileno(), None) for sock in (ours, theirs)]
    halves[0].peer, halves[1].peer = halves[1], halves[0]
    for half in halves:
        half.cell = memoryview(array("Q", [6, 0]))
    there, back = Lane(links, *halves, syn=0), Lane(links, *halves[::-1], syn=0)
    link = links.link(ours, theirs)
    there.opposite, back.opposite = back, there
    there.slot, back.slot = link.slots
    return Both(Linked(client, ours, theirs, server, link), links, there, back)


def test_what_moved_is_counted_once(lanes):
    lane = lanes.there
    lanes.linked.client.sendall(bytes(100))
    exactly(lanes.linked.server, 100)
    lane.count(1234)
    assert (list(lane.source.cell), lane.source.last_ms) == ([106, 1234], 1234)
    lane.count(5678)
    assert (list(lane.source.cell), lane.source.last_ms) == ([106, 1234], 1234)


def test_after_a_stop_the_count_is_final(lanes):
    lanes.linked.client.sendall(bytes(100))
    lanes.there.stop(1)
    lanes.linked.client.sendall(bytes(100))
    assert len(exactly(lanes.linked.ours, 100)) == 100
    lanes.there.count(2)
    assert list(lanes.there.source.cell) == [106, 1]


def test_a_stop_of_a_closed_socket_counts_too(lanes):
    lanes.linked.client.sendall(bytes(100))
    exactly(lanes.linked.server, 100)
    lanes.linked.ours.close()
    lanes.there.stop(1)
    assert lanes.there.counted == 100


def test_it_is_written_when_the_destination_took_all_of_it(lanes, monkeypatch):
    lane = lanes.there
    assert lane.is_written()
    lanes.linked.client.sendall(bytes(100))
    exactly(lanes.linked.server, 100)
    lane.stop(1)
    assert lane.is_written()
    lane.counted += 1
    assert not lane.is_written()


def test_a_destination_that_was_reset_is_waited_for_no_longer(lanes):
    lane = lanes.there
    lane.counted = 1000
    assert not lane.is_written()
    reset(lanes.linked.server)
    assert lane.is_written()


def say(lanes: Both, size: int, answer: bytes = b"ok") -> None:
    """Send so much from the client, and let the server answer."""
    lanes.linked.client.sendall(bytes(size))
    exactly(lanes.linked.server, size)
    lanes.linked.server.sendall(answer)
    exactly(lanes.linked.client, len(answer))


def test_a_conversation_gets_credit_again(lanes):
    for _ in range(10):
        say(lanes, CREDIT // 2)
        assert lanes.there.grant()
        assert lanes.back.grant()
    assert not lanes.links.tripped(lanes.there.slot)


def test_credit_given_again_is_no_more_than_the_first(lanes):
    linked, lane = lanes.linked, lanes.there
    say(lanes, 1000)
    assert lane.grant()
    linked.client.sendall(bytes(ONE))
    exactly(linked.server, ONE)
    assert not lanes.links.tripped(lane.slot)
    linked.client.sendall(b"!")
    assert linked.ours.recv(1) == b"!"


def test_without_a_word_back_there_is_no_credit(lanes):
    linked, lane = lanes.linked, lanes.there
    linked.server.sendall(b"ok")
    exactly(linked.client, 2)
    assert lane.grant()
    linked.client.sendall(bytes(CREDIT // 2))
    exactly(linked.server, CREDIT // 2)
    assert not lane.grant()
    assert not lane.grant()
    linked.server.sendall(b"ok")
    exactly(linked.client, 2)
    assert lane.grant()


def test_while_something_is_unwritten_no_more_is_free_than_is_known_for_sure(lanes):
    """What the last grant saw with all it took, and the bytes written since."""
    lane = lanes.there
    say(lanes, 100)
    assert lane.grant()
    freed = lanes.links.charged(lane.slot)
    say(lanes, 100)
    lane.wrote += 1  # as if the last byte were not written
    assert lane.grant()
    assert credit_of(lanes) == freed + 99 + CREDIT
    lane.wrote -= 1
    say(lanes, 100)
    assert lane.grant()
    assert credit_of(lanes) == lanes.links.charged(lane.slot) + CREDIT


def test_while_what_the_last_grant_saw_is_unwritten_there_is_no_credit(lanes):
    lane = lanes.there
    say(lanes, 100)
    assert lane.grant()
    say(lanes, 100)
    lane.wrote += 101
    assert not lane.grant()
    lane.wrote -= 1
    assert lane.grant(), "the word that came back before counts still"


def credit_of(lanes: Both) -> int:
    return lanes.links._gates.words[lanes.there.slot * GATE_WORDS + gates.CREDIT]


def test_bytes_that_were_received_and_not_handed_out_are_late(lanes):
    linked, lane = lanes.linked, lanes.there
    linked.client.sendall(bytes(10))
    lane.stop(1)
    linked.client.sendall(b"passed")
    linked.client.close()
    assert exactly(linked.ours, 6) == b"passed"
    assert linked.ours.recv(1) == b""
    assert lane.is_late()
    lane.passed = 6
    assert not lane.is_late()


def test_more_bytes_than_were_received_are_an_error(lanes):
    linked, lane = lanes.linked, lanes.there
    linked.client.sendall(bytes(10))
    lane.stop(1)
    linked.client.close()
    assert linked.ours.recv(1) == b""
    assert not lane.is_late()
    lane.passed = 2
    with pytest.raises(MoreThanReceived, match="18 bytes of 17"):
        lane.is_late()
