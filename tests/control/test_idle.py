"""The idle clock asks when something may have become idle, and not more often."""

import asyncio
import os

import pytest

from tenantproxy import clock
from tenantproxy.control.books import Books
from tenantproxy.control.idle import IdleClock
from tenantproxy.control.listener import Listener
from tenantproxy.dataplane.counters import CounterFile
from tenantproxy.dataplane.counters import Listener as Words
from tenantproxy.model.lifecycle import State
from tenantproxy.model.spec import IdleRule
from tests.control.support import listener, until


class Scene:
    def __init__(self):
        self.file, fd = CounterFile.create("idle")
        os.close(fd)
        self.books = Books([self.file])
        self.asked = 0
        self.verdicts = []
        self.idle = IdleClock(self.books, self.labels, self.act)

    def act(self, one, verdict, since_s):
        one.move(State.DRAINING, "as it would")
        self.verdicts.append((one, verdict, since_s))

    def labels(self, tenant):
        self.asked += 1
        return {}

    def open(self, after_s):
        one = Listener(listener(idle=IdleRule(after_s, "sleep")), 0, 1)
        for state in (State.ASLEEP, State.OPENING, State.OPEN):
            one.move(state, "test")
        one.block, one.open_since_s = self.books.take_listener(), clock.monotonic_s()
        self.idle.opened(one)
        return one

    def word(self, one, word, value):
        self.file.words[self.file.listener_at(one.block) + word] = value


@pytest.fixture
async def scene():
    made = Scene()
    yield made
    made.idle.close()
    made.books.close()


async def test_a_port_without_traffic_gets_its_verdict_once(scene):
    one = scene.open(0.05)
    await until(lambda: scene.verdicts)
    await asyncio.sleep(0.1)
    [(about, verdict, since_s)] = scene.verdicts
    assert about is one
    assert verdict.action == "sleep"
    assert since_s == one.open_since_s


async def test_activity_moves_the_verdict_and_is_not_polled_for(scene):
    one = scene.open(0.2)
    await asyncio.sleep(0.1)
    scene.word(one, Words.LAST_MS, int(clock.monotonic_s() * 1000))
    asked = scene.asked
    await asyncio.sleep(0.15)
    assert scene.verdicts == []
    assert scene.asked == asked + 1
    await until(lambda: scene.verdicts)


async def test_a_live_connection_holds_the_verdict_back(scene):
    one = scene.open(0.05)
    scene.word(one, Words.ACCEPTED, 1)
    await asyncio.sleep(0.2)
    assert scene.verdicts == []
    scene.word(one, Words.CLOSED, 1)
    await until(lambda: scene.verdicts)


async def test_a_port_that_changed_its_state_is_not_looked_at(scene):
    one = scene.open(0.05)
    one.move(State.DRAINING, "test")
    asked = scene.asked
    await asyncio.sleep(0.1)
    assert (scene.asked, scene.verdicts) == (asked, [])
