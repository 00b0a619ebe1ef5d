"""What the writer may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

MAX_SHOWN = 24


def did_you_mean(word: object, known: Iterable[str]) -> str | None:
    """Return `did you mean x?`, or None when nothing known is near."""
    near = get_close_matches(str(word)[:64], list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else None


def suggestion(word: object, known: Iterable[str], *, what: str) -> str:
    """Return `did you mean x?`, or what is known: `known keys: a, b, c`."""
    names = sorted(known)
    near = did_you_mean(word, names)
    if near is not None:
        return near
    if not names:
        return f"there are no {what} here"
    more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    return f"known {what}: {', '.join(names[:MAX_SHOWN])}{more}"
