"""Which number each listener gets: explicit ones as asked, automatic ones by a fixed walk.

The walk of a listener begins at a hash of its name, so the same document
gives the same numbers after a restart, whatever the order of its entries,
as long as no two walks meet; where they do, names decide in their order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from tenantproxy.errors import PortClash, PortError, PortRangeFull, PortReserved
from tenantproxy.model.spec import ListenerKey, ListenerSpec


@dataclass(frozen=True, slots=True)
class Reservation:
    """A number that a closed listener keeps for its tenant."""

    key: ListenerKey
    until_s: float
    """Loop time."""


def candidates(key: ListenerKey, port_range: tuple[int, int]) -> Iterator[int]:
    """Yield every number of the range once, in this listener's own order."""
    low, high = port_range
    size = high - low + 1
    digest = hashlib.blake2b(str(key).encode(), digest_size=8).digest()
    start = int.from_bytes(digest, "big") % size
    for offset in range(size):
        yield low + (start + offset) % size


def assign(
    wanting: Iterable[ListenerSpec],
    *,
    port_range: tuple[int, int],
    used: Mapping[int, ListenerKey],
    kept: Mapping[ListenerKey, int],
    reserved: Mapping[int, Reservation],
    avoid: Container[int],
    now_s: float,
) -> tuple[dict[ListenerKey, int], list[PortError]]:
    """Give each listener in `wanting` its number.

    Args:
        wanting: the listeners that are new or changed.
        port_range: first and last automatic number.
        used: numbers in use, those in `kept` among them.
        kept: numbers that change hands: their listeners go, or are in
            `wanting`, where an automatic one keeps its own.
        reserved: numbers that cool down; only their tenant may have them.
        avoid: numbers that are no listener's: admin, metrics, foreign processes.
        now_s: loop time, against which reservations end.

    Returns the numbers and every problem; numbers are complete only if there
    is no problem.
    """
    taken = dict(used)
    for changing in kept.values():
        taken.pop(changing, None)
    ports: dict[ListenerKey, int] = {}
    problems: list[PortError] = []
    # Explicit numbers first: automatic ones walk around them.
    for spec in sorted(wanting, key=lambda spec: (spec.port is None, spec.key)):
        if spec.port is not None:
            got: int | PortError = _explicit(spec.key, spec.port, taken, reserved, now_s)
        else:
            got = _automatic(spec.key, port_range, taken, kept, reserved, avoid, now_s)
        if isinstance(got, PortError):
            problems.append(got)
        else:
            ports[spec.key] = got
            taken[got] = spec.key
    return ports, problems


def _explicit(
    key: ListenerKey,
    port: int,
    taken: Mapping[int, ListenerKey],
    reserved: Mapping[int, Reservation],
    now_s: float,
) -> int | PortError:
    holder, kept = taken.get(port), reserved.get(port)
    if holder is not None and holder != key:
        return PortClash(
            f"listener {key} wants port {port}, which {holder} has",
            hint="give one of them another port, or leave `port` out",
        )
    if kept is not None and kept.until_s > now_s and kept.key.tenant != key.tenant:
        return PortReserved(
            f"listener {key} wants port {port}, which stays reserved for "
            f"tenant {kept.key.tenant} for another {kept.until_s - now_s:.0f} s",
            hint="choose another number, or wait until the reservation ends",
        )
    return port


def _automatic(
    key: ListenerKey,
    port_range: tuple[int, int],
    taken: Mapping[int, ListenerKey],
    kept: Mapping[ListenerKey, int],
    reserved: Mapping[int, Reservation],
    avoid: Container[int],
    now_s: float,
) -> int | PortError:
    old = kept.get(key)
    if old is not None and port_range[0] <= old <= port_range[1] and old not in taken:
        return old
    for number in candidates(key, port_range):
        if number in taken or number in avoid:
            continue
        reservation = reserved.get(number)
        if reservation is None or reservation.until_s <= now_s or reservation.key == key:
            return number
    low, high = port_range
    return PortRangeFull(
        f"no number of {low}-{high} is free for listener {key}",
        hint="widen proxy.port_range (read at start) or remove listeners",
    )
