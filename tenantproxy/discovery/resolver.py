"""Names to addresses and services: never blocks, bounded for each tenant and in all.

c-ares answers. The system's resolver is asked where c-ares cannot be used, or knows no such name
while no servers are configured; never after a timeout or a server's failure, which it would only
repeat more slowly. With `proxy.dns.servers` those servers have the last word: whoever names them
does not want others to be asked.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiodns
import pycares
from pycares import errno

from tenantproxy import clock
from tenantproxy.discovery import cares, system
from tenantproxy.discovery.slots import Slots
from tenantproxy.errors import Unresolved
from tenantproxy.model.span import span
from tenantproxy.model.spec import DnsSpec

LOOKUPS_EACH = 16
LOOKUPS = 512
"""So many tenants as 512 / 16 must have all their names slow before one waits for another."""
SYSTEM_TTL_S = 30.0
"""getaddrinfo tells no TTL; name service caches commonly keep what they know as long."""
PART_TTL_S = 5.0
"""When one family could not be asked about, and what was known of it is kept."""

_NO_SUCH_NAME = frozenset({errno.ARES_ENOTFOUND, errno.ARES_ECONNREFUSED})
_NOT_THERE = frozenset({errno.ARES_ENOTFOUND, errno.ARES_ENODATA})


@dataclass(frozen=True, slots=True)
class Addresses:
    """What a name is, without duplicates, in an order that rotating answers do not change."""

    hosts: tuple[str, ...]
    ttl_s: float


@dataclass(frozen=True, slots=True, order=True)
class Service:
    """One SRV record (RFC 2782); `target` has no dot at its end, and is empty for `.`."""

    priority: int
    target: str
    port: int
    weight: int


@dataclass(frozen=True, slots=True)
class Services:
    """The SRV records of a name, sorted."""

    records: tuple[Service, ...]
    ttl_s: float


class Resolver:
    """Made on a running loop, for as long as the daemon; `close` it at the end.

    A look-up waits for one of its tenant's `LOOKUPS_EACH` slots and then takes at most
    `spec.timeout_s`. c-ares may repeat a question that was given up for some tries more, at no
    cost but a packet each. `timeout` and `attempts` of resolv.conf do not count.
    """

    def __init__(self, spec: DnsSpec) -> None:
        self._spec = spec
        self._slots = Slots(each=LOOKUPS_EACH, total=LOOKUPS)
        self._door = asyncio.Lock()
        """A question takes a third of a millisecond to send: of thousands at once, one or two are
        sent in each pass of the loop, so that it does not stand still."""
        self._channels = cares.Channels(spec, self._slots)
        self._system = system.SystemResolver()

    async def addresses(self, name: str, *, tenant: str, before: tuple[str, ...] = ()) -> Addresses:
        """Return the addresses (A and AAAA, hosts file, search domains) of a name.

        `before` is what it was: where a whole family is gone, that family is asked about alone,
        and kept if the servers fail. So a failed AAAA question removes no endpoints.

        Raises:
            Unresolved: nothing was found; the text says why.
        """
        failure: Unresolved | None = None
        async with self._turn(tenant):
            try:
                async with asyncio.timeout(self._spec.timeout_s):
                    try:
                        channel = await self._channels.get(clock.monotonic_s())
                        return await _ask(channel, name, before)
                    except aiodns.error.DNSError as error:
                        failure = _unresolved(name, error, none="no address")
                        if error.args[0] not in _NO_SUCH_NAME or self._spec.servers:
                            raise failure from None
                    except OSError:
                        pass  # no c-ares here
                    found = await self._system.addresses(name, tenant=tenant)
                    return Addresses(_in_order(found), SYSTEM_TTL_S)
            except TimeoutError:
                raise failure or self._silence(name) from None
            except (OSError, UnicodeError) as error:
                raise failure or Unresolved(name, system.words(error)) from None

    async def services(self, name: str, *, tenant: str) -> Services:
        """Return the SRV records of a name, which may be short for one in a search domain.

        Raises:
            Unresolved: nothing was found; the text says why.
        """
        async with self._turn(tenant):
            try:
                async with asyncio.timeout(self._spec.timeout_s):
                    channel = await self._channels.get(clock.monotonic_s())
                    result = await channel.search(name, pycares.QUERY_TYPE_SRV)
            except aiodns.error.DNSError as error:
                raise _unresolved(name, error, none="no service") from None
            except TimeoutError:
                raise self._silence(name) from None
            except (OSError, UnicodeError) as error:
                raise Unresolved(name, system.words(error)) from None
        records = {
            Service(data.priority, data.target.rstrip("."), data.port, data.weight)
            for data in (one.data for one in result.answer)
            if isinstance(data, pycares.SRVRecordData)
        }
        if not records:
            raise Unresolved(name, "no service")
        return Services(tuple(sorted(records)), float(min(one.ttl for one in result.answer)))

    async def close(self) -> None:
        """End every look-up; no descriptor is left a moment later.

        A thread that waits for getaddrinfo ends with it, and holds up nobody.
        """
        await self._channels.close()

    @asynccontextmanager
    async def _turn(self, tenant: str) -> AsyncIterator[None]:
        async with self._slots.taken(tenant):
            async with self._door:
                await asyncio.sleep(0)
            yield

    def _silence(self, name: str) -> Unresolved:
        return Unresolved(name, f"no answer within {span(self._spec.timeout_s)}")


async def _ask(channel: cares.Channel, name: str, before: tuple[str, ...]) -> Addresses:
    hosts, ttl_s = await _family(channel, name, socket.AF_UNSPEC)
    for family in {_family_of(one) for one in before} - {_family_of(one) for one in hosts}:
        try:
            more, ttl = await _family(channel, name, family)
        except aiodns.error.DNSError as error:
            if error.args[0] in _NOT_THERE:
                continue
            more, ttl = [one for one in before if _family_of(one) == family], PART_TTL_S
        hosts, ttl_s = hosts + more, min(ttl_s, ttl)
    return Addresses(_in_order(hosts), ttl_s)


async def _family(
    channel: cares.Channel, name: str, family: socket.AddressFamily
) -> tuple[list[str], float]:
    result = await channel.getaddrinfo(name, family, type=socket.SOCK_STREAM)
    hosts = [one.addr[0].decode() for one in result.nodes]
    if not hosts:
        raise aiodns.error.DNSError(errno.ARES_ENODATA, "")
    ttls = [one.ttl for one in result.nodes] + [one.ttl for one in result.cnames]
    return hosts, float(min(ttls, default=0))


def _family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _in_order(hosts: Iterable[str]) -> tuple[str, ...]:
    """Sort by number, with the family first that the system prefers (RFC 6724) as it came first.

    Of loopback addresses IPv4 is first: many a server listens on 127.0.0.1 alone.
    """
    numbers = [ipaddress.ip_address(one) for one in hosts]
    if not numbers:
        return ()
    loopback = all(one.is_loopback for one in numbers)
    preferred = 4 if loopback else numbers[0].version
    unique = sorted(set(numbers), key=lambda one: (one.version != preferred, int(one), str(one)))
    return tuple(map(str, unique))


def _unresolved(name: str, error: aiodns.error.DNSError, *, none: str) -> Unresolved:
    code = error.args[0]
    return Unresolved(name, none if code == errno.ARES_ENODATA else cares.words(code))
