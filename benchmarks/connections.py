"""What an idle proxied connection costs in memory, beside HAProxy."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.haproxy import haproxy
from tests.e2e import procfs
from tests.e2e.apart import serving_apart
from tests.e2e.daemon import Daemon, document, tenant
from tests.e2e.upstreams import echo
from tests.e2e.wire import Wire, dial

WARM = 200


@contextlib.asynccontextmanager
async def _held(port: int, count: int) -> AsyncIterator[None]:
    """Hold connections over which one byte went each way."""
    wires: list[Wire] = []
    try:
        for _ in range(count):
            wire = await dial(port)
            wires.append(wire)
            await wire.send(b"x")
            assert await wire.exactly(1) == b"x"
        yield
    finally:
        for wire in wires:
            wire.reset()


async def _growth_bytes(port: int, pid: int, count: int) -> float:
    async with _held(port, WARM):
        await asyncio.sleep(1)
        before = procfs.rss_bytes(pid)
        async with _held(port, count):
            await asyncio.sleep(2)
            return procfs.rss_bytes(pid) - before


async def idle_memory(folder: Path, *, quick: bool) -> list[Figure]:
    """RSS growth of one worker, and of HAProxy, by that many idle connections."""
    count = 500 if quick else 8000
    # Its own process each: 8,000 connections are 16,000 descriptors for a proxy.
    async with serving_apart(echo) as upstream:
        doc = document({"acme": tenant({"up": upstream.port}, web={"split": {"up": 1}})}, workers=1)
        async with Daemon(folder, doc) as daemon:
            (worker,) = daemon.workers()
            control_before = procfs.rss_bytes(daemon.pid)
            ours = await _growth_bytes(await daemon.port("acme/web"), worker, count)
            control = procfs.rss_bytes(daemon.pid) - control_before
        async with haproxy(folder, upstream.port) as (port, pid):
            theirs = await _growth_bytes(port, pid, count)
    return [
        Figure(f"an idle connection ({count:,} held)", ours / count / 1024, "KiB", 1),
        Figure("the same in the control process", control / count / 1024, "KiB"),
        Figure("the same in HAProxy", theirs / count / 1024, "KiB"),
    ]
