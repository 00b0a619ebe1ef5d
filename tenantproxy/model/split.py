"""The weighted choice of a listener: one cumulative line, one bisection a pick.

The line covers the integers [0, 2**32). Each member owns a stretch of it as
long as its share. A point picks a member; where points come from is the
caller's: new connections walk the golden sequence below, a sticky split uses
a hash of the client. A change of weights is a new line; the walk goes on
from the point where it is, so frequent changes starve nobody.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Split:
    """Frozen shares of a split; members are known by their index.

    Build with `of`. `ends[i]` is where the stretch of member i ends; a
    member of weight 0 has an empty stretch and is never picked.
    """

    ends: tuple[int, ...]

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
        return cls(tuple(LINE * part // total for part in accumulate(weights)))

    def at(self, point: int) -> int:
        """Return the index of the member that owns `point`, 0 <= point < 2**32.

        One C call; with at most 16 members that is four comparisons at most.
        """
        return bisect_right(self.ends, point)
