"""c-ares: questions to name servers and the hosts file, answered on the loop.

aiodns runs c-ares on a thread of its own, so that nothing here waits. Two things that c-ares can do
and aiodns does not offer are added: a search (a question of any type that goes through the search
domains) and reading the configuration again.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

import aiodns
import pycares
from pycares import errno

from tenantproxy.discovery.slots import Slots
from tenantproxy.model.spec import DnsSpec

RELOAD_EVERY_S = 30.0
"""c-ares watches /etc by inotify, which sees neither what a symlink there leads to
(systemd-resolved) nor a file that is mounted (containers). Reading all again also empties its
cache, where the absence of a name may stay for an hour."""
_LEAST_TRY_S = 0.25
_LONGEST_TRY_S = 5.0
"""c-ares waits so long for one try at least (when a server was quick before) and at most."""

WORDS = {
    errno.ARES_ENOTFOUND: "no such name",
    errno.ARES_ESERVFAIL: "server failure",
    errno.ARES_EREFUSED: "name server refused",
    errno.ARES_ECONNREFUSED: "no name server can be reached",
    errno.ARES_EBADNAME: "not a name",
    errno.ARES_ECANCELLED: "the resolver is closed",
    errno.ARES_EDESTRUCTION: "the resolver is closed",
}
"""What people read; the others have c-ares' own words."""


class Channel(aiodns.DNSResolver):
    """aiodns, and what it lacks; made in the same way as its own methods."""

    def search(self, name: str, kind: int) -> asyncio.Future[pycares.DNSResult]:
        """Ask for records of one type through the search domains, as getaddrinfo does."""
        answer: asyncio.Future[pycares.DNSResult]
        answer, callback = self._get_future_callback()
        with self._capture_ares_error(answer):
            self._channel.search(name, kind, callback=callback)
        return answer

    @property
    def reloads(self) -> bool:
        """Say whether `reload` may be called: c-ares has a thread of its own."""
        return self._event_thread

    def reload(self) -> None:
        """Let c-ares read its files again, on a thread; servers that were given stay."""
        self._channel.reinit()


class Channels:
    """The channel in use: made when it is needed, its configuration never older than a minute."""

    def __init__(self, spec: DnsSpec, slots: Slots) -> None:
        self._spec, self._slots = spec, slots
        self._options: dict[str, Any] = {
            "timeout": min(spec.timeout_s / 3, _LONGEST_TRY_S),
            "tries": tries(spec.timeout_s),
        }
        self._channel: Channel | None = None
        self._since_s = -math.inf
        self._why_not = ""
        self._closed = False

    async def get(self, now_s: float) -> Channel:
        """Return the channel.

        Raises:
            OSError: c-ares cannot be used; the reason is the error's text.
            DNSError: it is closed.
        """
        if self._closed:
            raise aiodns.error.DNSError(errno.ARES_ECANCELLED)
        if now_s - self._since_s >= RELOAD_EVERY_S:
            self._since_s = now_s
            await self._renew()
        if self._channel is None:
            raise OSError(self._why_not)
        return self._channel

    async def _renew(self) -> None:
        if self._channel is not None and self._channel.reloads:
            self._channel.reload()
            return
        # Without inotify c-ares works on the loop, where a reload would come from another thread.
        if self._channel is not None and self._slots.interested > 1:
            return  # others wait for answers; the caller itself is the one
        old, self._channel = self._channel, None
        if old is not None:
            await old.close()
        try:
            self._channel = Channel(self._spec.servers or None, **self._options)
        except (pycares.AresError, UnicodeError) as error:
            self._why_not = f"no name server can be used ({error.args[-1]})"

    async def close(self) -> None:
        """End what is under way; when this returns no more answers come."""
        self._closed = True
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()


def tries(timeout_s: float) -> int:
    """Return how often c-ares must ask so that it is not the first to give up.

    It doubles the wait from try to try, and takes up to a half off by chance.
    """
    waited_s, count, wait_s = 0.0, 0, _LEAST_TRY_S
    while waited_s < timeout_s:
        waited_s += wait_s / 2
        wait_s = min(wait_s * 2, _LONGEST_TRY_S)
        count += 1
    return count


def words(code: int) -> str:
    """Return the reason for people of an error of c-ares."""
    return WORDS.get(code) or str(errno.strerror(code)).lower()
