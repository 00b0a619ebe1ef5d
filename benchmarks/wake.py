"""What waking adds to the first connection of a sleeping port."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from benchmarks.figures import Figure, p50, p99
from benchmarks.listeners import many
from tests.e2e.apart import serving_apart
from tests.e2e.daemon import Daemon, range_of
from tests.e2e.load import try_once
from tests.e2e.upstreams import name_and_close


async def _first_byte_ms(port: int) -> float:
    began = time.perf_counter()
    assert await try_once(port) == ("served", "up")
    return (time.perf_counter() - began) * 1000


async def wake(folder: Path, *, quick: bool) -> list[Figure]:
    """Connect to the first byte of the answer: port asleep, then the same port open."""
    count = 50 if quick else 500
    async with serving_apart(name_and_close, "up") as upstream:
        doc = many(count + 20, upstream.port)
        async with Daemon(folder, doc) as daemon:
            asleep, awake = [], []
            for number, port in enumerate(range_of(doc)):
                first = await _first_byte_ms(port)
                await asyncio.sleep(0.005)
                second = await _first_byte_ms(port)
                await asyncio.sleep(0.005)
                if number >= 20:  # the first twenty warm up
                    asleep.append(first)
                    awake.append(second)
            del daemon
    added = [first - second for first, second in zip(asleep, awake, strict=True)]
    return [
        Figure("first connection, port asleep, p50", p50(asleep), "ms"),
        Figure("first connection, port asleep, p99", p99(asleep), "ms"),
        Figure("connection, port open, p50", p50(awake), "ms"),
        Figure("connection, port open, p99", p99(awake), "ms"),
        Figure("added by waking, p50", p50(added), "ms", 2),
        Figure("added by waking, p99", p99(added), "ms", 2),
    ]
