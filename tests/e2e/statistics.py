"""The one piece of statistics the split tests need."""

from __future__ import annotations

import math
from collections.abc import Mapping


def chi_square_p(observed: Mapping[str, int], weights: Mapping[str, int]) -> float:
    """Return how likely counts at least this far from the weights are by chance.

    For two categories, hence one degree of freedom: P(X > x) = erfc(sqrt(x / 2)).
    A share that fits better than chance would gives a p near 1, which is fine.
    """
    assert len(weights) == 2, "one degree of freedom only"
    total, unit = sum(observed.values()), sum(weights.values())
    x = sum(
        (observed.get(name, 0) - total * weight / unit) ** 2 / (total * weight / unit)
        for name, weight in weights.items()
    )
    return math.erfc(math.sqrt(x / 2))
