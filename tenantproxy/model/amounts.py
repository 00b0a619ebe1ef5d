"""Sizes and shares in the words of reasons and of the command line; of times see `span`."""

from __future__ import annotations

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP = 1024


def size(count: float) -> str:
    """Return bytes as `0B`, `512B`, `1.5MiB`."""
    unit = 0
    while count >= _STEP and unit < len(_UNITS) - 1:
        count /= _STEP
        unit += 1
    return f"{count:.1f}{_UNITS[unit]}" if unit else f"{int(count)}B"


def percent(share: float) -> str:
    """Return a part of 1 as `0%`, `0.012%`, `5.2%`, `100%`: two digits, or one behind the point."""
    hundredths = share * 100
    told = f"{hundredths:.1f}" if abs(hundredths) >= 1 else f"{hundredths:.2g}"
    return f"{told.removesuffix('.0')}%"
