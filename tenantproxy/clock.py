"""The one place that reads a clock; everything else takes the time as an argument."""

from __future__ import annotations

import time


def monotonic_s() -> float:
    """Return seconds of CLOCK_MONOTONIC: the same in every process of the host."""
    return time.monotonic()


def wall_s() -> float:
    """Return seconds since the epoch, for people and for Prometheus only."""
    return time.time()
