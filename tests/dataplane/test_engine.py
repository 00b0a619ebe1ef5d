"""Orders do what they say, and the books agree with the truth."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane.counters import Header, Listener
from tests.dataplane.support import (
    a_rig,
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

pytestmark = pytest.mark.both_movers


async def test_a_swapped_split_moves_new_connections_and_keeps_old_ones(rig):
    stable, canary = rig.listening(), rig.listening()
    rig.upstreams(upstream(1, port_of(stable)), upstream(2, port_of(canary)))
    port = rig.open(listener(1, {1: 100, 2: 0}))
    client, end = await rig.pair(port, stable)
    rig.order(m.UpdateListeners((listener(1, {1: 0, 2: 100}),)))
    await rig.pair(port, canary)
    await send(client, b"old")
    assert await receive(end, 3) == b"old"
    assert rig.books.ends() == {}
    rig.order(m.UpdateListeners((listener(1, {2: 1}),)))
    await send(client, b"older")
    assert await receive(end, 5) == b"older"
    await until(lambda: rig.books.route(1) == (1, 0, 8, 0))


async def test_shares_are_right_before_and_after_a_reweigh(rig):
    stable, canary = rig.listening(), rig.listening()
    rig.upstreams(upstream(1, port_of(stable)), upstream(2, port_of(canary)))
    port = rig.open(listener(1, {1: 90, 2: 10}))
    for _ in range(200):
        await rig.connect(port)
    await until(lambda: rig.books.route(1)[0] + rig.books.route(2)[0] == 200)
    assert rig.books.route(2)[0] == pytest.approx(20, abs=2)
    rig.order(m.UpdateListeners((listener(1, {1: 50, 2: 50}),)))
    for _ in range(200):
        await rig.connect(port)
    await until(lambda: rig.books.route(1)[0] + rig.books.route(2)[0] == 400)
    assert rig.books.route(2)[0] == pytest.approx(120, abs=4)
    assert rig.books.ends() == {}


async def test_an_adopted_connection_is_served_like_any_other(rig):
    _, server = rig.serve()
    elsewhere = rig.listening()
    client = await rig.connect(port_of(elsewhere))
    accepted = await rig.accept(elsewhere)
    await send(client, b"before")
    rig.order(m.Adopt(1, 1), accepted.fileno())
    end = await rig.accept(server)
    assert await receive(end, 6) == b"before"
    # Control still has its own descriptor: that must not disturb the epoll.
    client.close()
    end.close()
    await rig.quiet()
    assert rig.books.ends() == {"done": 1}
    assert rig.books.accepted() == 1


async def test_an_adopted_connection_that_ended_leaves_the_epoll_though_control_has_it_too(rig):
    _, server = rig.serve()
    elsewhere = rig.listening()
    client = await rig.connect(port_of(elsewhere))
    accepted = await rig.accept(elsewhere)
    rig.order(m.Adopt(1, 1), accepted.fileno())
    await rig.accept(server)
    await until(lambda: rig.books.route()[0] == 1)
    rig.order(m.EndConnections((1,), "kill", 0, forget=False))
    await send(client, b"nobody reads this")
    assert rig.engine._pump._epoll.poll(0.05) == []


async def test_adopting_for_an_unknown_listener_resets_and_reports(rig):
    elsewhere = rig.listening()
    client = await rig.connect(port_of(elsewhere))
    accepted = await rig.accept(elsewhere)
    rig.order(m.Adopt(5, 1), accepted.fileno())
    accepted.close()
    assert await was_reset(client)
    assert rig.notices("internal")


async def test_stopping_with_sweep_serves_those_who_queue(rig):
    port, server = rig.serve()
    shared = rig.keep(rig.engine._listeners[1].sock.dup())
    rig.engine._loop.remove_reader(rig.engine._acceptor._epoll.fileno())
    clients = [await rig.connect(port) for _ in range(10)]
    rig.order(m.StopListeners((1,), sweep=True))
    assert rig.said(m.Stopped) == [m.Stopped((1,))]
    shared.close()
    for client in clients:
        await send(client, b"queued")
    for _ in clients:
        assert await receive(await rig.accept(server), 6) == b"queued"
    assert rig.engine._listeners[1].sock is None
    rig.engine._loop.add_reader(rig.engine._acceptor._epoll.fileno(), rig.engine._acceptor._ready)


async def test_a_sweep_short_of_descriptors_goes_on_as_they_come_free(rig):
    port, server = rig.serve()
    client, end = await rig.pair(port, server)
    rig.engine._acceptor._limit = 16 + 2 + rig.engine._relay.descriptors
    waiting = await rig.connect(port)
    rig.order(m.StopListeners((1,), sweep=True))
    await asyncio.sleep(0.05)
    assert rig.said(m.Stopped) == []
    client.close()
    end.close()
    end = await rig.accept(server)
    await send(end, b"after all")
    assert await receive(waiting, 9) == b"after all"
    waiting.close()
    end.close()
    await until(lambda: rig.said(m.Stopped))


async def test_a_sweep_does_not_take_longer_than_its_second(rig, monkeypatch):
    monkeypatch.setattr("tenantproxy.dataplane.stopping.SWEEP_S", 0.1)
    port, _ = rig.serve()
    rig.engine._acceptor._limit = 0
    await rig.connect(port)
    rig.order(m.StopListeners((1, 99), sweep=True))
    await until(lambda: rig.said(m.Stopped))
    assert rig.said(m.Stopped) == [m.Stopped((1, 99))]


async def test_stopping_without_sweep_is_answered_at_once(rig):
    rig.serve()
    rig.order(m.StopListeners((1,), sweep=False))
    assert rig.said(m.Stopped) == [m.Stopped((1,))]


async def test_a_stopped_listener_opens_again_and_counts_on(rig):
    port, server = rig.serve()
    client, end = await rig.pair(port, server)
    rig.order(m.StopListeners((1,), sweep=False))
    again = rig.open(listener(1, {1: 1}))
    await rig.pair(again, server)
    await send(client, b"x")
    assert await receive(end, 1) == b"x"
    assert rig.books.accepted() == 2
    assert rig.said(m.Opened) == [m.Opened((1,)), m.Opened((1,))]


async def test_opening_without_enough_descriptors_opens_those_that_came(rig):
    sock = rig.listening()
    orders = (listener(1, {1: 1}), listener(2, {1: 1}))
    rig.order(m.OpenListeners(orders), sock.fileno())
    assert rig.said(m.Opened) == [m.Opened((1,))]
    assert "tenant/listener-2" in rig.notices("fd_limit")[0].detail


async def test_a_dropped_upstream_counts_no_more_into_its_block(rig):
    port, server = rig.serve()
    await rig.pair(port, server)
    await until(lambda: rig.books.route()[0] == 1)
    gone = rig.engine._upstreams[1]
    rig.order(m.DropUpstreams((1, 50)))
    gone.failed("refused")
    assert rig.books.errors() == {}


async def test_endpoints_that_stay_keep_their_live_counts(rig):
    a, b = rig.listening(), rig.listening()
    rig.upstreams(upstream(1, port_of(a), balance="least_connections"))
    port = rig.open(listener(1, {1: 1}))
    for _ in range(3):
        await rig.pair(port, a)
    rig.upstreams(upstream(1, port_of(a), port_of(b), balance="least_connections"))
    for _ in range(3):
        await rig.pair(port, b)
    await rig.connect(port)
    await rig.connect(port)
    await rig.accept(a)
    await rig.accept(b)


async def test_the_books_equal_the_truth_after_a_mixed_crowd(rig):
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server)), upstream(2))
    port = rig.open(listener(1, {1: 3, 2: 1}))
    dice = random.Random(6)
    sent = got = 0
    outcomes = {"done": 0, "client_reset": 0, "upstream_reset": 0, "!no_endpoint": 0}
    for _ in range(120):
        client = await rig.connect(port)
        before = rig.books.route()[0]
        await until(
            lambda: (
                rig.books.route()[0] > before  # noqa: B023
                or rig.books.ends().get("!no_endpoint", 0) > outcomes["!no_endpoint"]
            )
        )
        if rig.books.ends().get("!no_endpoint", 0) > outcomes["!no_endpoint"]:
            outcomes["!no_endpoint"] += 1
            assert await was_reset(client)
            continue
        end = await rig.accept(server)
        there, back = dice.randrange(50_000), dice.randrange(50_000)
        await asyncio.gather(send(client, bytes(there)), receive(end, there))
        await asyncio.gather(send(end, bytes(back)), receive(client, back))
        sent, got = sent + there, got + back
        how = dice.choice(["done", "client_reset", "upstream_reset"])
        outcomes[how] += 1
        if how == "client_reset":
            reset(client)
            assert await was_reset(end)
        elif how == "upstream_reset":
            reset(end)
            assert await was_reset(client)
        else:
            client.close()
            assert await receive_all(end) == b""
            end.close()
        await rig.quiet()
    assert rig.books.ends() == {name: count for name, count in outcomes.items() if count}
    served = 120 - outcomes["!no_endpoint"]
    assert rig.books.route() == (served, served, sent, got)
    assert rig.books.accepted() == 120
    assert rig.books.counters.listener(1)[Listener.LAST_MS] > 0


async def test_closing_the_engine_resets_everybody_and_keeps_the_books():
    with a_rig() as rig:
        port, server = rig.serve()
        client, end = await rig.pair(port, server)
        await until(lambda: rig.books.route()[0] == 1)
        rig.upstreams(upstream(2, await rig.black_hole()))
        connecting = await rig.connect(rig.open(listener(2, {2: 1})))
        rig.upstreams(upstream(3))
        held = await rig.connect(rig.open(listener(3, {3: 1}, hold_s=60.0)))
        await until(lambda: rig.engine.flows == 3)
        books = rig.books
        rig.engine.close()
        for sock in (client, end, connecting, held):
            assert await was_reset(sock)
        assert books.ends(1) == {"shutdown": 1}
        assert books.ends(2) == books.ends(3) == {"!shutdown": 1}
        assert books.counters.header()[Header.CONNECTIONS] == 0
        rig.engine.close = lambda: None
        del books


async def test_gauges_of_the_header_live(rig):
    port, server = rig.serve()
    await rig.pair(port, server)
    await until(lambda: rig.books.counters.header()[Header.CONNECTIONS] == 1)
    first = rig.books.counters.header()
    assert first[Header.HEARTBEAT_MS] > 0
    assert first[Header.FDS_FREE] > 0
    await until(lambda: rig.books.counters.header()[Header.HEARTBEAT_MS] > first[4])


async def test_descriptors_of_an_order_that_takes_none_are_closed(rig):
    read, write = os.pipe()
    rig.order(m.Quit(), write)
    os.close(write)
    assert os.read(read, 1) == b""
    os.close(read)


async def test_an_order_that_makes_no_sense_is_reported_and_the_rest_goes_on(rig):
    port, server = rig.serve()
    rig.order(m.UpdateListeners((listener(1, {1: 0}),)))
    assert "a split needs" in rig.notices("internal")[0].detail
    await rig.pair(port, server)


async def test_asked_for_the_pump_it_says_that_it_pumps(rig):
    rig.order(m.SetRelay("pump", 1))
    assert rig.said(m.Relay) == [m.Relay("pump", "asked for the pump")]
