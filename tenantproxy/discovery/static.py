"""The endpoints that the document lists: addresses as they are, one address for each name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from tenantproxy.discovery.following import Following, News, hosts
from tenantproxy.discovery.literal import literal, zone_is_here
from tenantproxy.discovery.refresh import refresh
from tenantproxy.discovery.resolver import Resolver
from tenantproxy.discovery.source import NOT_YET, Address, Failed, Found
from tenantproxy.errors import Unresolved
from tenantproxy.model.spec import EndpointSpec, UpstreamSpec


class StaticSource:
    """Listed endpoints; a name keeps the address it has for as long as that is an answer."""

    def __init__(self, spec: UpstreamSpec, resolver: Resolver) -> None:
        self._endpoints = spec.endpoints
        self._tenant = spec.tenant
        self._resolver = resolver

    async def follow(self, before: Sequence[Address] = ()) -> AsyncIterator[Found | Failed]:
        """Yield what differs; never `Failed`, as each endpoint has a reason of its own."""
        written = {one.host: literal(one.host) for one in self._endpoints}
        chosen = {host: ip for host, ip in written.items() if ip and zone_is_here(ip)}
        asked = written.keys() - chosen.keys()
        last: Found | None = None
        if chosen or not asked:
            last = listed(self._endpoints, chosen, {})
            yield last
        if not asked:
            return
        had = {one.listed: one.host for one in before}
        was = {one.host: had[str(one)] for one in self._endpoints if str(one) in had}
        news = News()

        def follow(host: str) -> AsyncIterator[tuple[str, ...] | Failed]:
            return self._one(host, (was[host],) if host in was else ())

        async with Following(follow, news) as names:
            names.want(asked)
            while True:
                await news.wait()
                choose(chosen, names.known, was)
                found = listed(self._endpoints, chosen, names.reasons)
                if found != last:
                    last = found
                    yield found

    def _one(self, host: str, before: tuple[str, ...]) -> AsyncIterator[tuple[str, ...] | Failed]:
        ip = literal(host)
        if ip is None:
            return hosts(self._resolver, host, self._tenant, before)

        async def look() -> tuple[tuple[str, ...], float]:
            if not zone_is_here(ip):
                raise Unresolved(host, "no such interface here")
            return (ip,), float("inf")

        return refresh(look)


def choose(
    chosen: dict[str, str], known: Mapping[str, tuple[str, ...]], before: Mapping[str, str]
) -> None:
    """Give each name that is known its address: the one it has, or else the first of its answer.

    One that has none yet gets the one it had `before`, if that is an answer.
    """
    for host, answers in known.items():
        mine = chosen.get(host, before.get(host))
        chosen[host] = mine if mine in answers else answers[0]


def listed(
    endpoints: tuple[EndpointSpec, ...], chosen: Mapping[str, str], reasons: Mapping[str, str]
) -> Found:
    """Return what has an address, in the document's order, and why something fails."""
    addresses, why = [], []
    for one in endpoints:
        ip = chosen.get(one.host)
        reason = reasons.get(one.host, "" if ip else NOT_YET)
        if reason:
            why.append((str(one), reason))
        if ip:
            name = "" if literal(one.host) else one.host.rstrip(".")
            addresses.append(Address(ip, one.port, one.weight, name=name, listed=str(one)))
    return Found(tuple(addresses), tuple(why))
