"""SRV records (RFC 2782): targets, their ports, weights and priorities."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from tenantproxy.discovery.following import Following, News, hosts
from tenantproxy.discovery.refresh import refresh
from tenantproxy.discovery.resolver import Resolver, Service
from tenantproxy.discovery.source import NOT_YET, Address, Failed, Found

MOST_TARGETS = 64
"""Each is a name to follow."""

_Records = tuple[Service, ...]


class SrvSource:
    """Every address of every target is an endpoint; records and targets keep their own TTLs."""

    def __init__(self, name: str, *, tenant: str, resolver: Resolver) -> None:
        self._name, self._tenant, self._resolver = name, tenant, resolver

    async def follow(self, before: Sequence[Address] = ()) -> AsyncIterator[Found | Failed]:
        """Yield the endpoints whenever they change, and why there are none.

        A target that does not resolve (yet, or any more) is listed in `Found.reasons`, keeps the
        addresses it had, and is left out if it had none. `Failed` comes when the SRV records
        cannot be had, or none of their targets.
        """
        news = News()
        told = Told()

        def addresses(target: str) -> AsyncIterator[tuple[str, ...] | Failed]:
            had = {one.host: None for one in before if one.name == target}
            # A target is a whole name: the dot keeps search domains out of it.
            return hosts(self._resolver, f"{target}.", self._tenant, tuple(had))

        async with (
            Following(self._ask, news) as services,
            Following(addresses, news) as targets,
        ):
            services.want([self._name])
            while True:
                await news.wait()
                records, shortened = services.known.get(self._name), ""
                if records is not None:
                    records, shortened = fewer(records)
                targets.want({one.target for one in records or () if one.target})
                failure = services.reasons.get(self._name, "")
                found: Found | None = None
                if records is not None:
                    made = joined(records, targets.known, targets.reasons)
                    if isinstance(made, Failed):
                        failure = failure or made.reason
                    else:
                        found = made and replace(made, shortened=shortened)
                for item in told.next(found, failure):
                    yield item

    def _ask(self, name: str) -> AsyncIterator[_Records | Failed]:
        async def ask() -> tuple[_Records, float]:
            answer = await self._resolver.services(name, tenant=self._tenant)
            return answer.records, answer.ttl_s

        return refresh(ask)


class Told:
    """What was yielded last, so that nothing is said twice and the last word is the truth."""

    def __init__(self) -> None:
        self._found: Found | None = None
        self._failure = ""

    def next(self, found: Found | None, failure: str) -> list[Found | Failed]:
        """Return what to yield; `found` is None while nothing (new) is known of endpoints."""
        items: list[Found | Failed] = []
        changed = found is not None and found != self._found
        if found is not None and (changed or (self._failure and not failure)):
            items.append(found)
            self._found, self._failure = found, ""
        if failure and failure != self._failure:
            items.append(Failed(failure))
            self._failure = failure
        return items


def fewer(records: _Records) -> tuple[_Records, str]:
    """Return the records of the first `MOST_TARGETS` targets, and what is to be said of others."""
    targets = list(dict.fromkeys(one.target for one in records))
    if len(targets) <= MOST_TARGETS:
        return records, ""
    kept = set(targets[:MOST_TARGETS])
    said = f"{MOST_TARGETS} of {len(targets)} targets are used"
    return tuple(one for one in records if one.target in kept), said


def joined(
    records: _Records, known: Mapping[str, tuple[str, ...]], reasons: Mapping[str, str]
) -> Found | Failed | None:
    """Return the endpoints of the records, in their order; None while no target is known yet.

    An address that several records give with one port stands for the first of them.
    """
    endpoints: dict[tuple[str, int], Address] = {}
    why: list[tuple[str, str]] = []
    for one in records:
        if not one.target:
            continue  # RFC 2782: `.` means that the service is decidedly not available
        if reason := reasons.get(one.target, "" if one.target in known else NOT_YET):
            why.append((f"{one.target}:{one.port}", reason))
        for host in known.get(one.target, ()):
            endpoints.setdefault(
                (host, one.port),
                Address(host, one.port, one.weight or 1, one.priority, name=one.target),
            )
    if endpoints or not why:
        return Found(tuple(endpoints.values()), tuple(why))
    waiting = any(reason == NOT_YET for _, reason in why)
    return None if waiting else Failed(why[0][1])
