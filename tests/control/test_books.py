"""Counters over all workers: sums, gauges, and totals that never go down."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.control.books import Blocks, Books
from tenantproxy.dataplane.counters import (
    CLOSED_REASONS,
    REJECTED_REASONS,
    Capacity,
    CounterFile,
    Listener,
    Route,
    Signal,
    Upstream,
)
from tenantproxy.errors import ListenFailed


@pytest.fixture
def books():
    files = []
    for number in range(2):
        file, fd = CounterFile.create(str(number))
        os.close(fd)
        files.append(file)
    found = Books(files)
    yield found
    found.close()


def add(books, worker, at, word, amount):
    books.files[worker].words[at + word] += amount


def test_blocks_are_unique_and_come_back():
    blocks = Blocks(2, "listener")
    assert {blocks.take(), blocks.take()} == {0, 1}
    with pytest.raises(ListenFailed):
        blocks.take()
    blocks.give_back(1)
    assert blocks.take() == 1


def test_a_listener_is_summed_over_workers_and_routes(books):
    block, routes = books.take_listener(), [books.take_route(), books.take_route()]
    at = books.files[0].listener_at(block)
    for worker, (accepted, done, refused) in enumerate([(10, 3, 1), (5, 5, 0)]):
        add(books, worker, at, Listener.ACCEPTED, accepted)
        add(books, worker, at, Listener.CLOSED + CLOSED_REASONS.index("done"), done)
        add(books, worker, at, Listener.REJECTED + REJECTED_REASONS.index("no_endpoint"), refused)
        for route in routes:
            route_at = books.files[0].route_at(route)
            add(books, worker, route_at, Route.BYTES_IN, 100)
            add(books, worker, route_at, Route.BYTES_OUT, 7)
            add(books, worker, route_at, Route.LAST_OUT_MS, 5_000 + worker)
    totals = books.listener_totals(block, map(books.route_totals, routes))
    assert (totals.connections, totals.connections_total) == (6, 15)
    assert (totals.closed["done"], totals.rejected["no_endpoint"]) == (8, 1)
    assert (totals.bytes_in, totals.bytes_out) == (400, 28)
    assert totals.last_activity_s == 5.001
    assert books.activity(block, routes) == (6, 5.001)


def test_a_route_counts_what_its_listener_sent_to_one_upstream(books):
    route = books.take_route()
    for worker in (0, 1):
        at = books.files[worker].route_at(route)
        for word, amount in ((Route.OPENED, 5), (Route.CLOSED, 3), (Route.BYTES_IN, 100)):
            add(books, worker, at, word, amount)
        add(books, worker, at, Route.LAST_IN_MS, 5_000 + worker)
    totals = books.route_totals(route)
    assert (totals.connections, totals.connections_total) == (4, 10)
    assert (totals.bytes_in, totals.bytes_out, totals.last_activity_s) == (200, 0, 5.001)


def test_a_listener_that_never_opened_counts_nothing(books):
    assert books.listener_totals(None, []).connections_total == 0
    assert books.activity(None, []) == (0, 0.0)


def test_what_a_dead_worker_left_open_is_closed_and_nothing_goes_down(books):
    block, route = books.take_listener(), books.take_route()
    add(books, 1, books.files[0].listener_at(block), Listener.ACCEPTED, 4)
    add(books, 1, books.files[0].route_at(route), Route.OPENED, 4)
    add(books, 1, books.files[0].route_at(route), Route.BYTES_IN, 99)
    books.settle(1, [block], [route], 7.0)
    totals = books.listener_totals(block, [books.route_totals(route)])
    assert (totals.connections, totals.connections_total, totals.bytes_in) == (0, 4, 99)
    assert totals.closed["worker_died"] == 4
    books.settle(1, [block], [route], 8.0)
    assert books.listener_totals(block, [books.route_totals(route)]) == totals


def test_an_upstream_keeps_the_counts_of_routes_that_are_gone(books):
    upstream, route = books.take_upstream(), books.take_route()
    at = books.files[0].route_at(route)
    for word, amount in ((Route.OPENED, 3), (Route.CLOSED, 3), (Route.BYTES_OUT, 50)):
        add(books, 0, at, word, amount)
    before = books.upstream_totals(upstream, [route])
    books.drop_route(route, upstream)
    after = books.upstream_totals(upstream, [])
    assert (after.connections_total, after.bytes_out) == (3, 50)
    assert after.connections_total == before.connections_total


def test_a_block_that_is_used_again_begins_at_zero(books):
    block = books.take_listener()
    add(books, 0, books.files[0].listener_at(block), Listener.ACCEPTED, 4)
    books.drop_listener(block)
    assert books.take_listener() == block
    assert books.listener_totals(block, []).connections_total == 0


def test_connect_errors_and_times_are_summed(books):
    block = books.take_upstream()
    at = books.files[0].upstream_at(block)
    for worker in (0, 1):
        add(books, worker, at, Upstream.ERRORS, 2)
        add(books, worker, at, Upstream.CONNECT + 1, 5)
        add(books, worker, at, Upstream.CONNECT + 15, 3_000_000)
    errors, connect, first = books.upstream_details(block)
    assert errors["refused"] == 4
    assert (connect.counts[1], sum(connect.counts), connect.sum_s) == (10, 10, 6.0)
    assert sum(first.counts) == 0


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=120))
def test_a_tenant_never_has_more_endpoints_than_are_left_and_the_last_are_for_others(steps):
    file, fd = CounterFile.create("few", Capacity(1, 1, 1, 16))
    os.close(fd)
    books, held = Books([file]), {tenant: [] for tenant in "abcd"}
    try:
        for tenant, more in steps:
            mine, free = held[tenant], 16 - sum(map(len, held.values()))
            if not more:
                if mine:
                    books.drop_endpoint(mine.pop(), tenant)
            elif free > len(mine) or (free and not mine):
                mine.append(books.take_endpoint(tenant))
            else:
                with pytest.raises(ListenFailed):
                    books.take_endpoint(tenant)
        everything = [block for blocks in held.values() for block in blocks]
        assert len(set(everything)) == len(everything)
    finally:
        books.close()


def test_a_block_rests_before_it_is_used_again_as_long_as_there_are_others():
    blocks = Blocks(5, "signal", rest=2)
    assert [blocks.take() for _ in range(3)] == [0, 1, 2]
    for number in (1, 0, 2):
        blocks.give_back(number)
    assert blocks.take() == 1  # three were free, and it the longest
    assert [blocks.take(), blocks.take()] == [3, 4]
    assert [blocks.take(), blocks.take()] == [0, 2]
    with pytest.raises(ListenFailed):
        blocks.take()


def test_signals_are_summed_over_blocks_and_workers_and_never_begin_anew(books):
    blocks = [books.take_signals(), books.take_signals()]
    assert books.side([]) == books.side(blocks)
    for worker, amount in enumerate((3, 4)):
        at = books.files[0].signals_at(blocks[0])
        add(books, worker, at, Signal.OPENED, amount)
        add(books, worker, at, Signal.BYTES_OUT + 2, 1)
    add(books, 0, books.files[0].signals_at(blocks[1]), Signal.RESETS, 5)
    side = books.side(blocks)
    assert (side.opened, side.resets, side.bytes_out[2]) == (7, 5, 2)
    books.give_back_signals(blocks[0])
    assert books.side(blocks[:1]).opened == 7


def test_live_connections_of_a_route_are_told_by_worker(books):
    route = books.take_route()
    for worker, (opened, closed) in enumerate([(5, 2), (1, 2)]):
        add(books, worker, books.files[0].route_at(route), Route.OPENED, opened)
        add(books, worker, books.files[0].route_at(route), Route.CLOSED, closed)
    assert books.live(route) == (3, 0)
