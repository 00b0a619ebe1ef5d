"""Many connections that come at a pace or in bursts, exchange something, and stay together."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from tests.e2e.apart import apart
from tests.e2e.upstreams import POOL, serving
from tests.e2e.wire import Wire, dial


@contextlib.asynccontextmanager
async def crowding(
    port: int, count: int, **how: int
) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Run `crowd` in a process of its own; entered when all `count` connections are open.

    What it gives ends them, and returns the bytes that they sent.
    """
    arrived, leave = asyncio.Event(), asyncio.Event()

    async def hold(_: Wire) -> None:
        arrived.set()
        await leave.wait()

    async with serving(hold) as gate:
        work = asyncio.ensure_future(apart(crowd, port, count, gate=gate.port, **how))
        all_open = asyncio.ensure_future(arrived.wait())

        async def go() -> int:
            leave.set()
            return await work

        try:
            await asyncio.wait((work, all_open), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            yield go
        finally:
            for task in (work, all_open):
                task.cancel()
            await asyncio.gather(work, all_open, return_exceptions=True)


async def crowd(port: int, count: int, *, gate: int, rate: int = 0, burst: int = 0) -> int:
    """Open `count` connections to an echo, end them when `gate` does; return the bytes sent.

    With `rate`, so many a second on a schedule that waits for nobody; with
    `burst`, so many at once, and the next ones when those were answered.
    When all are open, this connects to the port `gate`.
    """
    wires: list[Wire] = []
    try:
        sent = await (
            _bursts(port, count, burst, wires) if burst else _rate(port, count, rate, wires)
        )
        held = await dial(gate)
        await held.receive()
        held.close()
    finally:
        for wire in wires:
            wire.close()
    return sent


async def _bursts(port: int, count: int, burst: int, wires: list[Wire]) -> int:
    sent = 0
    for first in range(0, count, burst):
        numbers = range(first, min(first + burst, count))
        sent += sum(await asyncio.gather(*(_exchange(port, n, wires) for n in numbers)))
    return sent


async def _rate(port: int, count: int, rate: int, wires: list[Wire]) -> int:
    start, tasks = time.monotonic(), []
    while len(tasks) < count:
        due = min(int((time.monotonic() - start) * rate), count)
        tasks += [asyncio.ensure_future(_exchange(port, n, wires)) for n in range(len(tasks), due)]
        await asyncio.sleep(0.001)
    return sum(await asyncio.gather(*tasks))


async def _exchange(port: int, number: int, wires: list[Wire]) -> int:
    """Open connection `number` and exchange 1 to 4,096 bytes, which differ from the next one's."""
    wire = await dial(port, timeout_s=60)
    wires.append(wire)
    message = POOL[number : number + 1 + number * 1031 % 4096]
    await wire.send(message)
    assert await wire.exactly(len(message)) == message
    return len(message)
