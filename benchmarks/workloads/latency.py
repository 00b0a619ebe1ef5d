"""Latency at half and a quarter of HAProxy's maximum, which is measured in the same run."""

from __future__ import annotations

import statistics

from benchmarks.arena import LOAD_WAS_THE_LIMIT, Arena, Watch
from benchmarks.load import open_loop
from benchmarks.load.wrk import wrk
from benchmarks.machine import nothing_pinned, steered
from benchmarks.peers import BASELINE, Peer
from benchmarks.results import Metric, Sample, Target, Workload
from benchmarks.workloads.requests import STEERED, of_two_cpus

CONNECTIONS = 64
PERCENTS = (50, 25)
"""At half, client, upstream and the work of the kernel relay can fill the load's CPU."""
DIRECT = "direct, without a proxy"
FULL = "the load's CPU was full: some of the latency is its own"
FIXED = (
    Metric("p50_ms", "p50 ms", ratio=True),
    Metric(
        "p99_ms",
        "p99 ms",
        ratio=True,
        targets=(Target("tenantproxy", 1.2), Target("kernel", 0.8)),
    ),
    Metric("p999_ms", "p99.9 ms"),
    Metric("cpu_us", "CPU us a request", ratio=True),
    Metric("machine_us", "us of both CPUs", ratio=True),
)


async def latency(arena: Arena) -> None:
    """Each request is timed from the moment when it was due."""
    async with arena.all_running() as peers:
        if BASELINE not in peers:
            arena.family.skipped.setdefault(
                BASELINE, "rates are shares of its maximum: nothing ran"
            )
            return
        most = await _maximum(arena, peers[BASELINE])
        for percent in PERCENTS:
            await _fixed(arena, peers, most, percent)
        if arena.options.quick:
            return
        await _free_for_all(arena, peers, most)
        with steered() as works:
            if works:
                most = await _maximum(arena, peers[BASELINE])
                await _fixed(arena, peers, most, PERCENTS[0], how=STEERED)


async def _maximum(arena: Arena, peer: Peer) -> float:
    """Return how many requests a second it can answer."""
    most = [
        (await wrk(peer.listeners[0].port, seconds=arena.options.seconds)).per_second
        for _ in range(1 if arena.options.quick else 3)
    ]
    return statistics.median(most)


async def _fixed(
    arena: Arena, peers: dict[str, Peer], most: float, percent: int, how: str = ""
) -> None:
    rate, seconds = round(most * percent / 100, -2), _seconds(arena)
    title = f"{rate:,.0f} requests/s, {percent} % of HAProxy's maximum, {CONNECTIONS} connections"
    name = f"fixed-rate-{percent}{'-steered' * bool(how)}"
    workload = arena.workload(Workload(name, f"{title}{', ' * bool(how)}{how}", FIXED))

    async def measure(peer: Peer) -> tuple[dict[str, float], list[str]]:
        return _at_rate(peer.listeners[0].port, rate, seconds, peer)

    await arena.in_turn(workload, peers, measure)
    values, notes = _at_rate(arena.web_port, rate, seconds)
    workload.samples.append(Sample(DIRECT, 0, values, tuple(notes)))


def _seconds(arena: Arena) -> int:
    """Return the length of a run: one pause of the machine is not to be a hundredth of it."""
    return arena.options.seconds * (1 if arena.options.quick else 2)


async def _free_for_all(arena: Arena, peers: dict[str, Peer], most: float) -> None:
    rate = round(most / 2, -2)
    title = f"{rate:,.0f} requests/s, half of HAProxy's maximum, all on both CPUs"
    workload = arena.workload(Workload("fixed-rate-free", title, FIXED))

    async def measure(peer: Peer) -> tuple[dict[str, float], list[str]]:
        values, notes = _at_rate(peer.listeners[0].port, rate, _seconds(arena), peer)
        return values, [note for note in of_two_cpus(notes) if note != FULL]

    with nothing_pinned():
        await arena.in_turn(workload, peers, measure)


def _at_rate(
    port: int, rate: float, seconds: float, peer: Peer | None = None
) -> tuple[dict[str, float], list[str]]:
    socks = open_loop.connect([port], CONNECTIONS)
    try:
        open_loop.open_loop(socks, per_second=rate / 4, seconds=0.5)  # a relay sees who is chatty
        with Watch(peer) as watch:
            report = open_loop.open_loop(socks, per_second=rate, seconds=seconds)
    finally:
        open_loop.close(socks)
    values = {
        "p50_ms": report.percentile_ms(50),
        "p99_ms": report.percentile_ms(99),
        "p999_ms": report.percentile_ms(99.9),
    }
    answered = max(len(report.latencies_s), 1)
    values["machine_us"] = watch.machine_s / answered * 1e6
    if peer is not None:
        values["cpu_us"] = watch.used_s / answered * 1e6
    notes = [FULL if note == LOAD_WAS_THE_LIMIT else note for note in watch.notes]
    if report.errors:
        notes.append(f"{report.errors} connections ended")
    if report.unanswered:
        notes.append(f"{report.unanswered:,} requests were not answered in time")
    return values, notes
