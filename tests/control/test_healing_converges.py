"""Whatever happens in whatever order, workers are told what the model says of it in the end."""

import asyncio
from unittest.mock import patch

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantproxy.control import healing
from tenantproxy.discovery.source import Address, Failed, Found
from tenantproxy.model.endpoints import Standing, choose, ramp, scaled_weight
from tenantproxy.model.spec import Discovery, HealthRule, OutlierRule, TcpCheck, UpstreamSpec
from tests.control.healing_support import FakeProber, a_rig
from tests.control.support import until

WORKERS = 2


@pytest.fixture(scope="module", autouse=True)
def a_loop_before():
    """The first loop of a process opens a pipe that libuv keeps for all that follow."""
    uvloop.run(asyncio.sleep(0))


places = st.integers(0, 5)
specs = st.builds(
    UpstreamSpec,
    tenant=st.just("acme"),
    name=st.just("v1"),
    discovery=st.just(Discovery("srv", "_web._tcp")),
    health=st.sampled_from([None, HealthRule(tcp=TcpCheck(), fall=2, rise=2)]),
    outlier=st.sampled_from(
        [None, OutlierRule(2, eject_for_s=0.001, max_ejected=1.0), OutlierRule(1, max_ejected=0.5)]
    ),
    panic_below=st.sampled_from([0.0, 0.5, 1.0]),
    warm=st.integers(0, 3),
    slow_start_s=st.sampled_from([0.0, 1000.0]),
)
addresses = st.builds(
    lambda n, weight, priority: Address(f"192.0.2.{n}", 80, weight, priority),
    places,
    st.integers(1, 9),
    st.integers(0, 1),
)
deeds = st.one_of(
    st.tuples(st.just("set"), specs),
    st.tuples(st.just("found"), st.lists(addresses, unique_by=lambda a: a.host, max_size=6)),
    st.tuples(st.just("failed"), st.none()),
    st.tuples(st.just("check"), st.tuples(places, st.booleans())),
    st.tuples(
        st.just("outcome"), st.tuples(places, st.integers(0, 4), st.integers(0, WORKERS - 1))
    ),
    st.tuples(st.just("use"), st.integers(1, 3)),
    st.tuples(st.just("release"), st.integers(1, 3)),
    st.tuples(st.just("lost"), st.integers(0, WORKERS - 1)),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.003])),
)


async def do(rig, deed, value):
    spec = next(iter(rig.upstreams.by_key.values())).spec
    endpoints = rig.one(spec).endpoints
    match deed, value:
        case "set", new:
            rig.upstreams.set(new)
        case "found", some:
            await rig.sources.say("v1", Found(tuple(some)))
        case "failed", _:
            await rig.sources.say("v1", Failed("no answer"))
        case "check", (number, passed):
            if (one := endpoints.get((f"192.0.2.{number}", 80))) is not None:
                rig.prober.tell(one.id, passed)
        case "outcome", (number, failures, worker):
            if f"192.0.2.{number}" in [host for host, _ in endpoints]:
                place = [host for host, _ in endpoints].index(f"192.0.2.{number}")
                rig.fail(spec, place, failures, worker)
        case "use", listener:
            rig.wake(spec, listener)
        case "release", listener:
            rig.upstreams.release(listener)
        case "lost", worker:
            rig.upstreams.worker_lost(worker)
        case "wait", how_long_s:
            await asyncio.sleep(how_long_s)


def agrees(rig):
    """Look at everything from outside: orders, who is checked, who is followed, what is pending."""
    [one] = rig.upstreams.by_key.values()
    spec = one.spec
    everyone = list(one.endpoints.values())
    watched = {e.id for e in everyone} if one.awake and spec.health and one.sent else set()
    assert set(rig.prober.watched) == watched
    assert rig.sources.following.get("v1", 0) == (1 if one.awake else rig.looks(one))
    if not one.sent:
        assert rig.fleet.known == {}
        return
    assert [e.address for e in everyone] == list(one.places().values())
    assert len({e.block for e in everyone}) == len(everyone)
    standings = [Standing(e.id, e.health.state, e.address.priority) for e in everyone]
    choice, order = choose(standings, spec.panic_below), rig.order(spec)
    assert tuple(e.id for e in order.endpoints) == choice.used
    assert (order.healthy, one.panic) == (choice.healthy, choice.panic)
    assert order.warm == (-(-spec.warm // WORKERS) if one.awake else 0)
    assert order.report == (spec.outlier is not None)
    by_id = {e.id: e for e in everyone}
    for told in order.endpoints:
        endpoint = by_id[told.id]
        assert (told.host, told.block) == (endpoint.address.host, endpoint.block)
        if not spec.slow_start_s or all(e.health.ramp_from_s is None for e in everyone):
            assert told.weight == endpoint.address.weight
        elif endpoint.health.ramp_from_s is None:
            assert told.weight == scaled_weight(endpoint.address.weight, 1.0)
        else:
            assert told.weight <= scaled_weight(endpoint.address.weight, ramp(60.0, 1000.0))
    ejected = any(e.health.ejected_until_s for e in everyone)
    if one.awake and (ejected or one.ramps):
        assert one.timer is not None
    if not one.awake:
        assert one.timer is None


async def play(first, story):
    with patch.object(healing, "Prober", FakeProber):
        async with a_rig(WORKERS) as rig:
            rig.looks = lambda one: int(one.task is not None and not one.task.done())
            rig.upstreams.set(first)
            for deed, value in story:
                await do(rig, deed, value)
            await rig.told()
            await until(lambda: len(rig.background) <= 1)
            await asyncio.sleep(0.005)
            await rig.told()
            agrees(rig)


@settings(max_examples=300, deadline=None)
@given(specs, st.lists(deeds, max_size=25))
def test_what_workers_know_in_the_end_is_what_the_model_says(first, story):
    uvloop.run(play(first, story))
