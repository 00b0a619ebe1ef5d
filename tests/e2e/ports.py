"""Free blocks of ports below the ephemeral range, where no outgoing connection takes one."""

from __future__ import annotations

import os
import random
import socket

_ALL = range(12_000, 32_000)
"""Linux hands out 32768-60999 to outgoing connections by default."""
_HALF = len(_ALL) // 2
_mine = {"gw0": _ALL[:_HALF], "gw1": _ALL[_HALF:]}.get(os.environ.get("PYTEST_XDIST_WORKER", ""))
LOWEST, HIGHEST = (_mine or _ALL)[0], (_mine or _ALL)[-1]
"""Two processes of tests that run at a time have ports of their own."""

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
