"""What a worker adds is what control reads, and a dead worker's books are closed."""

from __future__ import annotations

import os

import pytest

from tenantproxy.dataplane import counters as c
from tenantproxy.model.sides import BYTE_BOUNDS, TIME_BOUNDS_S, Side
from tests.dataplane.support import SMALL


@pytest.fixture
def both():
    """Two maps of one file, as in two processes."""
    control, fd = c.CounterFile.create("test", SMALL)
    worker = c.CounterFile(fd, SMALL)
    os.close(fd)
    yield control, worker
    control.close()
    worker.close()


def test_the_layout_has_room_for_every_word():
    assert 2 + len(c.CLOSED_REASONS) + len(c.REJECTED_REASONS) <= c.LISTENER_WORDS
    assert max(c.Route) < c.ROUTE_WORDS
    assert c.Upstream.ERRORS + len(c.CONNECT_ERRORS) <= c.Upstream.CONNECT
    assert c.Upstream.CONNECT + c.HISTOGRAM_WORDS <= c.Upstream.FIRST_BYTE
    assert c.Upstream.FIRST_BYTE + c.HISTOGRAM_WORDS <= c.Upstream.SLOTS
    assert max(c.Upstream) < c.UPSTREAM_WORDS
    assert max(c.Endpoint) < c.ENDPOINT_WORDS
    assert max(c.Signal.OPENED, c.Signal.SILENT) < c.Signal.CONNECT_TIME
    assert c.Signal.BYTES_OUT + c.SIZES <= c.SIGNAL_WORDS
    assert c.Listener.CLOSED + len(c.CLOSED_REASONS) == c.Listener.REJECTED


def test_blocks_do_not_overlap(both):
    control, worker = both
    starts = [
        *(worker.listener_at(i) for i in range(64)),
        *(worker.route_at(i) for i in range(64)),
        *(worker.upstream_at(i) for i in range(64)),
        *(worker.endpoint_at(i) for i in range(512)),
        *(worker.signals_at(i) for i in range(8)),
    ]
    assert starts == sorted(set(starts))
    assert starts[0] == c.HEADER_WORDS
    assert worker.signals_at(7) + c.SIGNAL_WORDS == SMALL.words
    worker.words[worker.listener_at(3) + c.Listener.ACCEPTED] += 5
    worker.words[worker.route_at(63) + c.Route.LAST_OUT_MS] = 7
    worker.words[worker.upstream_at(63)] += 9
    worker.words[c.Header.FDS_FREE] = 11
    assert control.listener(3)[c.Listener.ACCEPTED] == 5
    assert control.route(63) == (0, 0, 0, 0, 0, 7)
    assert control.upstream(63)[c.Upstream.ERRORS] == 9
    assert control.header() == (0, 0, 11, 0, 0, 0)


def test_a_side_has_each_word_of_a_signal_block_once(both):
    control, worker = both
    at = worker.signals_at(1)
    for word in range(c.SIGNAL_WORDS):
        worker.words[at + word] = 1000 + word
    side = c.side_of(control.signals(1))
    counts = side.opened, side.failed, side.ended, side.resets, side.silent
    assert counts == (1000, 1001, 1002, 1003, 1004)
    times, sizes = len(TIME_BOUNDS_S) + 1, len(BYTE_BOUNDS) + 1
    assert list(map(len, side.histograms)) == [*(times,) * 4, *(sizes,) * 2]
    words = [word for histogram in side.histograms for word in histogram]
    assert words == list(range(1008, 1008 + len(words)))


def test_clearing_touches_one_block(both):
    control, worker = both
    for block in range(3):
        for at, length in (
            (worker.listener_at(block), c.LISTENER_WORDS),
            (worker.route_at(block), c.ROUTE_WORDS),
            (worker.upstream_at(block), c.UPSTREAM_WORDS),
            (worker.signals_at(block), c.SIGNAL_WORDS),
        ):
            for i in range(length):
                worker.words[at + i] = 1
    control.clear_listener(1)
    control.clear_route(1)
    control.clear_upstream(1)
    control.clear_signals(1)
    for read in (control.listener, control.route, control.upstream, control.signals):
        assert [set(read(block)) for block in range(3)] == [{1}, {0}, {1}]


def test_settling_closes_what_a_dead_worker_left_open_and_only_that(both):
    control, worker = both
    at = worker.listener_at(2)
    worker.words[at + c.Listener.ACCEPTED] = 10
    worker.words[at + c.Listener.CLOSED] = 6
    worker.words[at + c.Listener.REJECTED] = 1
    worker.words[worker.route_at(4) + c.Route.OPENED] = 9
    worker.words[worker.route_at(4) + c.Route.CLOSED] = 6
    worker.words[worker.signals_at(6) + c.Signal.OPENED] = 7
    worker.words[worker.signals_at(6) + c.Signal.ENDED] = 2
    worker.words[worker.signals_at(7) + c.Signal.OPENED] = 7
    worker.words[c.Header.CONNECTIONS] = 3
    worker.words[c.Header.RELAY_KERNEL] = 2
    for _ in range(2):
        control.settle([2, 3], [4, 5], now_ms=123, signals=[6])
        got = control.listener(2)
        assert got[c.Listener.ACCEPTED] == sum(got[c.Listener.CLOSED :]) == 10
        assert got[c.Listener.CLOSED + c.CLOSED_REASONS.index("worker_died")] == 3
        assert got[c.Listener.LAST_MS] == 123
        assert control.listener(3)[c.Listener.LAST_MS] == 0
        assert control.route(4)[: c.Route.BYTES_IN] == (9, 9)
        assert c.side_of(control.signals(6)) == Side(opened=7, ended=7)
        assert c.side_of(control.signals(7)) == Side(opened=7)
        assert control.header()[c.Header.CONNECTIONS] == 0
        assert control.header()[c.Header.RELAY_KERNEL] == 0
