"""What a request costs as there is more: 1 to 10,000 listeners, 10 to 9,500 connections."""

from __future__ import annotations

import asyncio
import contextlib

from benchmarks.arena import Arena, Watch
from benchmarks.load import open_loop
from benchmarks.machine import rss_bytes
from benchmarks.peers import Peer
from benchmarks.results import Metric, Sample, Workload
from benchmarks.workloads.requests import asked

LISTENERS = (1, 10, 100, 1000, 10_000)
CONNECTIONS = (10, 100, 1000, 9500)
KEPT, PER_SECOND = 256, 5000

BY_LISTENERS = (
    Metric("cpu_us", f"CPU us a request, {KEPT} kept connections over all of them"),
    Metric("new_cpu_us", "CPU us a connection, each to the next of them"),
    Metric("rss_mib", "MiB RSS"),
    Metric("start_s", "s to start"),
)
BY_CONNECTIONS = (
    Metric("per_second", "requests/s", more_is_better=True),
    Metric("cpu_us", "CPU us a request"),
)


async def growth_listeners(arena: Arena) -> None:
    """Each peer with each number of listeners, started anew."""
    counts = LISTENERS[:3] if arena.options.quick else LISTENERS
    for count in counts:
        workload = arena.workload(
            Workload(f"listeners-{count}", f"{count:,} listeners", BY_LISTENERS, x=count)
        )
        for kind in arena.chosen():
            async with contextlib.AsyncExitStack() as stack:
                peer = await _started(arena, workload, stack, kind, count)
                if peer is None:
                    continue
                try:
                    values, notes = await _over_all(peer, arena.options.seconds)
                except (AssertionError, OSError) as error:
                    values, notes = {}, [f"failed: {str(error)[-160:]}"]
                workload.samples.append(
                    Sample(kind.key, 0, {**values, "start_s": peer.start_s}, tuple(notes))
                )


async def growth_connections(arena: Arena) -> None:
    """Kept connections through one listener."""
    async with arena.all_running() as peers:
        for count in CONNECTIONS[:2] if arena.options.quick else CONNECTIONS:
            workload = arena.workload(
                Workload(f"connections-{count}", f"{count:,} connections", BY_CONNECTIONS, x=count)
            )

            async def measure(peer: Peer, count: int = count) -> tuple[dict[str, float], list[str]]:
                return await asked(arena, peer, connections=count)

            await arena.in_turn(workload, peers, measure, rounds=min(arena.options.rounds, 2))


async def _started(
    arena: Arena,
    workload: Workload,
    stack: contextlib.AsyncExitStack,
    kind: type[Peer],
    count: int,
) -> Peer | None:
    """Start it; that it cannot have so many listeners is said at this point of the line alone."""
    peer = await arena.started(stack, kind, arena.listeners(count))
    if peer is None and count > 1:
        reason = arena.family.skipped.pop(kind.key)
        workload.samples.append(Sample(kind.key, 0, {}, (reason,)))
    return peer


async def _over_all(peer: Peer, seconds: float) -> tuple[dict[str, float], list[str]]:
    ports = [one.port for one in peer.listeners]
    await asyncio.sleep(0.5)
    values = {"rss_mib": rss_bytes(peer.pids()) / 2**20}
    socks = open_loop.connect(ports, KEPT)
    try:
        open_loop.open_loop(socks, per_second=PER_SECOND, seconds=1)  # each one asks twenty times
        with Watch(peer) as kept:
            report = open_loop.open_loop(socks, per_second=PER_SECOND, seconds=seconds)
    finally:
        open_loop.close(socks)
    values["cpu_us"] = kept.used_s / max(len(report.latencies_s), 1) * 1e6
    with Watch(peer) as new:
        served, failed = open_loop.one_each(ports, seconds=seconds)
    values["new_cpu_us"] = new.used_s / max(served, 1) * 1e6
    lost = report.unanswered + failed
    return values, [f"{lost:,} requests were not answered"] if lost else []
