"""Memory of connections over which nothing moves."""

from __future__ import annotations

import asyncio
import contextlib

from benchmarks.arena import Arena
from benchmarks.load import open_loop
from benchmarks.machine import rss_bytes
from benchmarks.peers import WITHOUT_RELAY, Peer
from benchmarks.results import Metric, Sample, Target, Workload

HELD, WARM = 9_500, 200
"""10,000 would be 20,000 descriptors in a proxy, which is all that it may have."""
IDLE = (
    Metric(
        "kib",
        "KiB RSS a connection",
        ratio=True,
        targets=(Target("tenantproxy", 0.25),),
    ),
    Metric("total_mib", "MiB RSS in all"),
)


async def idle(arena: Arena) -> None:
    """Growth of all processes by connections that carried one request each."""
    count = 1000 if arena.options.quick else HELD
    workload = arena.workload(Workload("idle", f"{count:,} idle connections", IDLE))
    for kind in arena.chosen(among=WITHOUT_RELAY):
        async with contextlib.AsyncExitStack() as stack:
            peer = await arena.started(stack, kind, arena.listeners(1))
            if peer is None:
                continue
            try:
                values = await _growth(peer, count)
            except (AssertionError, OSError) as error:
                workload.samples.append(Sample(kind.key, 0, {}, (f"failed: {error}",)))
            else:
                workload.samples.append(Sample(kind.key, 0, values))


async def _growth(peer: Peer, count: int) -> dict[str, float]:
    socks = open_loop.connect([peer.listeners[0].port], WARM)
    try:
        await asyncio.sleep(1)
        before = rss_bytes(peer.pids())
        socks += open_loop.connect([peer.listeners[0].port], count)
        await asyncio.sleep(2)
        after = rss_bytes(peer.pids())
    finally:
        open_loop.close(socks)
    return {"kib": (after - before) / count / 1024, "total_mib": after / 2**20}
