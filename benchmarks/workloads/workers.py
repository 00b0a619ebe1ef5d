"""What a second worker brings, and how evenly connections spread over four."""

from __future__ import annotations

import asyncio
import socket

from benchmarks.arena import Arena
from benchmarks.load import open_loop
from benchmarks.machine import load_on_its_cpu, on_both_cpus
from benchmarks.peers import BASELINE, PEERS, Peer, Tenantproxy
from benchmarks.results import Metric, Sample, Target, Workload
from benchmarks.workloads.requests import asked, of_two_cpus
from tests.e2e import procfs

HELD, BURST = 10_000, 1000
SECOND = (
    Metric("per_second", "a second", more_is_better=True),
    Metric("cpu_us", "CPU us each"),
    Metric("p99_ms", "p99 ms"),
)
SPREAD = (
    Metric(
        "max_over_min",
        "busiest over idlest",
        targets=(
            Target("tenantproxy, paced", 1.3, "value"),
            Target("tenantproxy, bursts", 1.3, "value"),
        ),
    ),
    Metric("most", "most"),
    Metric("least", "least"),
)


async def workers(arena: Arena) -> None:
    """Both, on all CPUs: nothing is pinned here."""
    on_both_cpus()
    try:
        await _second_worker(arena)
        await _spread(arena)
    finally:
        load_on_its_cpu()


async def _second_worker(arena: Arena) -> None:
    kinds = {
        f"{PEERS[key].title}, {count} {'worker' if count == 1 else 'workers'}": (PEERS[key], count)
        for key in (Tenantproxy.key, BASELINE)
        if key in {kind.key for kind in arena.chosen()}
        for count in (1, 2)
    }
    for close, title in ((False, "64 kept connections"), (True, "a connection for each request")):
        workload = arena.workload(
            Workload(
                f"second-worker-{'new' if close else 'kept'}",
                f"One worker and two, load and upstream on the same two CPUs, {title}",
                SECOND,
            )
        )
        for number in range(1 if arena.options.quick else 3):
            for name, (kind, count) in list(kinds.items())[:: -1 if number % 2 else 1]:
                peer = kind(arena.folder, arena.listeners(1), workers=count)
                peer.cpus = None
                async with peer:
                    values, notes = await asked(arena, peer, close=close)
                workload.samples.append(Sample(name, number, values, tuple(of_two_cpus(notes))))


async def _spread(arena: Arena) -> None:
    if Tenantproxy.key not in arena.options.peers:
        return
    count = 1000 if arena.options.quick else HELD
    workload = arena.workload(
        Workload("spread", f"{count:,} connections held by 4 workers", SPREAD)
    )
    for number in range(1 if arena.options.quick else 3):
        for way in ("paced", "bursts"):
            peer = Tenantproxy(arena.folder, arena.listeners(1), workers=4)
            async with peer:
                await asyncio.sleep(1)  # it serves when one worker does; all four are to take part
                held = await _hold(peer, count, bursts=way == "bursts")
            values = {
                "max_over_min": max(held) / max(min(held), 1),
                "most": max(held),
                "least": min(held),
            }
            notes = [] if sum(held) == count else [f"{sum(held):,} were held"]
            workload.samples.append(Sample(f"tenantproxy, {way}", number, values, tuple(notes)))


async def _hold(peer: Peer, count: int, *, bursts: bool) -> list[int]:
    """Return how many connections each worker holds."""
    pids = [pid for pid in peer.pids() if "tenantproxy.dataplane.worker" in procfs.command(pid)]
    before = [procfs.fds(pid) for pid in pids]
    port, socks = peer.listeners[0].port, list[socket.socket]()
    try:
        if bursts:
            for _ in range(count // BURST):
                socks += await _burst(port, BURST)
        else:
            socks += open_loop.connect([port], count)
        # Two descriptors for each connection: of the client and of the upstream.
        return [(procfs.fds(pid) - old) // 2 for pid, old in zip(pids, before, strict=True)]
    finally:
        open_loop.close(socks)


async def _burst(port: int, count: int) -> list[socket.socket]:
    """Return connections that were all begun before any was waited for, each answered once."""
    loop, socks = asyncio.get_running_loop(), list[socket.socket]()
    for _ in range(count):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", port))
        socks.append(sock)
    for sock in socks:
        await loop.sock_sendall(sock, open_loop.REQUEST)
    for sock in socks:
        assert await asyncio.wait_for(loop.sock_recv(sock, 4096), 20)
    return socks
