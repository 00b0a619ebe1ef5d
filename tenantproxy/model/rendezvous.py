"""Weighted rendezvous hashing: who of many gets a key, so that as few keys as can be ever move.

Every member draws a number for the key, and the best one wins. The draws of a
member have nothing to do with who else takes part, so when a member leaves,
only its own keys go elsewhere, to each of the others by weight; when it
comes back they return. When a weight rises, keys move only to that member.

A member's draw is `seed * key mod 2**61 - 1` (multiplicative universal hashing, Carter and Wegman
1979) as a number u between 0 and 1, and the lowest `-ln(u) / weight` wins: the first of several
exponential clocks (Thaler and Ravishankar 1998; the weights are those of Schindelhauer and
Schomaker 2005). Members of one weight need no logarithm: among them the highest draw wins.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import blake2b
from math import inf, log

PRIME = (1 << 61) - 1


def number_of(data: bytes) -> int:
    """Return a seed or a key in [1, 2**61 - 1): the same in every process, after every restart."""
    return 1 + int.from_bytes(blake2b(data, digest_size=8).digest()) % (PRIME - 1)


class Rendezvous:
    """Members by their index, with seeds (all different) and weights; weight 0 never wins."""

    __slots__ = ("_classes",)

    def __init__(self, seeds: Sequence[int], weights: Sequence[int]) -> None:
        classes: dict[int, list[int]] = {}
        for member, weight in enumerate(weights):
            if weight > 0:
                classes.setdefault(weight, []).append(member)
        self._classes = tuple(
            (weight, tuple(seeds[member] for member in members), tuple(members))
            for weight, members in classes.items()
        )
        """Weight, seeds and indexes of the members that have this weight."""

    def winner(self, key: int, without: Collection[int] = ()) -> int | None:
        """Return the index of the member that gets the key, as if `without` took no part.

        None: there is no other. Takes one multiplication and division for each member.
        """
        best: int | None = None
        least = inf
        for weight, seeds, members in self._classes:
            draws = [seed * key % PRIME for seed in seeds]
            if without:
                for place, member in enumerate(members):
                    if member in without:
                        draws[place] = 0  # nobody draws 0: PRIME divides neither factor
            highest = max(draws)
            if highest and (waits := -log(highest / PRIME) / weight) < least:
                least = waits
                best = members[draws.index(highest)]
        return best
