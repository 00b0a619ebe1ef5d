"""The weighted choice of a listener: one cumulative line, one bisection a pick.

The line covers the integers [0, 2**32). Each member owns a stretch of it as
long as its share. A point picks a member; where points come from is the
caller's: new connections walk the golden sequence below, a sticky split uses
a hash of the client. A change of weights is a new line; the walk goes on
from the point where it is, so frequent changes starve nobody.

The last member lies first on the line and the first member behind it: what a
rollout takes from the first (stable) and gives to the last (canary) moves one
border, and with it only clients that go from the one to the other.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate

LINE = 1 << 32
MAX_MEMBERS = 16
MAX_WEIGHT = 1_000_000

GOLDEN_STEP = 2_654_435_769
"""2**32 divided by the golden ratio, odd: the walk visits every point once.

Its prefixes are as even as a walk can be (three-distance theorem; Knuth, TAOCP
vol. 3, 6.4), so 10 connections at 90:10 already go 9:1.
"""


def step(point: int) -> int:
    """Return the point after `point` in the golden walk."""
    return (point + GOLDEN_STEP) & 0xFFFFFFFF


def sticky_point(salt: str, key: bytes) -> int:
    """Return the point in [0, 2**32) of a client: the same wherever and whenever it is asked.

    Another salt gives points that have nothing to do with these, so that no two listeners or
    rollouts try a new version on the same clients first. `key` is whatever names the client.
    Keyed BLAKE2b (RFC 7693): who does not know the salt cannot choose an address by its point.
    """
    secret = salt.encode()
    if len(secret) > blake2b.MAX_KEY_SIZE:
        secret = blake2b(secret).digest()
    return int.from_bytes(blake2b(key, digest_size=4, key=secret).digest())


def line_order(members: int) -> tuple[int, ...]:
    """Return the indexes of a split's members as they lie on the line: last, first, the others."""
    return (members - 1, *range(members - 1)) if members else ()


@dataclass(frozen=True, slots=True)
class Split:
    """Frozen shares of a split; members are known by their index.

    Build with `of`. `members[i]` is the i-th on the line and `ends[i]` is where
    its stretch ends; a member of weight 0 has an empty stretch and is never picked.

    While the sum of the weights stays as it is, weight that moves between the first and the last
    member moves only points between those two. Whatever else changes: when the share of
    the last one rises no point leaves it, and when it falls none comes to it.
    """

    ends: tuple[int, ...]
    members: tuple[int, ...]

    @classmethod
    def of(cls, weights: Sequence[int]) -> Split:
        """Lay the weights out on the line.

        Raises:
            ValueError: no weight is above 0, one is below 0, or there are
                more than `MAX_MEMBERS`.
        """
        total = sum(weights)
        if total <= 0 or min(weights) < 0 or len(weights) > MAX_MEMBERS:
            raise ValueError(
                f"a split needs 1 to {MAX_MEMBERS} weights, none below 0 and one above 0"
            )
        members = line_order(len(weights))
        laid = accumulate(weights[member] for member in members)
        return cls(tuple(LINE * part // total for part in laid), members)

    def at(self, point: int) -> int:
        """Return the index of the member that owns `point`, 0 <= point < 2**32.

        One C call; with at most 16 members that is four comparisons at most.
        """
        return self.members[bisect_right(self.ends, point)]
