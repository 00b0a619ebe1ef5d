"""Numbers and times the way people read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from tenantproxy.model.span import span as model_span

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
    """Return the length of a time in whole seconds, as the reasons do: `4s`, `3m20s`, `9d`."""
    return model_span(max(0, int(seconds)))


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


def counted(number: int, what: str) -> str:
    """Return `1 check`, `2 checks`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


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
