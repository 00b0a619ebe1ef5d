"""Every upstream of the desired state: set, used by listeners, given endpoints, dropped.

An upstream is awake while a listener that names it is opening, open or draining: only then its
source is followed, its endpoints are checked and spares are kept. One that rests costs nothing,
but for one look at its names when it is set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from tenantproxy import clock
from tenantproxy.control.books import Books
from tenantproxy.control.events import Events
from tenantproxy.control.fleet import Fleet
from tenantproxy.control.following import Following
from tenantproxy.control.healing import Healing
from tenantproxy.control.telling import Telling
from tenantproxy.control.tls_files import Certificates
from tenantproxy.control.upstream import Endpoint, Place, Upstream
from tenantproxy.control.upstream_orders import UpstreamOrders
from tenantproxy.dataplane.messages import Outcome
from tenantproxy.discovery.source import Source
from tenantproxy.errors import ListenFailed
from tenantproxy.model.endpoints import EndpointHealth
from tenantproxy.model.spec import UpstreamKey, UpstreamSpec
from tenantproxy.tasks import Background

_QUARANTINE_S = 60.0
"""A worker may still count a connect that was under way when the upstream went."""
_AGAIN_S = 5.0
"""Endpoints for which there was no counter block are tried again after so long."""
_TOGETHER_S = 0.1
"""Those who come within this time may share when they came."""


class Upstreams:
    """Holds them; puts discovery, health and the telling of workers together."""

    def __init__(
        self,
        fleet: Fleet,
        books: Books,
        events: Events,
        background: Background,
        source_of: Callable[[UpstreamSpec], Source],
        folder: Path,
    ) -> None:
        self._books = books
        self._loop = asyncio.get_running_loop()
        self.certificates = Certificates(events, self._reloaded, folder)
        self._healing = Healing(events, self.certificates, background, self._healed)
        self._following = Following(source_of, background, events, self._found)
        orders = UpstreamOrders(self.certificates, len(fleet.workers), self._shorten)
        self._telling = Telling(fleet, orders, self._healing.decide)
        self.by_key: dict[UpstreamKey, Upstream] = {}
        self._users: dict[int, tuple[Upstream, ...]] = {}
        """By id, of listeners that are awake."""
        self._newcomer = EndpointHealth()
        self._leaving: set[int] = set()
        """Endpoint blocks that nobody owns and that may still be written to."""
        self._short: set[Upstream] = set()
        """Those with endpoints for which there was no counter block."""
        self._again: asyncio.TimerHandle | None = None

    # Desired state -----------------------------------------------------------------

    def set(self, spec: UpstreamSpec) -> None:
        """Add or replace; workers that know it hear of it, live connections stay."""
        self.certificates.use(spec)
        known = self.by_key.get(spec.key)
        if known is None:
            known = self.by_key[spec.key] = Upstream(spec)
            self._following.begin(known)
            return
        old = known.spec
        known.respec(spec)
        if (old.endpoints, old.discovery) != (spec.endpoints, spec.discovery):
            self._following.begin(known)
        if known.sent:
            self._settle(known)
            self._healing.respec(known, old)
            self._telling.now([known])

    def drop(self, key: UpstreamKey) -> None:
        """Forget it; call when no listener's split names it any more."""
        gone = self.by_key.pop(key, None)
        if gone is None:
            return
        self._following.end(gone)
        self._healing.forget(gone)
        self._telling.drop(gone)
        self._short.discard(gone)
        self.certificates.forget(key)
        self._leave(gone, gone.endpoints.values())
        if gone.block is not None:
            self._loop.call_later(_QUARANTINE_S, self._books.drop_upstream, gone.block)

    # Who uses them -------------------------------------------------------------------

    def use(self, listener: int, keys: Iterable[UpstreamKey]) -> None:
        """A listener is awake and names these, and no others; they wake with it."""
        before = self._users.get(listener, ())
        now = self._users[listener] = tuple(
            self.by_key[key]
            for key in keys
            if key in self.by_key  # a retired one may name others
        )
        for one in now:
            one.users += 1
            if one.users == 1:
                self._wake(one)
        self._release(before)

    def release(self, listener: int) -> None:
        """A listener is not awake (any more); what nobody else uses rests."""
        self._release(self._users.pop(listener, ()))

    def used_by(self, listener: int) -> bool:
        """Say whether a listener is awake, as `use` and `release` told."""
        return listener in self._users

    def need(self, keys: Iterable[UpstreamKey]) -> list[Upstream]:
        """Return them in order, known to every ready worker from now on."""
        found = [self.by_key[key] for key in keys]
        new: list[Upstream] = []
        for one in found:
            if not one.sent:
                if one.block is None:
                    one.block = self._books.take_upstream()
                one.sent = True
                self._settle(one)
                new.append(one)
        if new:
            self._telling.now(new)
        return found

    def _release(self, upstreams: Iterable[Upstream]) -> None:
        for one in upstreams:
            one.users -= 1
            if not one.users:
                self._rest(one)

    def _wake(self, upstream: Upstream) -> None:
        self._following.begin(upstream)
        self._healing.wake(upstream)
        if upstream.spec.warm:
            self._telling.soon(upstream, anyhow=True)

    def _rest(self, upstream: Upstream) -> None:
        self._following.end(upstream)
        self._healing.rest(upstream)
        if upstream.spec.warm:
            self._telling.soon(upstream, anyhow=True)

    # Workers ---------------------------------------------------------------------------

    def introduce(self, worker: int) -> None:
        """Tell a new worker everything that the others know."""
        self._telling.introduce(worker, self.by_key.values())

    def outcomes(self, worker: int, outcomes: Iterable[Outcome]) -> None:
        """Take what a worker tells of failures in a row."""
        self._healing.outcomes(worker, outcomes)

    def worker_lost(self, worker: int) -> None:
        """Nothing more comes from it, and what it told counts no more."""
        self._healing.worker_lost(worker)

    def blocks(self) -> tuple[list[int], list[int]]:
        """Return the blocks of upstreams and of endpoints that a worker may have written to."""
        everyone = self.by_key.values()
        upstreams = [one.block for one in everyone if one.block is not None]
        endpoints = [e.block for one in everyone for e in one.endpoints.values()]
        return upstreams, [*endpoints, *self._leaving]

    async def close(self) -> None:
        """Follow, check and tell nothing any more; no task, timer or socket is left."""
        self.certificates.close()
        self._telling.close()
        if self._again is not None:
            self._again.cancel()
        for one in self.by_key.values():
            self._following.end(one)
        await self._healing.close()

    # Endpoints -----------------------------------------------------------------------------

    def _found(self, upstream: Upstream) -> None:
        """Other addresses were found, or the same with other weights."""
        if upstream.sent:
            self._settle(upstream)
            self._telling.soon(upstream, anyhow=True)

    def _healed(self, upstream: Upstream) -> None:
        self._telling.soon(upstream)

    def _reloaded(self, key: UpstreamKey) -> None:
        """The files of its certificates have changed."""
        upstream = self.by_key[key]
        self._healing.watch_again(upstream)
        self._telling.soon(upstream, anyhow=True)

    def _settle(self, upstream: Upstream) -> None:
        """Make the endpoints those that were found; who stays keeps number, counters, health.

        Newcomers for whom there is no counter block are left out, and tried again in a while.
        """
        before, now_s = upstream.endpoints, clock.monotonic_s()
        endpoints: dict[Place, Endpoint] = {}
        new: list[Endpoint] = []
        places, why = upstream.places(), ""
        for place, address in places.items():
            one = before.get(place)
            if one is None:
                try:
                    block = self._books.take_endpoint(upstream.spec.tenant)
                except ListenFailed as error:
                    why = str(error)
                    continue
                one = Endpoint(address, block, self._health(now_s, among_others=bool(before)))
                new.append(one)
            changed = one.address != address
            one.address = address
            endpoints[place] = one
            if changed:
                new.append(one)
        gone = [one for place, one in before.items() if place not in endpoints]
        upstream.endpoints = endpoints
        self._healing.leave(upstream, gone)
        self._healing.enter(upstream, new)
        self._leave(upstream, gone)
        said = why and f"{len(endpoints)} of {len(places)} addresses are used: {why}"
        self._shorten(upstream, "counters", said)
        if why:
            self._short.add(upstream)
            if self._again is None:
                self._again = self._loop.call_later(_AGAIN_S, self._settle_again)

    def _settle_again(self) -> None:
        """Give those their endpoints that had to do without some."""
        self._again = None
        short, self._short = self._short, set()
        for one in short:
            before = one.endpoints
            self._settle(one)
            if one.endpoints.keys() != before.keys():
                self._telling.soon(one, anyhow=True)

    def _shorten(self, upstream: Upstream, what: str, why: str) -> None:
        if upstream.shorten(what, why):
            self._healing.note(upstream, "upstream_shortened", why, level="warning")

    def _health(self, now_s: float, *, among_others: bool) -> EndpointHealth:
        """Return the health of a newcomer; thousands that come together are one value."""
        if among_others:
            return EndpointHealth.arrived(now_s, among_others=True)
        if now_s - self._newcomer.since_s > _TOGETHER_S:
            self._newcomer = EndpointHealth.arrived(now_s, among_others=False)
        return self._newcomer

    def _leave(self, upstream: Upstream, endpoints: Iterable[Endpoint]) -> None:
        for one in endpoints:
            self._leaving.add(one.block)
            self._loop.call_later(_QUARANTINE_S, self._left, one.block, upstream.spec.tenant)

    def _left(self, block: int, tenant: str) -> None:
        """Let a block be used again when no connection counts in it any more."""
        if self._books.endpoint_totals(block)[0]:
            self._loop.call_later(_QUARANTINE_S, self._left, block, tenant)
            return
        self._leaving.discard(block)
        self._books.drop_endpoint(block, tenant)
