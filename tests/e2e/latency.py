"""How long a neighbour's questions take: the p99 of a steady load, in a process of its own."""

from __future__ import annotations

import asyncio
import time

from tests.e2e.apart import apart
from tests.e2e.wire import dialled

PAUSE_S = 0.004


async def p99_s(port: int, duration_s: float, *, clients: int = 4) -> float:
    """Return the 99th percentile of connect, question and answer, in seconds."""
    return await apart(_ask_for, port, duration_s, clients)


async def _ask_for(port: int, duration_s: float, clients: int) -> float:
    took: list[float] = []
    end_s = time.monotonic() + duration_s

    async def one() -> None:
        while time.monotonic() < end_s:
            began_s = time.monotonic()
            async with dialled(port) as wire:
                await wire.send(b"?")
                assert await wire.receive(64)
            took.append(time.monotonic() - began_s)
            await asyncio.sleep(PAUSE_S)

    await asyncio.gather(*(one() for _ in range(clients)))
    took.sort()
    return took[len(took) * 99 // 100]
