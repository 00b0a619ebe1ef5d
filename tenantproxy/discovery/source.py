"""The one protocol of every kind of discovery: a source yields the endpoints of an upstream.

DNS asks again and again, Kubernetes will be told of changes: who uses a source sees no difference.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

NOT_YET = "not resolved yet"


@dataclass(frozen=True, slots=True)
class Address:
    """One endpoint that was found."""

    host: str
    """An IP address, with its zone if it has one."""
    port: int
    weight: int = 1
    priority: int = 0
    """Lower ones are used first (RFC 2782)."""
    name: str = ""
    """The name behind the address, for people and for TLS; empty when there is none."""
    listed: str = ""
    """The endpoint of the document that it stands for; empty when it was discovered."""


@dataclass(frozen=True, slots=True)
class Found:
    """Everything there is now, in a stable order: what was there before and is not here is gone."""

    addresses: tuple[Address, ...]
    reasons: tuple[tuple[str, str], ...] = ()
    """Of names that have no address or failed: `name:port` and why, for people.

    `NOT_YET` of one that is still asked for: what was known of it before is still true.
    """
    shortened: str = ""
    """Why not everything is here, for people: `64 of 100 targets are used`."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing could be learned; what was found before stays."""

    reason: str
    """For people: `web.acme.svc does not resolve: no such name`."""


class Source(Protocol):
    """Endpoints of one upstream, for as long as somebody wants to know."""

    def follow(self, before: Sequence[Address] = ()) -> AsyncIterator[Found | Failed]:
        """Yield what is found when it differs from the last, and the reason of each failure.

        `before` is what was found when it was followed last: an address that is still right is
        preferred to others, and stays where the family it is of cannot be asked about.

        The first item comes as soon as anything is known. The iteration ends only when nothing
        can ever change (a list of addresses); to stop it, cancel the task that iterates. It
        never raises but for a fault of ours.
        """
        ...
