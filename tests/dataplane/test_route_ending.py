"""Connections of one listener to one upstream are ended, and those of nobody else."""

from __future__ import annotations

import asyncio

import pytest

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane import messages as m
from tests.dataplane.support import (
    listener,
    port_of,
    receive,
    receive_all,
    send,
    until,
    upstream,
    was_reset,
)

pytestmark = pytest.mark.both_movers


class Split:
    """Listener 1 with two upstreams, stable 1 and canary 2, and who is connected where."""

    def __init__(self, rig) -> None:
        self.rig = rig
        self.servers = {1: rig.listening(), 2: rig.listening()}
        rig.upstreams(*(upstream(n, port_of(sock)) for n, sock in self.servers.items()))
        self.port = rig.open(listener(1, {1: 1, 2: 0}))

    async def pair(self, number: int):
        """Return a new connection to this upstream."""
        weights = {1: 1, 2: 0} if number == 1 else {1: 0, 2: 1}
        self.rig.order(m.UpdateListeners((listener(1, weights),)))
        pair = await self.rig.pair(self.port, self.servers[number])
        await self.rig.joined()
        return pair

    def end(self, mode: str, number: int = 2, **about: object) -> None:
        self.rig.order(m.EndRoute(1, number, mode, **about))


@pytest.fixture
def split(rig):
    return Split(rig)


async def alive(pair) -> bool:
    await send(pair[0], b"x")
    return await receive(pair[1], 1) == b"x"


async def ends_in_turn(pairs, start_s) -> list[tuple[float, int]]:
    """Return when each ended, since then, and its number, in that order; each with a FIN."""
    ended: list[tuple[float, int]] = []

    async def wait_for(number: int) -> None:
        assert await receive_all(pairs[number][0]) == b""
        ended.append((monotonic_s() - start_s, number))

    await asyncio.gather(*map(wait_for, range(len(pairs))))
    return ended


def in_time(ended, window_s: float) -> bool:
    """Say whether none came before its turn."""
    count = len(ended)
    return all(at_s >= window_s * (i + 1) / count - 0.005 for i, (at_s, _) in enumerate(ended))


async def test_kill_resets_those_of_the_route_at_once_and_no_others(rig, split):
    stable = await split.pair(1)
    canary = [await split.pair(2) for _ in range(3)]
    split.end("kill")
    assert rig.books.ends() == {"killed": 3}
    for client, end in canary:
        assert await was_reset(client)
        assert await was_reset(end)
    assert await alive(stable)
    assert await alive(await split.pair(2))
    assert rig.said(m.Drained) == []


async def test_the_same_upstream_of_another_listener_is_left_alone(rig, split):
    await split.pair(2)
    other = await rig.pair(rig.open(listener(2, {2: 1})), split.servers[2])
    await rig.joined()
    split.end("kill")
    assert rig.books.ends(2) == {}
    assert await alive(other)


async def test_a_drain_is_spread_over_its_window_and_begins_with_the_longest_silent(rig, split):
    stable = await split.pair(1)
    pairs = [await split.pair(2) for _ in range(4)]
    order = [2, 0, 3, 1]
    for spoke, number in enumerate(order, 1):
        await asyncio.sleep(0.01)
        assert await alive(pairs[number])
        await until(lambda: rig.books.route(2)[2] == spoke)  # noqa: B023
    start_s = monotonic_s()
    split.end("drain", window_s=0.4)
    ended = await ends_in_turn(pairs, start_s)
    assert [number for _, number in ended] == order
    assert in_time(ended, 0.4)
    assert rig.books.ends() == {"drained": 4}
    assert await alive(stable)
    assert rig.engine._route_endings._drains == {}


async def test_who_comes_while_its_route_is_drained_stays(rig, split):
    """A drain is for those that were there; who comes now was sent by a split that names it."""
    await split.pair(2)
    split.end("drain", window_s=0.1)
    late = await split.pair(2)
    await until(lambda: rig.books.ends() == {"drained": 1})
    await until(lambda: rig.engine._route_endings._drains == {})
    assert await alive(late)


async def test_without_a_window_a_drain_is_over_at_once(rig, split):
    await split.pair(2)
    split.end("drain")
    assert rig.books.ends() == {"drained": 1}
    assert rig.engine._route_endings._drains == {}


async def test_rebalancing_ends_the_oldest_first_and_not_more_than_asked(rig, split):
    pairs = [await split.pair(2) for _ in range(5)]
    for number in (0, 1):  # who has talked last is still the oldest
        assert await alive(pairs[number])
    start_s = monotonic_s()
    split.end("rebalance", window_s=0.3, most=3)
    ended = await ends_in_turn(pairs[:3], start_s)
    assert [number for _, number in ended] == [0, 1, 2]
    assert in_time(ended, 0.3)
    assert rig.books.ends() == {"rebalanced": 3}
    for pair in pairs[3:]:
        assert await alive(pair)


async def test_rebalancing_without_a_limit_ends_all_that_it_has_now(rig, split):
    for _ in range(3):
        await split.pair(2)
    split.end("rebalance")
    assert rig.books.ends() == {"rebalanced": 3}


async def test_rebalancing_cuts_no_one_short(rig, split):
    client, end = await split.pair(2)
    sending = asyncio.ensure_future(send(end, bytes(16 << 20)))
    (flow,) = rig.engine._listeners[1].flows
    await until(lambda: flow.client.pending is not None)
    split.end("rebalance")
    assert len(await receive(client, 16 << 20)) == 16 << 20
    await sending
    assert rig.books.ends() == {}


@pytest.mark.parametrize(
    ("mode", "ends"), [("kill", {"!shutdown": 1}), ("drain", {"!shutdown": 1}), ("rebalance", {})]
)
async def test_who_has_no_server_yet_is_given_up_but_for_a_rebalance(rig, split, mode, ends):
    rig.upstreams(upstream(2))
    rig.order(m.StopListeners((1,), sweep=False))
    port = rig.open(listener(1, {2: 1}, hold_s=30.0))
    await rig.connect(port)
    await until(lambda: rig.engine._listeners[1].held == 1)
    split.end("kill", 1)
    assert rig.books.ends() == {}
    split.end(mode)
    assert rig.books.ends() == ends


async def test_who_is_still_connecting_is_not_the_oldest_to_rebalance(rig, split):
    rig.upstreams(upstream(2, await rig.black_hole(), connect_timeout_s=60.0))
    rig.order(m.UpdateListeners((listener(1, {2: 1}),)))
    connecting = await rig.connect(split.port)
    await until(lambda: rig.engine.flows == 1)
    rig.upstreams(upstream(2, port_of(split.servers[2])))
    client, _ = await rig.pair(split.port, split.servers[2])
    await until(lambda: rig.books.route(2)[0] == 1)
    split.end("rebalance", most=1)
    assert rig.books.ends() == {"rebalanced": 1}
    assert await receive_all(client) == b""
    split.end("rebalance")
    assert rig.engine.flows == 1
    split.end("kill")
    assert rig.books.ends() == {"rebalanced": 1, "!shutdown": 1}
    assert await was_reset(connecting)


async def test_another_order_for_the_route_takes_the_place_of_the_one_under_way(rig, split):
    pairs = [await split.pair(2) for _ in range(2)]
    split.end("drain", window_s=0.2)
    split.end("rebalance", window_s=60.0, most=1)
    await asyncio.sleep(0.4)
    assert rig.books.ends() == {}
    split.end("kill", most=1)
    assert rig.books.ends() == {"killed": 1}
    assert rig.engine._route_endings._drains == {}
    (left,) = rig.engine._listeners[1].flows
    assert left.client.sock.getpeername()[1] in {port_of(client) for client, _ in pairs}


async def test_two_routes_are_drained_beside_each_other(rig, split):
    await split.pair(1)
    await split.pair(2)
    split.end("drain", 1, window_s=0.1)
    split.end("rebalance", 2, window_s=0.1)
    await rig.quiet()
    assert rig.books.ends() == {"drained": 1, "rebalanced": 1}


@pytest.mark.parametrize("forget", [False, True])
@pytest.mark.parametrize("mode", ["kill", "drain"])
async def test_a_listener_ends_as_a_whole_while_a_route_is_drained(rig, split, mode, forget):
    await split.pair(1)
    await split.pair(2)
    split.end("drain", window_s=600.0)
    rig.order(m.StopListeners((1,), sweep=True))
    rig.order(m.EndConnections((1,), mode, 0.1, forget=forget))
    await until(lambda: rig.said(m.Drained))
    assert rig.books.ends() == {"killed" if mode == "kill" else "drained": 2}
    assert (1 in rig.engine._listeners) == (not forget)
    assert rig.engine._route_endings._drains == {}


async def test_keeping_the_connections_of_a_stopped_listener_ends_the_drain_of_a_route(rig, split):
    pair = await split.pair(2)
    split.end("drain", window_s=0.1)
    rig.order(m.StopListeners((1,), sweep=True))
    rig.order(m.EndConnections((1,), "keep", 0, forget=True))
    await asyncio.sleep(0.3)
    assert await alive(pair)


async def test_the_last_one_of_a_stopped_listener_may_be_ended_by_its_route(rig, split):
    await split.pair(2)
    rig.order(m.StopListeners((1,), sweep=True))
    rig.order(m.EndConnections((1,), "keep", 0, forget=True))
    split.end("drain", window_s=0.1)
    await until(lambda: rig.said(m.Drained))
    assert rig.books.ends() == {"drained": 1}
    assert rig.engine._listeners == {}
    assert rig.engine._route_endings._drains == {}


async def test_a_listener_forgotten_in_the_middle_of_a_routes_drain_leaves_no_timer(rig, split):
    client, end = await split.pair(2)
    rig.order(m.StopListeners((1,), sweep=True))
    rig.order(m.EndConnections((1,), "keep", 0, forget=True))
    split.end("drain", window_s=600.0)
    client.close()
    end.close()
    await until(lambda: rig.said(m.Drained))
    assert rig.engine._route_endings._drains == {}


async def test_what_is_ordered_of_an_unknown_listener_or_an_empty_route_is_no_matter(rig, split):
    stable = await split.pair(1)
    rig.order(m.EndRoute(77, 1, "kill"))
    for mode in ("kill", "drain", "rebalance"):
        split.end(mode, 2, window_s=60.0)
        split.end(mode, 99)
    assert rig.notices("internal") == []
    assert rig.engine._route_endings._drains == {}
    assert await alive(stable)


async def test_the_engine_may_close_in_the_middle(rig, split):
    await split.pair(2)
    split.end("drain", window_s=600.0)
    rig.engine.close()
    rig.engine.close = lambda: None
    assert rig.engine._route_endings._drains == {}


async def test_the_flows_are_looked_through_once_and_not_for_each_cut(rig, split, monkeypatch):
    class Counted(set):
        passes = 0

        def __iter__(self):
            Counted.passes += 1
            return super().__iter__()

    for _ in range(10):
        await split.pair(2)
    one = rig.engine._listeners[1]
    one.flows = Counted(one.flows)
    split.end("rebalance", window_s=0.2)
    await rig.quiet()
    assert Counted.passes == 1
