"""How many live connections are ended after a step, so that long ones follow the weights too.

Who is ended connects again, and the split in force decides where. Pure; the pace is kept by a
fraction that is carried from one call to the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

_ROUNDING = 1e-9
"""Twelve times a twelfth is a whole one, whatever floats say."""


@dataclass(frozen=True, slots=True)
class Moves:
    """What to end now."""

    side: Literal["stable", "canary"] | None
    """The side that has too many; None: neither has."""
    most: tuple[int, ...] = ()
    """By worker, how many of that side; their sum may be 0."""
    credit: float = 0.0
    """Part of a connection that the pace has granted and nobody was ended for: pass it on."""


def rebalance(
    stable: Sequence[int],
    canary: Sequence[int],
    weight: int,
    *,
    pace_per_s: float,
    dt_s: float,
    credit: float = 0.0,
) -> Moves:
    """Return which connections have to go elsewhere.

    Never more of them than the side has too many, so that none is missing there even if all
    come to the other side. Over any time not more than the pace allows and one.

    A side has too many if it is above its share by a connection and by one standard deviation of a
    binomial: chance alone, such as that of sticky clients, is not worth ending anybody for.

    Args:
        stable: live connections by worker.
        canary: the same of the canary.
        weight: percent that the canary shall have.
        pace_per_s: part of all these connections that may be ended in a second.
        dt_s: time since the call before, in seconds.
        credit: of the call before.
    """
    has = sum(canary)
    total = has + sum(stable)
    share = weight / 100
    extra = has - total * share
    surplus = abs(extra)
    if surplus < max(1.0, math.sqrt(total * share * (1 - share))):
        return Moves(None)
    side: Literal["stable", "canary"] = "canary" if extra > 0 else "stable"
    budget = credit + pace_per_s * dt_s * total + _ROUNDING
    number = min(int(budget), int(surplus + _ROUNDING))
    left = max(budget - number - _ROUNDING, 0.0)
    # What the pace grants beyond what there is to end is not saved up for a burst.
    return Moves(side, spread(number, canary if extra > 0 else stable), left if left < 1 else 0.0)


def spread(number: int, have: Sequence[int]) -> tuple[int, ...]:
    """Share a number out in proportion to what each has; nobody gives more than that.

    The largest remainders get what rounding leaves over.
    """
    total = sum(have)
    if not total:
        return (0,) * len(have)
    parts = [divmod(number * one, total) for one in have]
    given = [whole for whole, _ in parts]
    by_rest = sorted(range(len(parts)), key=lambda index: -parts[index][1])
    for index in by_rest[: number - sum(given)]:
        given[index] += 1
    return tuple(given)
