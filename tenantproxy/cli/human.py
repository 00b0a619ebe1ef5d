"""Numbers and times the way people read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP = 1024


def size(count: float) -> str:
    """Return `0B`, `512B`, `1.5MiB`."""
    unit = 0
    while count >= _STEP and unit < len(_UNITS) - 1:
        count /= _STEP
        unit += 1
    return f"{count:.1f}{_UNITS[unit]}" if unit else f"{int(count)}B"


def span(seconds: float) -> str:
    """Return the length of a time in its two largest units: `4s`, `3m20s`, `2h5m`, `9d`."""
    whole = max(0, int(seconds))
    for unit_s, unit, lower_s, lower in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= unit_s:
            rest = whole % unit_s // lower_s
            return f"{whole // unit_s}{unit}" + (f"{rest}{lower}" if rest else "")
    return f"{whole}s"


def since(moment: str | None, now_s: float) -> str:
    """Return how long ago an RFC 3339 time was; `-` for never."""
    if moment is None:
        return "-"
    return span(now_s - datetime.fromisoformat(moment).timestamp())


def until(moment: str | None, now_s: float) -> str:
    """Return how far off an RFC 3339 time is; `-` for never."""
    if moment is None:
        return "-"
    return span(datetime.fromisoformat(moment).timestamp() - now_s)


def pairs(mapping: Mapping[str, object]) -> str:
    """Return `a=1,b=2`, or `-` for nothing."""
    return ",".join(f"{key}={value}" for key, value in mapping.items()) or "-"


def text(value: object) -> str:
    """Return any value of an answer on one line."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case Mapping():
            return pairs(value)
        case list() | tuple():
            return ", ".join(map(text, value)) or "-"
        case _:
            return str(value)
