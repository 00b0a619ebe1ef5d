"""Upstreams at run time: names resolved, orders for workers, who uses them."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import socket
from collections.abc import Iterable

from tenantproxy.control.books import Books
from tenantproxy.control.events import Events
from tenantproxy.control.fleet import Fleet
from tenantproxy.dataplane.messages import (
    DropUpstreams,
    EndpointOrder,
    SetUpstreams,
    UpstreamOrder,
)
from tenantproxy.model.spec import EndpointSpec, UpstreamKey, UpstreamSpec
from tenantproxy.model.views import EndpointView
from tenantproxy.tasks import Background

_numbers = itertools.count(1)

RESOLVE_AGAIN_S = 30.0
FIRST_RETRY_S = 1.0
_LOOKUPS_AT_ONCE = 16
_QUARANTINE_S = 60.0
"""A worker may still count a connect that was under way when the upstream went."""


class Upstream:
    """One upstream; its block and its place in the workers come with its first use."""

    __slots__ = (
        "addresses", "block", "id", "known", "reasons", "routes", "sent", "spec", "task",
    )  # fmt: skip

    def __init__(self, spec: UpstreamSpec) -> None:
        self.id = next(_numbers)
        self.spec = spec
        self.block: int | None = None
        self.sent = False
        """The workers know it."""
        self.addresses: list[str | None] = [_literal(one) for one in spec.endpoints]
        """IP address of each endpoint; None: a name not resolved (yet)."""
        self.reasons: list[str] = ["" if a else "not resolved yet" for a in self.addresses]
        self.routes: set[int] = set()
        """Route blocks of listeners that use it or used it."""
        self.task: asyncio.Task[None] | None = None
        self.known: dict[tuple[str, int], tuple[int, int]] = {}
        """Number and counter block of each address that workers were told of."""

    def replace(self, spec: UpstreamSpec) -> None:
        """Take another spec; what was resolved stays resolved where the host stays."""
        found = {
            one.host: (address, reason)
            for one, address, reason in zip(
                self.spec.endpoints, self.addresses, self.reasons, strict=True
            )
        }
        self.spec = spec
        self.addresses, self.reasons = [], []
        for one in spec.endpoints:
            address, reason = found.get(one.host, (_literal(one), "not resolved yet"))
            self.addresses.append(address)
            self.reasons.append("" if address else reason)

    def endpoints(self) -> tuple[EndpointView, ...]:
        """Return every endpoint as people see it."""
        return tuple(
            EndpointView(
                str(one),
                address,
                reason,
                one.weight,
                state="unresolved" if address is None else "unchecked",
            )
            for one, address, reason in zip(
                self.spec.endpoints, self.addresses, self.reasons, strict=True
            )
        )


class Upstreams:
    """Every upstream of the desired state."""

    def __init__(self, fleet: Fleet, books: Books, events: Events, background: Background) -> None:
        self._fleet, self._books, self._events = fleet, books, events
        self._background = background
        self._lookups = asyncio.Semaphore(_LOOKUPS_AT_ONCE)
        self.by_key: dict[UpstreamKey, Upstream] = {}

    def set(self, spec: UpstreamSpec) -> None:
        """Add or replace; workers that know it hear of it, live connections stay."""
        known = self.by_key.get(spec.key)
        if known is None:
            known = self.by_key[spec.key] = Upstream(spec)
        else:
            known.replace(spec)
        if known.task is not None:
            known.task.cancel()
            known.task = None
        if any(_literal(one) is None for one in spec.endpoints):
            known.task = self._background.start(self._resolve(known), name=f"resolve {spec.key}")
        self._tell([known])

    def drop(self, key: UpstreamKey) -> None:
        """Forget it; call when no listener's split names it any more."""
        gone = self.by_key.pop(key, None)
        if gone is None:
            return
        if gone.task is not None:
            gone.task.cancel()
        if gone.sent:
            self._fleet.broadcast([DropUpstreams((gone.id,))])
        if gone.block is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(_QUARANTINE_S, self._books.drop_upstream, gone.block)

    def need(self, keys: Iterable[UpstreamKey]) -> list[Upstream]:
        """Return them in order, known to every ready worker from now on."""
        found = [self.by_key[key] for key in keys]
        new = [one for one in found if not one.sent]
        for one in new:
            one.sent = True
            if one.block is None:
                one.block = self._books.take_upstream()
        self._tell(new)
        return found

    def introduce(self, worker: int) -> None:
        """Tell a new worker everything that the others know."""
        for message in _messages((one for one in self.by_key.values() if one.sent), self._books):
            self._fleet.send(worker, message)

    def _tell(self, changed: list[Upstream]) -> None:
        self._fleet.broadcast(_messages((one for one in changed if one.sent), self._books))

    async def _resolve(self, upstream: Upstream) -> None:
        """Look names up until the task is cancelled; tell workers when addresses change."""
        retry_s = FIRST_RETRY_S
        while True:
            before, worked = list(upstream.addresses), True
            for number, one in enumerate(upstream.spec.endpoints):
                if _literal(one) is None:
                    worked &= await self._look_up(upstream, number, one)
            if upstream.addresses != before:
                self._tell([upstream])
            await asyncio.sleep(RESOLVE_AGAIN_S if worked else retry_s)
            retry_s = FIRST_RETRY_S if worked else min(retry_s * 2, RESOLVE_AGAIN_S)

    async def _look_up(self, upstream: Upstream, number: int, one: EndpointSpec) -> bool:
        """Resolve one endpoint; an address once found is kept while the name fails."""

        def tell(event: str, reason: str, level: str = "info") -> None:
            spec = upstream.spec
            self._events.add(
                event, reason, tenant=spec.tenant, about=f"upstream/{spec.name}", level=level
            )

        try:
            async with self._lookups:
                found = await asyncio.get_running_loop().getaddrinfo(
                    one.host, one.port, type=socket.SOCK_STREAM
                )
        except (OSError, UnicodeError) as error:
            reason = f"{one.host} does not resolve: {getattr(error, 'strerror', None) or error}"
            if upstream.reasons[number] != reason:
                tell("upstream_unresolved", reason, "warning")
            upstream.reasons[number] = reason
            return False
        address = str(found[0][4][0])
        if upstream.addresses[number] != address:
            tell("upstream_resolved", f"{one.host} is {address}")
        upstream.addresses[number], upstream.reasons[number] = address, ""
        return True


def _literal(endpoint: EndpointSpec) -> str | None:
    """Return an IP address as it is; None for a name, or for a zone that this host lacks."""
    try:
        address = ipaddress.ip_address(endpoint.host)
        zone = address.scope_id if isinstance(address, ipaddress.IPv6Address) else None
        if zone is not None and not zone.isdigit():
            socket.if_nametoindex(zone)
    except (OSError, ValueError):
        return None
    return str(address)


def _order(upstream: Upstream, books: Books) -> UpstreamOrder:
    assert upstream.block is not None  # noqa: S101 - `need` took one
    spec = upstream.spec
    return UpstreamOrder(
        id=upstream.id,
        block=upstream.block,
        name=str(spec.key),
        endpoints=tuple(
            EndpointOrder(
                *_identity(upstream, address, one.port, books), address, one.port, one.weight
            )
            for one, address in zip(spec.endpoints, upstream.addresses, strict=True)
            if address is not None
        ),
        balance=spec.balance,
        connect_timeout_s=spec.connect_timeout_s,
        connect_tries=spec.connect_tries,
    )


def _identity(upstream: Upstream, address: str, port: int, books: Books) -> tuple[int, int]:
    known = upstream.known.get((address, port))
    if known is None:
        known = upstream.known[address, port] = (next(_numbers), books.take_endpoint())
    return known


def _messages(upstreams: Iterable[Upstream], books: Books) -> list[SetUpstreams]:
    """Pack orders into messages well below the longest one (an endpoint takes some 60 bytes)."""
    messages: list[SetUpstreams] = []
    batch: list[UpstreamOrder] = []
    weight = 0
    for upstream in upstreams:
        order = _order(upstream, books)
        batch.append(order)
        weight += 4 + len(order.endpoints)
        if weight > 800:  # noqa: PLR2004 - 800 x 60 bytes
            messages.append(SetUpstreams(tuple(batch)))
            batch, weight = [], 0
    return [*messages, SetUpstreams(tuple(batch))] if batch else messages
