"""Draining and idle timeouts take connections at their time, not before."""

from __future__ import annotations

import asyncio

import pytest

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane import ending
from tenantproxy.dataplane import messages as m
from tests.dataplane.support import listener, receive, receive_all, send, until, was_reset

pytestmark = pytest.mark.both_movers


def end(mode: str, window_s: float = 0.0, *, forget: bool = False) -> m.EndConnections:
    return m.EndConnections((1,), mode, window_s, forget=forget)


async def test_a_drain_is_spread_and_takes_the_longest_silent_first(rig):
    port, server = rig.serve()
    pairs = [await rig.pair(port, server) for _ in range(5)]
    await until(lambda: rig.books.route()[0] == 5)
    order = [3, 1, 4, 0, 2]
    for spoke, number in enumerate(order, 1):
        await asyncio.sleep(0.01)
        await send(pairs[number][0], b"x")
        await receive(pairs[number][1], 1)
        await until(lambda: rig.books.route()[2] == spoke)  # noqa: B023
    rig.order(m.StopListeners((1,), sweep=True))
    start_s = monotonic_s()
    rig.order(end("drain", 0.5))
    ended: list[tuple[float, int]] = []

    async def wait_for(number: int) -> None:
        assert await receive_all(pairs[number][0]) == b""
        ended.append((monotonic_s() - start_s, number))

    await asyncio.gather(*map(wait_for, range(5)))
    assert [number for _, number in ended] == order
    for i, (at_s, _) in enumerate(ended):
        assert at_s >= 0.5 * (i + 1) / 5 - 0.005
    assert ended[-1][0] - ended[0][0] > 0.3
    assert rig.books.ends() == {"drained": 5}
    assert rig.said(m.Drained) == [m.Drained((1,))]


async def test_a_drain_of_connections_that_end_by_themselves_is_over_with_the_last(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    rig.order(end("drain", 60.0))
    await send(client, b"goes on")
    assert await receive(upstream_end, 7) == b"goes on"
    client.close()
    upstream_end.close()
    await until(lambda: rig.said(m.Drained))
    assert rig.books.ends() == {"done": 1}


async def test_a_drained_connection_with_pending_bytes_is_reset_not_cut_short(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    sending = asyncio.ensure_future(send(upstream_end, bytes(32 << 20)))
    (flow,) = rig.engine._listeners[1].flows
    await until(lambda: flow.client.pending is not None)
    rig.order(end("drain", 0.02))
    await rig.quiet()
    assert await was_reset(client)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


async def test_opening_again_cancels_a_drain(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    rig.order(m.StopListeners((1,), sweep=False))
    rig.order(end("drain", 0.1, forget=True))
    rig.open(listener(1, {1: 1}))
    await asyncio.sleep(0.2)
    await send(client, b"alive")
    assert await receive(upstream_end, 5) == b"alive"
    assert rig.said(m.Drained) == []


async def test_keep_leaves_them_and_says_when_the_last_has_gone(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    rig.order(m.StopListeners((1,), sweep=False))
    rig.order(end("keep", forget=True))
    await asyncio.sleep(0.05)
    await send(client, b"kept")
    assert await receive(upstream_end, 4) == b"kept"
    assert rig.said(m.Drained) == []
    client.close()
    upstream_end.close()
    await until(lambda: rig.said(m.Drained))
    assert 1 not in rig.engine._listeners


async def test_kill_resets_both_sides_at_once(rig):
    port, server = rig.serve()
    client, upstream_end = await rig.pair(port, server)
    rig.order(m.StopListeners((1,), sweep=False))
    rig.order(end("kill", forget=True))
    assert rig.said(m.Drained) == [m.Drained((1,))]
    assert await was_reset(client)
    assert await was_reset(upstream_end)
    assert rig.books.ends() == {"killed": 1}
    assert rig.engine._listeners == {}


async def test_kill_in_the_middle_of_a_drain_answers_once_more_and_forgets(rig):
    port, server = rig.serve()
    await rig.pair(port, server)
    rig.order(m.StopListeners((1,), sweep=False))
    rig.order(end("drain", 60.0, forget=True))
    rig.order(end("kill", forget=True))
    assert rig.said(m.Drained) == [m.Drained((1,))]
    assert rig.notices("internal") == []
    assert rig.books.ends() == {"killed": 1}


async def test_with_none_left_it_is_answered_at_once_unknown_ones_too(rig):
    rig.serve()
    rig.order(m.EndConnections((1, 77), "drain", 60.0, forget=False))
    (answer,) = rig.said(m.Drained)
    assert set(answer.ids) == {1, 77}


async def test_a_silent_connection_ends_at_the_idle_timeout_and_a_talking_one_does_not(
    rig, monkeypatch
):
    monkeypatch.setattr(ending, "IDLE_PERIOD_MIN_S", 0.02)
    port, server = rig.serve(idle_timeout_s=0.6)
    silent, _ = await rig.pair(port, server)
    talking, talking_end = await rig.pair(port, server)
    reading = asyncio.ensure_future(receive_all(silent))
    for _ in range(18):
        await send(talking_end, b"x")
        await receive(talking, 1)
        await asyncio.sleep(0.05)
    assert reading.done()
    assert rig.books.ends() == {"idle_timeout": 1}


async def test_a_shorter_idle_timeout_holds_from_the_update_on(rig, monkeypatch):
    monkeypatch.setattr(ending, "IDLE_PERIOD_MIN_S", 0.02)
    port, server = rig.serve(idle_timeout_s=3600.0)
    client, _ = await rig.pair(port, server)
    rig.order(m.UpdateListeners((listener(1, {1: 1}, idle_timeout_s=0.1),)))
    assert await receive_all(client) == b""
    assert rig.books.ends() == {"idle_timeout": 1}


async def test_kept_connections_still_have_their_idle_timeout(rig, monkeypatch):
    monkeypatch.setattr(ending, "IDLE_PERIOD_MIN_S", 0.02)
    port, server = rig.serve(idle_timeout_s=0.2)
    client, _ = await rig.pair(port, server)
    rig.order(m.StopListeners((1,), sweep=False))
    rig.order(end("keep", forget=True))
    assert await receive_all(client) == b""
    await until(lambda: rig.said(m.Drained))
    assert rig.books.ends() == {"idle_timeout": 1}
