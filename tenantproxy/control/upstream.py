"""One upstream at run time: what was found for it, how its endpoints are, who uses it."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Iterable, Mapping
from dataclasses import replace

from tenantproxy import clock
from tenantproxy.discovery.literal import literal as written_address
from tenantproxy.discovery.literal import zone_is_here
from tenantproxy.discovery.source import NOT_YET, Address, Found
from tenantproxy.model.endpoints import Choice, EndpointHealth, Standing, choose
from tenantproxy.model.spec import EndpointSpec, UpstreamSpec

Place = tuple[str, int]
"""IP address and port: what makes an endpoint the same one as before."""

MOST_FOUND = 1024
"""Endpoints of one upstream by discovery: as many as a document may list."""

_numbers = itertools.count(1)
"""Of upstreams and endpoints: workers know them by number."""


_NONE: Mapping[str, str] = {}
_NO_TIMES: Mapping[str, float] = {}
_NONE_FOUND: Mapping[str, Address] = {}


class Endpoint:
    """One endpoint that workers may have been told of."""

    __slots__ = ("address", "block", "health", "id")

    def __init__(self, address: Address, block: int, health: EndpointHealth) -> None:
        self.id = next(_numbers)
        self.address = address
        self.block = block
        self.health = health

    @property
    def place(self) -> Place:
        return self.address.host, self.address.port


class Upstream:
    """Kept by the thousand: what only a used one needs comes with its first use."""

    __slots__ = (
        "_found", "block", "choice", "discovery_reason", "down", "ejections", "endpoints",
        "failed", "id", "known", "lacking_s", "literal", "overdue", "panic", "passed", "ramps",
        "reasons", "routes", "sent", "short", "since_s", "spec", "task", "timer", "users",
    )  # fmt: skip

    def __init__(self, spec: UpstreamSpec) -> None:
        self.id = next(_numbers)
        self.spec = spec
        self.since_s = clock.monotonic_s()
        """CLOCK_MONOTONIC of its beginning."""
        self.block: int | None = None
        self.sent = False
        """The workers know it."""
        self._found: tuple[Address, ...] | None = None
        """None: what the document says, as in nearly all of the thousands."""
        self.reasons: Mapping[str, str] = _NONE
        """Of names that could not be resolved the last time, and why."""
        self.lacking_s: Mapping[str, float] = _NO_TIMES
        """CLOCK_MONOTONIC of the first reason of each, since it had none."""
        self.literal = self.known = False
        """Nothing is to be found: the document says every address. Something has been found
        (or is not to be), so what comes from now on is a change."""
        self.discovery_reason = ""
        """Why nothing could be learned the last time; what was found before is kept."""
        self.short: Mapping[str, str] = _NONE
        """Why not all that was found is used, by what there is too much (or too little) of."""
        self.endpoints: dict[Place, Endpoint] = {}
        """Empty until the first use, then one for each of `places`."""
        self.users = 0
        """Listeners that are awake and name it."""
        self.choice: Choice[Place] | None = None
        """Where its connections go, as workers were told."""
        self.panic = self.down = False
        """It was said that too few endpoints are usable, or none any more."""
        self.ramps = False
        """Workers were told of weights of a slow start."""
        self.overdue: dict[Place, str] | None = None
        """Endpoints that failed too often to stay, and the last failure of each."""
        self.ejections = self.passed = self.failed = 0
        """Ejections and health checks, those of endpoints that are gone among them."""
        self.routes: set[int] = set()
        """Route blocks of listeners that use it or used it."""
        self.task: asyncio.Task[None] | None = None
        """Follows its source, or takes one look."""
        self.timer: asyncio.TimerHandle | None = None
        """Ends an ejection, or makes the next step of a slow start."""
        self._begin({})

    @property
    def awake(self) -> bool:
        return self.users > 0

    @property
    def addresses(self) -> tuple[Address, ...]:
        """What was found, in the order of the document or of the source."""
        found = self._found  # once: another thread may look
        return _written(self.spec.endpoints) if found is None else found

    def respec(self, spec: UpstreamSpec) -> None:
        """Take another spec; what was found stays found where the host, or the name, stays.

        With another discovery it stays until that has found something, or failed.
        """
        found, old, self.spec = self.addresses, self.spec, spec
        if spec.discovery != old.discovery:
            self.discovery_reason, self.short = "", _NONE
        if spec.discovery is not None:
            self._found, self.literal = found, False
            self.known = self.known and spec.discovery == old.discovery
            return
        hosts = {str(one): one.host for one in old.endpoints}
        before: dict[str, dict[str, Address]] = {}
        for one in found:
            if one.listed in hosts:
                before.setdefault(hosts[one.listed], {})[one.host] = one
        self.known = self.known and old.discovery is None
        self._begin(before)

    def take(self, found: Found) -> None:
        """Know what was found; a name, listed or a target, that fails keeps the addresses it had.

        So does one that has not answered yet: sources begin anew when the upstream wakes.
        """
        reasons = dict(found.reasons)
        lost = reasons.keys() - set(map(checked_as, found.addresses))
        stale = [one for one in self.addresses if checked_as(one) in lost]
        for name in set(map(checked_as, stale)):
            if reasons[name] == NOT_YET:
                del reasons[name]
        everything = self._in_order(found.addresses, stale) if stale else found.addresses
        self.shorten("targets", found.shortened)
        self._found = everything if self.spec.discovery is None else self._fewer(everything)
        self._give_reasons(reasons)
        self.known = True
        self.discovery_reason = ""

    def _in_order(self, found: Iterable[Address], stale: Iterable[Address]) -> tuple[Address, ...]:
        """Return both: what was there in its old order, and what is new behind it.

        Two names of the document that are one place share it; of two targets the first has it.
        """
        known = tuple(found)
        places = {(one.host, one.port) for one in known}
        kept = (one for one in stale if one.listed or (one.host, one.port) not in places)
        order = {(one.host, one.port, one.listed): n for n, one in enumerate(self.addresses)}
        new = len(order)
        return tuple(
            sorted(
                (*known, *kept), key=lambda one: order.get((one.host, one.port, one.listed), new)
            )
        )

    def _fewer(self, found: tuple[Address, ...]) -> tuple[Address, ...]:
        """Return as many as there may be, in their order: those that were there go first."""
        if len(found) <= MOST_FOUND:
            self.shorten("addresses", "")
            return found
        self.shorten("addresses", f"{MOST_FOUND} of {len(found)} addresses are used")
        known = {(one.host, one.port) for one in self.addresses}
        first = sorted(found, key=lambda one: (one.host, one.port) not in known)
        kept = set(first[:MOST_FOUND])
        return tuple(one for one in found if one in kept)

    def lack(self, reason: str) -> None:
        """Know that nothing could be learned; what another discovery had found ends here."""
        if not self.known:
            self._begin({})
        self.discovery_reason = reason

    def shorten(self, what: str, why: str) -> bool:
        """Know why not all is used, or with "" that nothing is in the way; say if that is news.

        Other numbers of what was too much before are no news.
        """
        known = self.short
        if known.get(what, "") == why:
            return False
        rest = {one: said for one, said in known.items() if one != what}
        self.short = {**rest, what: why} if why else rest
        return what not in known

    def places(self) -> dict[Place, Address]:
        """Return what is there, every place once; one that is there twice has both weights."""
        found: dict[Place, Address] = {}
        for one in self.addresses:
            place = (one.host, one.port)
            if (same := found.get(place)) is None:
                found[place] = one
            else:
                weight, priority = same.weight + one.weight, min(same.priority, one.priority)
                found[place] = replace(same, weight=weight, priority=priority)
        return found

    def standings(self) -> list[Standing[Place]]:
        """Return every endpoint as the choice sees it, in the order of `addresses`."""
        return [
            Standing(place, one.health.state, one.address.priority)
            for place, one in self.endpoints.items()
        ]

    def choose(self) -> Choice[Place]:
        """Return where connections go now."""
        return choose(self.standings(), self.spec.panic_below)

    def ramping(self, now_s: float) -> bool:
        """Say whether any endpoint starts slowly now."""
        window_s = self.spec.slow_start_s
        return window_s > 0 and any(
            one.health.ramping(now_s, window_s) for one in self.endpoints.values()
        )

    def _begin(self, before: Mapping[str, Mapping[str, Address]]) -> None:
        """Begin with what the document says and what was found `before` for its hosts, by IP."""
        spec = self.spec
        self.discovery_reason = ""
        self._found = None
        self.literal = spec.discovery is None and all(map(literal, spec.endpoints))
        self.known = self.known or self.literal
        if self.literal:
            self._give_reasons(_NONE)
            return
        self._found = tuple(
            address
            for one in spec.endpoints
            for address in _written((one,))
            or (
                replace(found, port=one.port, weight=one.weight, listed=str(one))
                for found in before.get(one.host, _NONE_FOUND).values()
            )
        )
        there = {one.listed for one in self._found}
        self._give_reasons(
            {listed: NOT_YET for one in spec.endpoints if (listed := str(one)) not in there}
        )

    def _give_reasons(self, reasons: Mapping[str, str]) -> None:
        before, now_s = self.lacking_s, clock.monotonic_s()
        self.lacking_s = {name: before.get(name, now_s) for name in reasons} or _NO_TIMES
        self.reasons = reasons


def _written(endpoints: Iterable[EndpointSpec]) -> tuple[Address, ...]:
    """Return the addresses that stand in the document."""
    return tuple(
        Address(here, one.port, one.weight, listed=str(one))
        for one in endpoints
        if (here := literal(one)) is not None
    )


def literal(endpoint: EndpointSpec) -> str | None:
    """Return an IP address as it is; None for a name, or for a zone that this host lacks."""
    try:
        socket.inet_pton(socket.AF_INET, endpoint.host)
    except (OSError, ValueError):
        ip = written_address(endpoint.host)
    else:
        return endpoint.host  # nearly always, and twenty times as fast as `ipaddress`
    return ip if ip is not None and zone_is_here(ip) else None


def shown(address: Address, spec: UpstreamSpec) -> str:
    """Return an endpoint as people know it: as the document says, or as discovery found it."""
    srv = spec.discovery is not None and spec.discovery.kind == "srv"
    host = address.name if srv and address.name else address.host
    return address.listed or str(EndpointSpec(host, address.port))


def checked_as(address: Address) -> str:
    """Return the endpoint under its name, for the Host header of checks."""
    return address.listed or str(EndpointSpec(address.name or address.host, address.port))
