"""Free blocks of ports below the ephemeral range, where no outgoing connection takes one."""

from __future__ import annotations

import random
import socket

LOWEST, HIGHEST = 12_000, 31_999
"""Linux hands out 32768-60999 to outgoing connections by default."""

_given: set[int] = set()


def block(length: int) -> int:
    """Return the first of `length` neighbouring ports that nobody listens on."""
    for attempt in range(10_000):
        if attempt % 100 == 99:
            _given.clear()  # too many were given; those still in use show by themselves
        first = random.randint(LOWEST, HIGHEST - length)
        wanted = range(first, first + length)
        if _given.isdisjoint(wanted) and all(is_free(port) for port in wanted):
            _given.update(wanted)
            return first
    raise AssertionError(f"no {length} neighbouring ports are free")


def is_free(port: int) -> bool:
    """Tell whether nobody is bound to the port on any address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
            probe.listen(1)
        except OSError:
            return False
    return True
