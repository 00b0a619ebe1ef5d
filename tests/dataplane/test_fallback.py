"""Listeners with `fallback` hear of upstreams that have nobody, and the others of nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane.counters import CounterFile
from tenantproxy.dataplane.fallback import Fallbacks
from tenantproxy.dataplane.listener import Listener
from tests.dataplane.support import listener, port_of, upstream

NOBODY = None
"""Stands for the client's socket, at which nobody looks here."""


def members(one: Listener) -> set[int]:
    """Return the upstreams that get connections."""
    return {one.next_route(NOBODY).upstream_id for _ in range(40)}


def followed(counters: CounterFile) -> tuple[Listener, Fallbacks]:
    """Return a listener that is followed. No fixture: it would outlive the map of the counters."""
    fallbacks = Fallbacks()
    one = Listener(listener(1, {1: 1, 2: 1}, fallback=True), counters)
    fallbacks.follow(one)
    return one, fallbacks


def test_an_upstream_without_a_healthy_endpoint_gives_its_share_away_and_gets_it_back(counters):
    one, fallbacks = followed(counters)
    assert members(one) == {1, 2}
    fallbacks.learn(upstream(1, 80, healthy=0))
    assert members(one) == {2}
    fallbacks.learn(upstream(1, 80, healthy=1))
    assert members(one) == {1, 2}


@pytest.mark.parametrize(
    "endpoints", [(), (m.EndpointOrder(1, 1, "127.0.0.1", 80, 0),)], ids=["none", "weightless"]
)
def test_an_upstream_without_an_endpoint_that_takes_connections_is_dead_too(counters, endpoints):
    one, fallbacks = followed(counters)
    fallbacks.learn(upstream(1, healthy=1, endpoints=endpoints))
    assert members(one) == {2}


def test_when_all_are_dead_each_keeps_its_share(counters):
    one, fallbacks = followed(counters)
    fallbacks.learn(upstream(1, 80, healthy=0))
    fallbacks.learn(upstream(2, 80, healthy=0))
    assert members(one) == {1, 2}


def test_a_listener_that_opens_later_knows_at_once(counters):
    fallbacks = Fallbacks()
    fallbacks.learn(upstream(1, 80, healthy=0))
    late = Listener(listener(2, {1: 1, 3: 1}, fallback=True), counters)
    fallbacks.follow(late)
    assert members(late) == {3}


def test_a_listener_without_fallback_is_not_known_here_and_keeps_its_split(counters):
    fallbacks = Fallbacks()
    plain = Listener(listener(2, {1: 1, 2: 1}), counters)
    fallbacks.follow(plain)
    fallbacks.learn(upstream(1, 80, healthy=0))
    assert members(plain) == {1, 2}
    assert not fallbacks._named
    assert not fallbacks._listeners


def test_a_listener_that_gives_up_fallback_or_names_others_is_told_right(counters):
    one, fallbacks = followed(counters)
    fallbacks.learn(upstream(1, 80, healthy=0))
    one.update(listener(1, {1: 1, 2: 1}))
    fallbacks.follow(one)
    assert members(one) == {1, 2}
    one.update(listener(1, {1: 1, 3: 1}, fallback=True))
    fallbacks.follow(one)
    assert members(one) == {3}
    fallbacks.learn(upstream(3, 80, healthy=0))
    fallbacks.learn(upstream(1, 80, healthy=1))
    assert members(one) == {1}


def test_nothing_is_kept_of_what_is_forgotten(counters):
    one, fallbacks = followed(counters)
    fallbacks.learn(upstream(1, 80, healthy=0))
    fallbacks.forget(one)
    fallbacks.forget(one)
    fallbacks.drop((1, 2))
    assert not fallbacks._named
    assert not fallbacks._listeners
    assert not fallbacks._unhealthy


async def test_connections_go_to_the_other_member_while_one_is_dead(rig):
    one, two = rig.listening(), rig.listening()
    rig.upstreams(upstream(1, port_of(one)), upstream(2, port_of(two)))
    port = rig.open(listener(1, {1: 1, 2: 1}, fallback=True))
    rig.upstreams(upstream(1, port_of(one), healthy=0))
    for _ in range(6):
        await rig.pair(port, two)
    rig.upstreams(upstream(1, port_of(one)), upstream(2, port_of(two), healthy=0))
    for _ in range(6):
        await rig.pair(port, one)
    rig.order(m.UpdateListeners((listener(1, {2: 1, 1: 0}, fallback=True),)))
    for _ in range(3):  # 1 has no weight: it gets nothing by fallback
        await rig.pair(port, two)


async def test_a_listener_that_is_dropped_is_forgotten_and_so_are_upstreams(rig):
    server = rig.listening()
    rig.upstreams(upstream(1, port_of(server)), upstream(2, port_of(server), healthy=0))
    rig.open(listener(1, {1: 1, 2: 1}, fallback=True))
    fallbacks = rig.engine._fallbacks
    assert len(fallbacks._named) == 1
    rig.order(m.StopListeners((1,), sweep=False))
    rig.order(m.EndConnections((1,), "kill", 0.0, forget=True))
    rig.order(m.DropUpstreams((1, 2)))
    assert not fallbacks._named
    assert not fallbacks._unhealthy


class Heard:
    """Stands for a listener and remembers what it was told last."""

    def __init__(self) -> None:
        self.unhealthy: frozenset[int] = frozenset()

    def set_unhealthy(self, upstream_ids):
        self.unhealthy = frozenset(upstream_ids)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(1, 3), st.booleans()),
            st.tuples(st.sets(st.integers(1, 3), min_size=1), st.booleans()),
        ),
        max_size=16,
    )
)
def test_in_whatever_order_things_happen_a_listener_knows_who_of_its_split_is_dead(steps):
    """An upstream becomes healthy or not; the listener gets a split, with or without fallback."""
    fallbacks, one = Fallbacks(), Heard()
    dead: set[int] = set()
    heeds: set[int] = set()
    for what, yes in steps:
        if isinstance(what, int):
            (dead.discard if yes else dead.add)(what)
            fallbacks.learn(upstream(what, 80, healthy=int(yes)))
        else:
            heeds = what if yes else set()
            one.order = listener(1, dict.fromkeys(what, 1), fallback=yes)
            fallbacks.follow(one)
        assert one.unhealthy == heeds & dead
