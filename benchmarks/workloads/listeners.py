"""Listeners that come and go at run time, and weights that change under load."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from benchmarks.arena import Arena
from benchmarks.load import open_loop
from benchmarks.machine import rss_bytes
from benchmarks.peers import WITHOUT_RELAY, Listener, Peer
from benchmarks.peers.base import asks_well
from benchmarks.peers.envoy import Envoy, EnvoyThatDrainsSoon
from benchmarks.results import Metric, Sample, Target, Workload
from tests.e2e.daemon import until

Measure = Callable[[Peer], Awaitable[dict[str, float]]]

OPENED, ON_TOP = 2000, 10
REWEIGHS, HELD, PER_SECOND, SECONDS = 4, 200, 2000, 5.0

LIFE = (
    Metric(
        "open_s",
        "open: all accept, s",
        ratio=True,
        targets=(Target("tenantproxy", 0.2, "value"),),
    ),
    Metric("served_s", "all serve, s"),
    Metric("one_more_ms", "one more, p50 ms", ratio=True),
    Metric("one_more_worst_ms", "slowest ms"),
    Metric("close_s", "close, s", ratio=True),
    Metric("kib", "KiB RSS each"),
)
WEIGHTS = (
    Metric("cut", f"of {HELD} connections cut", targets=(Target("tenantproxy", 0, "value"),)),
    Metric("call_ms", "call ms"),
    Metric("p99_ms", "p99 ms of requests"),
    Metric("follow_percent", "% of new ones that follow"),
)


async def listeners(arena: Arena) -> None:
    """Open 2,000 at once, one more on top, close them; reweigh."""
    title = f"{_count(arena):,} listeners at run time, and one more on top of them"
    life = arena.workload(Workload("listeners", title, LIFE))
    for kind in arena.chosen(among=WITHOUT_RELAY):
        if kind.opens_by is None:
            life.samples.append(Sample(kind.key, 0, {}, ("a new port needs a restart",)))
            continue
        await _one(arena, life, kind, functools.partial(_life, arena), f"by {kind.opens_by}")
    weights = arena.workload(
        Workload("reweigh", f"{REWEIGHS} changes of weights at {PER_SECOND:,} requests/s", WEIGHTS)
    )
    for kind in arena.chosen(among=WITHOUT_RELAY):
        note = f"by {kind.reweighs_by}"
        if kind is Envoy:
            kind = EnvoyThatDrainsSoon  # noqa: PLW2901 - the same peer, watched for seconds, not minutes
            note += "; drain time set to 2 s, by default they are cut after 600 s"
        await _one(arena, weights, kind, _reweigh, note)


def _count(arena: Arena) -> int:
    return 200 if arena.options.quick else OPENED


async def _one(
    arena: Arena, workload: Workload, kind: type[Peer], measure: Measure, note: str
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        peer = await arena.started(stack, kind, arena.listeners(1))
        if peer is None:
            return
        try:
            values = await measure(peer)
        except (AssertionError, OSError) as error:
            values, note = {}, f"failed: {str(error)[-200:]}"
        workload.samples.append(Sample(kind.key, 0, values, (note,)))


async def _life(arena: Arena, peer: Peer) -> dict[str, float]:
    base, count = peer.listeners[0], _count(arena)
    spare = arena.listeners(count + ON_TOP)
    more, on_top = spare[:count], spare[count:]
    before = rss_bytes(peer.pids())

    began = time.perf_counter()
    # Beside it, for an API answers when it is done and a signal at once.
    call = asyncio.ensure_future(peer.set_listeners([base, *more]))
    await _until_listening(more, count)
    open_s = time.perf_counter() - began
    for one in [*more[:: max(count // 20, 1)], more[-1]]:
        await until(functools.partial(asks_well, one.port), every_s=0.002)
    served_s = time.perf_counter() - began
    await call
    await asyncio.sleep(1)
    kib = (rss_bytes(peer.pids()) - before) / count / 1024

    times_ms = []
    for number in range(ON_TOP):
        await asyncio.sleep(0.2)
        began = time.perf_counter()
        await peer.set_listeners([base, *more, *on_top[: number + 1]])
        await until(functools.partial(asks_well, on_top[number].port), within_s=30, every_s=0.001)
        times_ms.append((time.perf_counter() - began) * 1000)

    await asyncio.sleep(0.5)
    began = time.perf_counter()
    call = asyncio.ensure_future(peer.set_listeners([base]))
    await _until_listening(spare, 0)
    close_s = time.perf_counter() - began
    await call
    return {
        "open_s": open_s,
        "served_s": served_s,
        "one_more_ms": statistics.median(times_ms),
        "one_more_worst_ms": max(times_ms),
        "close_s": close_s,
        "kib": kib,
    }


async def _until_listening(wanted: Iterable[Listener], count: int) -> None:
    ports = {one.port for one in wanted}
    await until(lambda: len(listening() & ports) == count, within_s=60, every_s=0.002)


def listening() -> set[int]:
    """Return the ports of IPv4 that are listened on."""
    found = set()
    with Path("/proc/net/tcp").open() as lines:
        next(lines)
        for line in lines:
            field = line.split(maxsplit=4)
            if field[3] != "0A":
                break  # the kernel lists listening sockets first
            found.add(int(field[1].rpartition(":")[2], 16))
    return found


async def _reweigh(peer: Peer) -> dict[str, float]:
    listener = peer.listeners[0]
    socks = open_loop.connect([listener.port], HELD)
    load = asyncio.ensure_future(
        asyncio.to_thread(open_loop.open_loop, socks, per_second=PER_SECOND, seconds=SECONDS)
    )
    calls_ms = []
    try:
        for number in range(REWEIGHS):
            await asyncio.sleep(0.5)
            weights = (90, 10) if number % 2 else (10, 90)
            began = time.perf_counter()
            await peer.reweigh(Listener(listener.port, listener.upstream, weights))
            calls_ms.append((time.perf_counter() - began) * 1000)
        await peer.reweigh(Listener(listener.port, listener.upstream, (10, 90)))
    finally:
        report = await load
        open_loop.close(socks)
    answers = [open_loop.ask_once(listener.port, "/who") for _ in range(100)]
    return {
        "cut": report.errors,
        "call_ms": statistics.median(calls_ms),
        "p99_ms": report.percentile_ms(99),
        "follow_percent": sum(b"127.0.0.2" in answer for answer in answers),
    }
