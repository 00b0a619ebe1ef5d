"""What waking adds to the first connection of a sleeping port."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

from benchmarks.own.figures import Figure, p50, p99
from benchmarks.own.listeners import many
from tests.e2e.apart import serving_apart
from tests.e2e.daemon import Daemon
from tests.e2e.upstreams import name_and_close


def _first_byte_ms(port: int) -> float:
    """Blocking, for nothing else is to run here meanwhile."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        assert sock.recv(16) == b"up"
        return (time.perf_counter() - began) * 1000


async def wake(folder: Path, *, quick: bool) -> list[Figure]:
    """Connect to the first byte of the answer: port asleep, then the same port open."""
    count = 50 if quick else 1000
    async with (
        serving_apart(name_and_close, "up") as upstream,
        Daemon(folder, many(count + 20, upstream.port, spare=50)) as daemon,
    ):
        views = await daemon.items("listeners")
        asleep, awake = [], []
        for number, view in enumerate(views):
            first = _first_byte_ms(view["port"])
            await asyncio.sleep(0.005)
            second = _first_byte_ms(view["port"])
            await asyncio.sleep(0.005)
            if number >= 20:  # the first twenty warm up
                asleep.append(first)
                awake.append(second)
    added = [first - second for first, second in zip(asleep, awake, strict=True)]
    return [
        Figure("first connection, port asleep, p50", p50(asleep), "ms"),
        Figure("first connection, port asleep, p99", p99(asleep), "ms"),
        Figure("connection, port open, p50", p50(awake), "ms"),
        Figure("connection, port open, p99", p99(awake), "ms"),
        Figure("added by waking, p50", p50(added), "ms", 2),
        Figure("added by waking, p99", p99(added), "ms", 2),
    ]
