"""Endpoints laid on a line, each as long as its weight: a place on the line is a weighted choice.

Nothing is rounded, a choice is one bisection, and laying the line is one
addition for each endpoint, so that ten or a thousand of them and weights of any
size are the same to it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import accumulate

from tenantproxy.dataplane.endpoint import Endpoint


class Line:
    """The line of some endpoints, by the weights they have when it is made."""

    __slots__ = ("_endpoints", "_ends", "_places", "_total")

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = tuple(e for e in endpoints if e.weight > 0)
        self._ends = tuple(accumulate(e.weight for e in self._endpoints))
        self._total = self._ends[-1] if self._ends else 0
        self._places = {endpoint: place for place, endpoint in enumerate(self._endpoints)}

    def at(self, part: float, exclude: Collection[Endpoint] = ()) -> Endpoint | None:
        """Return the endpoint at this part of the line, 0 <= part < 1.

        Those in `exclude` are cut out and the rest is joined, so the others keep their
        shares among themselves. None when nothing is left.
        """
        if exclude:
            return self._at_rest(part, exclude)
        if not self._endpoints:
            return None
        return self._endpoints[bisect_right(self._ends, int(part * self._total))]

    def _at_rest(self, part: float, exclude: Collection[Endpoint]) -> Endpoint | None:
        ends = self._ends
        places = self._places
        cuts = sorted({places[endpoint] for endpoint in exclude if endpoint in places})
        stretches = [(ends[cut - 1] if cut else 0, ends[cut]) for cut in cuts]
        left = self._total - sum(end - begin for begin, end in stretches)
        if left <= 0:
            return None
        point = int(part * left)
        for begin, end in stretches:
            if point < begin:
                break
            point += end - begin
        return self._endpoints[bisect_right(ends, point)]
