"""Numbers and times the way people read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from tenantproxy.model.amounts import size as model_size
from tenantproxy.model.span import span as model_span


def size(count: float) -> str:
    """Return it as the reasons do: `0B`, `512B`, `1.5MiB`."""
    return model_size(count)


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
