"""Workers of one socket let the one with the fewest connections go first, and wait for nobody."""

from __future__ import annotations

import asyncio
import os

import pytest

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane.counters import CounterFile, Header
from tenantproxy.dataplane.peers import ANY, SILENT_MS, SLACK, Peers
from tests.dataplane.support import SMALL, a_rig, listener, port_of, until, upstream

NOW_MS = 1_000_000
FOR_LONG_MS = 3_600_000


@pytest.fixture
def two():
    """The counters of two peers, and what we see of them."""
    files, fds = zip(*(CounterFile.create("peer", SMALL) for _ in range(2)), strict=True)
    peers = Peers(fds, capacity=SMALL)
    for fd in fds:
        os.close(fd)
    yield files[0].words, files[1].words, peers
    peers.close()
    for file in files:
        file.close()


def lives(words, connections, *, at_ms=NOW_MS, fds_free=100):
    words[Header.CONNECTIONS] = connections
    words[Header.HEARTBEAT_MS] = at_ms
    words[Header.FDS_FREE] = fds_free


def test_without_peers_there_is_room_for_any():
    assert Peers().room(10_000, NOW_MS) >= ANY - 10_000


def test_room_is_up_to_a_little_more_than_the_one_with_the_fewest_has(two):
    a, b, peers = two
    lives(a, 50)
    lives(b, 30)
    assert peers.room(30, NOW_MS) == SLACK
    assert peers.room(0, NOW_MS) == 30 + SLACK
    assert peers.room(30 + SLACK, NOW_MS) == 0
    lives(b, 70)
    assert peers.room(30 + SLACK, NOW_MS) == 20


def test_who_is_silent_or_has_no_descriptors_is_not_waited_for(two):
    a, b, peers = two
    lives(a, 50, at_ms=NOW_MS - SILENT_MS + 1)
    lives(b, 0, at_ms=NOW_MS - SILENT_MS)
    assert peers.room(50, NOW_MS) == SLACK
    lives(b, 0, fds_free=1)
    assert peers.room(50, NOW_MS) == SLACK
    lives(a, 0, fds_free=0)
    assert peers.room(50, NOW_MS) > ANY // 2


def test_words_are_added_up_over_all_others(two):
    a, b, peers = two
    at = SMALL.first_upstream + 5
    a[at], b[at] = 7, 8
    assert peers.total(at) == 15
    assert Peers().total(at) == 0


def test_those_that_accept_from_other_sockets_have_no_turn_and_are_added_up_all_the_same():
    file, fd = CounterFile.create("peer", SMALL)
    peers = Peers([fd], shared=False, capacity=SMALL)
    os.close(fd)
    lives(file.words, 0)
    file.words[SMALL.first_upstream] = 3
    assert peers.room(10_000, NOW_MS) >= ANY - 10_000
    assert peers.total(SMALL.first_upstream) == 3
    peers.close()
    file.close()


async def test_a_worker_that_is_ahead_leaves_connections_to_others_and_takes_what_they_leave(two):
    other, _, peers = two
    lives(other, 0, at_ms=int(monotonic_s() * 1000) + FOR_LONG_MS)
    with a_rig(peers) as rig:
        server, shared = rig.listening(), rig.listening()
        rig.upstreams(upstream(1, port_of(server)))
        rig.open(listener(1, {1: 1}), shared)
        for _ in range(SLACK):
            await rig.pair(port_of(shared), server)
        assert rig.books.counters.header()[Header.CONNECTIONS] == SLACK
        for _ in range(5):
            faster = asyncio.ensure_future(rig.accept(shared))
            await asyncio.sleep(0)  # it waits before the connection comes
            await rig.connect(port_of(shared))
            await faster
        assert rig.books.accepted() == SLACK
        for number in range(5):
            await rig.pair(port_of(shared), server)
            assert rig.books.accepted() == SLACK + number + 1


async def test_a_worker_ends_in_the_middle_of_the_others_turn(two, monkeypatch):
    monkeypatch.setattr("tenantproxy.dataplane.acceptor.TURN_S", 0.05)
    other, _, peers = two
    lives(other, 0, at_ms=int(monotonic_s() * 1000) + FOR_LONG_MS)
    with a_rig(peers) as rig:
        port, server = rig.serve()
        for _ in range(SLACK):
            await rig.pair(port, server)
        await rig.connect(port)
        await until(lambda: rig.engine._acceptor._turn)
    await asyncio.sleep(0.1)  # nothing is called that is not there any more
