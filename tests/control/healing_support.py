"""A fleet that only remembers, sources that say what they are told, a prober that nobody asks."""

import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path

from tenantproxy.control.books import Books
from tenantproxy.control.events import Events
from tenantproxy.control.upstreams import Upstreams
from tenantproxy.dataplane.counters import Capacity, CounterFile
from tenantproxy.dataplane.messages import (
    DropUpstreams,
    Outcome,
    SetUpstreams,
    UpstreamOrder,
    encode,
)
from tenantproxy.discovery.source import Address, Found
from tenantproxy.health.target import Result
from tenantproxy.tasks import Background
from tests.control.support import until


class FakeFleet:
    """Knows what every worker would know."""

    def __init__(self, workers):
        self.workers = list(range(workers))
        self.known: dict[int, UpstreamOrder] = {}
        self.sent: list[UpstreamOrder] = []
        self.introduced: dict[int, dict[int, UpstreamOrder]] = {}

    def ready(self):
        return self.workers

    def send(self, index, message, fds=()):
        known = self.introduced.setdefault(index, {})
        known.update({order.id: order for order in message.upstreams})

    def broadcast(self, messages):
        for message in messages:
            encode(message)
            match message:
                case SetUpstreams(upstreams):
                    self.sent += upstreams
                    self.known.update({order.id: order for order in upstreams})
                case DropUpstreams(ids):
                    for number in ids:
                        del self.known[number]


class FakeSources:
    """Makes sources; `say` lets the source of an upstream say something."""

    def __init__(self):
        self.following: dict[str, int] = {}
        """Name of an upstream -> how many follow it now."""
        self.begun: list[str] = []
        self._latest: dict[str, object] = {}
        self._more = asyncio.Condition()
        self._numbers: dict[str, int] = {}

    def of(self, spec):
        return _Source(self, spec.name)

    async def say(self, name, item):
        async with self._more:
            self._latest[name] = item
            self._numbers[name] = self._numbers.get(name, 0) + 1
            self._more.notify_all()
        for _ in range(5):
            await asyncio.sleep(0)


class _Source:
    def __init__(self, sources, name):
        self._sources, self._name = sources, name

    async def follow(self, before=()):
        sources, name, seen = self._sources, self._name, 0
        sources.begun.append(name)
        sources.following[name] = sources.following.get(name, 0) + 1
        try:
            while True:
                async with sources._more:
                    while sources._numbers.get(name, 0) == seen:
                        await sources._more.wait()
                    seen = sources._numbers[name]
                yield sources._latest[name]
        finally:
            sources.following[name] -= 1


class FakeProber:
    """Checks nothing; `tell` is the result of a check."""

    def __init__(self, on_result, background, *, on_unable):
        self._on_result, self.unable = on_result, on_unable
        self.watched = {}
        self.closed = False

    def watch(self, key, target, group):
        self.watched[key] = target

    def forget(self, key):
        self.watched.pop(key, None)

    def tell(self, key, passed, reason="so it was"):
        if key in self.watched:
            self._on_result(key, Result(passed, reason, 0.001))

    async def close(self):
        self.watched.clear()
        self.closed = True


class Rig:
    """`Upstreams` with all of that around."""

    def __init__(self, workers):
        file, fd = CounterFile.create("test", Capacity(64, 64, 64, 10_000))
        os.close(fd)
        self.file = file
        self.books = Books([file])
        self.fleet = FakeFleet(workers)
        self.events = Events()
        self.sources = FakeSources()
        self.deaths = []
        self.background = Background(lambda name, error: self.deaths.append((name, error)))
        self.upstreams = Upstreams(
            self.fleet, self.books, self.events, self.background, self.sources.of, Path()
        )

    @property
    def prober(self):
        return self.upstreams._healing._prober

    def one(self, spec):
        return self.upstreams.by_key[spec.key]

    def start(self, spec, listener=1):
        """Set an upstream, and let a listener wake that uses it."""
        self.upstreams.set(spec)
        self.wake(spec, listener)
        return self.one(spec)

    def wake(self, spec, listener=1):
        self.upstreams.use(listener, [spec.key])
        self.upstreams.need([spec.key])

    def order(self, spec):
        """What workers know of it now."""
        return self.fleet.known[self.one(spec).id]

    def used(self, spec):
        return [f"{one.host}:{one.port}" for one in self.order(spec).endpoints]

    def endpoint(self, spec, number):
        return list(self.one(spec).endpoints.values())[number]

    def check(self, spec, number, *, passed):
        self.prober.tell(self.endpoint(spec, number).id, passed)

    def fail(self, spec, number, times, worker=0, reason="refused"):
        told = Outcome(self.endpoint(spec, number).id, times, reason)
        self.upstreams.outcomes(worker, (told,))

    def said(self, *names):
        return [e for e in self.events.after(0, 1000) if not names or e.event in names]

    async def told(self):
        """Wait until everything that is to be told is told."""
        await until(lambda: self.upstreams._telling._flush is None)


@asynccontextmanager
async def a_rig(workers=1):
    one = Rig(workers)
    try:
        yield one
    finally:
        await one.upstreams.close()
        await one.background.close()
        one.file.close()
    assert not one.deaths


def found(*places, reasons=(), **more):
    addresses = (place.rsplit(":", 1) for place in places)
    return Found(tuple(Address(h, int(p), **more) for h, p in addresses), tuple(reasons))
