"""Simulated canaries: what two upstreams would be counted to do, good ones and bad ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tenantproxy.model.sides import NO_TIMES, TIME_BOUNDS_S, Side

_MEDIANS_S = (0.04, 0.4)
_WIDTHS = (0.6, 1.0)
_SLOW = 0.03
"""Times to the first byte: most about 40 ms, 3 in 100 about 400 ms, with a tail to 4 s."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How a canary differs from stable; not at all if nothing is given."""

    more_failures: float = 0.0
    """Points more of its connections are reset."""
    slower: float = 1.0
    """So many times as long to the first byte."""


ALIKE = Kind()


@dataclass(slots=True)
class Weather:
    """What befalls both alike: the day's load, and now and then a blip of the network."""

    chance: np.random.Generator
    slow: float = 0.0
    """Logarithm of how slow everything is just now; wanders."""
    failures: float = 0.0
    """Share of connections that fail just now."""

    def change(self, failures: float) -> None:
        """Go on to the next interval."""
        self.slow = 0.8 * self.slow + self.chance.normal(0, 0.1)
        self.failures = failures * math.exp(self.chance.normal(0, 0.5))
        if self.chance.random() < 0.03:
            self.failures = 0.15


def interval(weather: Weather, kind: Kind, connections: float) -> Side:
    """Return what is counted of one side in one interval, with so many connections expected."""
    chance = weather.chance
    tried = int(chance.poisson(connections))
    failed = int(chance.binomial(tried, min(1.0, weather.failures / 2)))
    opened = tried - failed
    resets = int(chance.binomial(opened, min(1.0, weather.failures + kind.more_failures)))
    silent = int(chance.binomial(opened - resets, min(1.0, weather.failures / 2)))
    times = chance.multinomial(opened, _buckets(math.exp(weather.slow) * kind.slower))
    return Side(
        opened=opened,
        failed=failed,
        ended=opened,
        resets=resets,
        silent=silent,
        first_byte=tuple(times.tolist()),
    )


def together(one: Side, other: Side) -> Side:
    """Add up two intervals."""
    return Side(
        one.opened + other.opened,
        one.failed + other.failed,
        one.ended + other.ended,
        one.resets + other.resets,
        one.silent + other.silent,
        NO_TIMES,
        tuple(a + b for a, b in zip(one.first_byte, other.first_byte, strict=True)),
    )


def _buckets(scale: float) -> np.ndarray:
    up_to = [0.0]
    for bound in TIME_BOUNDS_S:
        most, slow = (
            0.5 * math.erfc(-math.log(bound / scale / median) / width / math.sqrt(2))
            for median, width in zip(_MEDIANS_S, _WIDTHS, strict=True)
        )
        up_to.append((1 - _SLOW) * most + _SLOW * slow)
    return np.diff([*up_to, 1.0])
