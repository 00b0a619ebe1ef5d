"""How often something happened, by name: a tuple of pairs, as `Progress` keeps it."""

from __future__ import annotations

Counted = tuple[tuple[str, int], ...]


def count_of(counted: Counted, name: str) -> int:
    """Return how often; 0 if it never did."""
    return dict(counted).get(name, 0)


def once_more(counted: Counted, name: str) -> Counted:
    """Return the counts with one more of the name."""
    counts = dict(counted)
    counts[name] = counts.get(name, 0) + 1
    return tuple(counts.items())


def without(counted: Counted, name: str) -> Counted:
    """Return the counts with none of the name."""
    return tuple(pair for pair in counted if pair[0] != name)
