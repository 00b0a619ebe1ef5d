"""How an upstream is, in the fewest words: for the column STATE and for `describe`."""

from __future__ import annotations

from collections import Counter

from tenantproxy.cli.output import Item

_LEFT_OUT = ("unhealthy", "ejected", "unresolved")


def condition(upstream: Item) -> str:
    """Return `ok`, `asleep`, or what is wrong, the worst first: `panic, 2 unhealthy, full`.

    `no endpoints`: connections are refused. Of a sleeping one nothing is known, so nothing is
    wrong.
    """
    if not upstream["awake"]:
        return "asleep"
    words = []
    if without_endpoints(upstream):
        words.append("no endpoints")
    elif upstream["panic"]:
        words.append("panic")
    counts = counted(upstream)
    words += [f"{counts[state]} {state}" for state in _LEFT_OUT if counts[state]]
    limits = upstream["limits"]
    if limits["max_connections"] is not None and limits["slots"] >= limits["max_connections"]:
        words.append("full")
    if upstream["discovery_reason"]:
        words.append("discovery fails")
    if upstream["shortened"]:
        words.append("shortened")
    return ", ".join(words) or "ok"


def counted(upstream: Item) -> Counter[str]:
    """Return the number of endpoints by state."""
    return Counter(endpoint["state"] for endpoint in upstream["endpoints"])


def without_endpoints(upstream: Item) -> bool:
    """Tell whether no endpoint may be used, not even in panic."""
    if upstream["panic"]:
        return all(endpoint["resolved"] is None for endpoint in upstream["endpoints"])
    return bool(upstream["usable_endpoints"] == 0)


def usable(upstream: Item) -> str:
    """Return `1 of 4 endpoints usable`."""
    return f"{upstream['usable_endpoints']} of {len(upstream['endpoints'])} endpoints usable"
