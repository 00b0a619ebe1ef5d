"""Request and answer over kept connections, and one connection for each request."""

from __future__ import annotations

from benchmarks.arena import Arena, Watch
from benchmarks.load.upstream import LARGE, SMALL
from benchmarks.load.wrk import wrk
from benchmarks.peers import Peer
from benchmarks.results import Metric, Target, Workload

_MEMORY = (Metric("p50_ms", "p50 ms"), Metric("p99_ms", "p99 ms"))

KEPT = (
    Metric(
        "per_second",
        "requests/s",
        more_is_better=True,
        ratio=True,
        targets=(Target("kernel", 1.05),),
    ),
    Metric(
        "cpu_us",
        "CPU us a request",
        ratio=True,
        targets=(Target("tenantproxy", 1.10), Target("kernel", 0.05)),
    ),
    *_MEMORY,
)
NEW = (
    Metric(
        "per_second",
        "connections/s",
        more_is_better=True,
        ratio=True,
        targets=(Target("tenantproxy", 0.90),),
    ),
    Metric("cpu_us", "CPU us a connection", ratio=True),
    *_MEMORY,
)


async def requests(arena: Arena) -> None:
    """64 and 1,000 connections, small and 16 KiB answers."""
    kinds = [
        (64, "small", SMALL),
        (1000, "small", SMALL),
        (64, "16 KiB", LARGE),
        (1000, "16 KiB", LARGE),
    ]
    async with arena.all_running() as peers:
        for connections, size, path in kinds[:1] if arena.options.quick else kinds:
            name = f"keep-alive-{connections}-{size.replace(' ', '')}"
            title = f"{connections:,} kept connections, {size} answer"
            workload = arena.workload(Workload(name, title, KEPT))

            async def measure(
                peer: Peer, connections: int = connections, path: str = path
            ) -> tuple[dict[str, float], list[str]]:
                return await asked(
                    peer, seconds=arena.options.seconds, connections=connections, path=path
                )

            await arena.in_turn(workload, peers, measure)


async def connections(arena: Arena) -> None:
    """A connection for each request, 64 at a time."""
    workload = arena.workload(
        Workload("connection-a-request", "One connection for each request", NEW)
    )

    async def measure(peer: Peer) -> tuple[dict[str, float], list[str]]:
        return await asked(peer, seconds=arena.options.seconds, close=True)

    # The kernel relay takes over connections that proved chatty; these never do.
    async with arena.all_running() as peers:
        await arena.in_turn(workload, peers, measure)


async def asked(
    peer: Peer, *, seconds: int, connections: int = 64, path: str = SMALL, close: bool = False
) -> tuple[dict[str, float], list[str]]:
    """Return what wrk says, and the CPU time of all the peer's processes for each request."""
    with Watch(peer) as watch:
        report = await wrk(
            peer.listeners[0].port, seconds=seconds, connections=connections, path=path, close=close
        )
    values = {
        "per_second": report.per_second,
        "cpu_us": watch.used_s / max(report.requests, 1) * 1e6,
        "p50_ms": report.p50_ms,
        "p99_ms": report.p99_ms,
    }
    return values, [*watch.notes, *([f"errors: {report.errors}"] if report.errors else [])]
