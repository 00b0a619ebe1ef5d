"""Request and answer over kept connections, and one connection for each request."""

from __future__ import annotations

import asyncio
import math

from benchmarks.arena import LOAD_WAS_THE_LIMIT, OTHERS_RAN, Arena, Watch
from benchmarks.load.upstream import LARGE, SMALL, requests_so_far
from benchmarks.load.wrk import wrk
from benchmarks.machine import nothing_pinned, steered
from benchmarks.peers import Peer
from benchmarks.results import Metric, Target, Workload

_MACHINE = Metric("machine_us", "us of both CPUs", ratio=True)
STEERED = "steered"
_TIMES = (Metric("p50_ms", "p50 ms"), Metric("p99_ms", "p99 ms"))

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
    _MACHINE,
    *_TIMES,
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
    _MACHINE,
    *_TIMES,
)


async def requests(arena: Arena) -> None:
    """64 and 1,000 connections, small and 16 KiB answers."""
    kinds = [(64, SMALL), (1000, SMALL), (64, LARGE), (1000, LARGE)]
    async with arena.all_running() as peers:
        for connections, path in kinds[:1] if arena.options.quick else kinds:
            await _kept(arena, peers, connections, path)
        if arena.options.quick:
            return
        await _free_for_all(arena, peers)
        with steered() as works:
            for connections, path in kinds[:3] if works else ():
                await _kept(arena, peers, connections, path, how=STEERED)


async def _kept(
    arena: Arena, peers: dict[str, Peer], connections: int, path: str, how: str = ""
) -> None:
    size = {SMALL: "small", LARGE: "16 KiB"}[path]
    name = f"keep-alive-{connections}-{size.replace(' ', '')}{'-steered' * bool(how)}"
    title = f"{connections:,} kept connections, {size} answer{', ' * bool(how)}{how}"
    workload = arena.workload(Workload(name, title, KEPT))

    async def measure(peer: Peer) -> tuple[dict[str, float], list[str]]:
        return await asked(arena, peer, connections=connections, path=path)

    await arena.in_turn(workload, peers, measure)


async def _free_for_all(arena: Arena, peers: dict[str, Peer]) -> None:
    title = "64 kept connections, small answer, all on both CPUs"
    workload = arena.workload(Workload("keep-alive-free", title, KEPT))

    async def measure(peer: Peer) -> tuple[dict[str, float], list[str]]:
        values, notes = await asked(arena, peer)
        return values, of_two_cpus(notes)

    with nothing_pinned():
        await arena.in_turn(workload, peers, measure)


def of_two_cpus(notes: list[str]) -> list[str]:
    """Leave out who was the limit and who else ran: both CPUs are everybody's."""
    return [note for note in notes if note not in (LOAD_WAS_THE_LIMIT, OTHERS_RAN)]


async def connections(arena: Arena) -> None:
    """A connection for each request, 64 at a time."""
    workload = arena.workload(
        Workload("connection-a-request", "One connection for each request", NEW)
    )

    async def measure(peer: Peer) -> tuple[dict[str, float], list[str]]:
        return await asked(arena, peer, close=True)

    # The kernel relay takes over connections that proved chatty; these never do.
    async with arena.all_running() as peers:
        await arena.in_turn(workload, peers, measure)


async def asked(
    arena: Arena, peer: Peer, *, connections: int = 64, path: str = SMALL, close: bool = False
) -> tuple[dict[str, float], list[str]]:
    """Return requests/s, and the CPU time of all the peer's processes for each request.

    Both are of the time when all connections are made and have talked for a
    while: making 1,000 takes a proxy as long as thousands of requests, and the
    kernel relay links a connection at its twelfth. nginx counts; wrk knows only
    its whole run.
    """
    settle_s = 0.3 + connections / 500
    run_s = math.ceil(arena.options.seconds + settle_s)
    load = asyncio.ensure_future(
        wrk(peer.listeners[0].port, seconds=run_s, connections=connections, path=path, close=close)
    )
    try:
        await asyncio.sleep(settle_s)
        before = requests_so_far(arena.status_port)
        with Watch(peer) as watch:
            await asyncio.sleep(run_s - settle_s - 0.1)
        served = requests_so_far(arena.status_port) - before - 1  # the question itself
    finally:
        report = await load
    assert served > 1, f"nothing was served: {report.errors}"
    values = {
        "per_second": served / watch.took_s,
        "cpu_us": watch.used_s / served * 1e6,
        "machine_us": watch.machine_s / served * 1e6,
        "p50_ms": report.p50_ms,
        "p99_ms": report.p99_ms,
    }
    return values, [*watch.notes, *([f"errors: {report.errors}"] if report.errors else [])]
