"""A name whose every address is an endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from tenantproxy.discovery.following import hosts
from tenantproxy.discovery.resolver import Resolver
from tenantproxy.discovery.source import Address, Failed, Found


class DnsSource:
    """All A and AAAA records of one name, on one port."""

    def __init__(self, name: str, port: int, *, tenant: str, resolver: Resolver) -> None:
        self._name, self._port = name, port
        self._tenant, self._resolver = tenant, resolver

    async def follow(self, before: Sequence[Address] = ()) -> AsyncIterator[Found | Failed]:
        """Yield the addresses whenever they change, and why there is no answer."""
        known_as = self._name.rstrip(".")
        had = tuple(one.host for one in before if one.name == known_as)
        async for item in hosts(self._resolver, self._name, self._tenant, had):
            if isinstance(item, Failed):
                yield item
            else:
                yield Found(tuple(Address(one, self._port, name=known_as) for one in item))
