"""Whatever happens, opened is ended and live, and the parts are those of the whole."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane import signals
from tenantproxy.dataplane.relay import relay
from tests.dataplane.signals_support import (
    JUDGED,
    adds_up,
    live,
)
from tests.dataplane.support import (
    a_rig,
    listener,
    port_of,
    reset,
    upstream,
)
from tests.movers import skip_without_kernel_relay


class Crowd:
    """Does what it is told to connections of listener 1, whose upstream has two servers."""

    def __init__(self, rig) -> None:
        self.rig = rig
        self.servers = rig.listening(), rig.listening()
        rig.upstreams(upstream(1, *map(port_of, self.servers)))
        self.port = rig.open(listener(1, {1: 1}, signals=JUDGED))
        self.ends: list[socket.socket] = []
        self.block = 1

    def judge(self, block: int) -> None:
        """Give the route this signal block, a clean one, as control does."""
        if block not in (self.block, -1):
            self.rig.books.counters.clear_signals(block)
        self.block = block
        self.rig.order(m.UpdateListeners((listener(1, {1: 1}, signals={1: block}),)))

    async def do(self, what: str, which: int) -> None:
        if what == "connect":
            self.ends.append(await self.rig.connect(self.port))
        elif what == "judge":
            self.judge(which % 3 - 1)
        elif what == "forget":
            self.block = -1
            self.rig.order(m.UpdateListeners((listener(1, {2: 1}),)))
        elif what == "kill":
            self.rig.order(m.EndRoute(1, 1, "kill", most=1))
        elif self.ends:
            one = self.ends[which % len(self.ends)]
            try:
                if what == "speak":
                    one.send(b"x" * (which % 500))
                elif what == "read":
                    one.recv(1 << 20)
                elif what == "fin":
                    one.shutdown(socket.SHUT_WR)
                elif what == "reset":
                    self.ends.remove(one)
                    reset(one)
            except OSError:
                pass
        for server in self.servers:
            with contextlib.suppress(BlockingIOError):
                self.ends.append(self.rig.keep(server.accept()[0]))

    async def end(self) -> None:
        """Close every end, of those too that come meanwhile because others were reset."""
        while self.rig.engine.flows or self.ends:
            while self.ends:
                self.ends.pop().close()
            await asyncio.sleep(0)
            await self.do("nothing", 0)


DEEDS = ["connect", "connect", "speak", "speak", "read", "fin", "reset", "kill"]
steps = st.integers(0, 10**6)


@pytest.fixture(params=["pump", "kernel", "trial"])
def any_mover(request, monkeypatch) -> str:
    if request.param != "pump":
        skip_without_kernel_relay()
    if request.param == "kernel":
        monkeypatch.setattr(relay, "ROUND_TRIPS", 0)
    return request.param


@pytest.fixture
def hasty(monkeypatch) -> None:
    """Who has said FIN has left soon after."""
    monkeypatch.setattr(signals, "PATIENCE_S", 0.001)


def run_a_crowd(mover: str, story, check) -> None:
    async def tell() -> None:
        with a_rig() as rig:
            if mover != "pump":
                rig.engine.turn_relay("kernel")
            crowd = Crowd(rig)
            for what, which, pause_s in story:
                await crowd.do(what, which)
                await asyncio.sleep(pause_s)
                check(crowd)
            async with asyncio.timeout(30):
                await crowd.end()
            check(crowd)
            assert rig.notices("internal") == []

    asyncio.run(tell())


def stories(*deeds: str):
    pauses = st.sampled_from([0.0, 0.0, 0.002])
    return st.lists(st.tuples(st.sampled_from(deeds), steps, pauses), min_size=5, max_size=60)


FUZZ = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@FUZZ
@given(story=stories(*DEEDS))
def test_however_connections_end_a_side_says_the_same_as_all_the_other_books(any_mover, story):
    def check(crowd) -> None:
        rig = crowd.rig
        side = rig.books.side()
        opened, closed = rig.books.route()[:2]
        assert (side.opened, side.ended) == (opened, closed)
        assert adds_up(side, live(rig))
        assert side.failed == 0
        # A reset that is no fault is in neither; one that is taken back is in the errors alone.
        ends, errors = rig.books.ends(), rig.books.errors()
        most = ends.get("upstream_reset", 0) + errors.get("early_reset", 0)
        assert side.resets <= most
        assert side.resets >= errors.get("early_reset", 0)

    run_a_crowd(any_mover, story, check)


@pytest.mark.usefixtures("hasty")
@FUZZ
@given(story=stories(*DEEDS, "judge", "judge", "forget"))
def test_whenever_orders_come_opened_is_ended_and_live(any_mover, story):
    """Into a block that was left nothing more is counted, so a block is left as it was."""
    left: dict[int, tuple[int, ...]] = {}
    now = 1

    def check(crowd) -> None:
        nonlocal now
        if crowd.block != now:
            if now >= 0:
                left[now] = crowd.rig.books.counters.signals(now)
            now = crowd.block
            left.pop(now, None)
        for block, words in left.items():
            assert crowd.rig.books.counters.signals(block) == words
        if now >= 0:
            assert adds_up(crowd.rig.books.side(now), live(crowd.rig, now))

    run_a_crowd(any_mover, story, check)
