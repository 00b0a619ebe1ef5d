"""What thousands of listeners cost: to start, to add to, to keep."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from benchmarks.own.figures import Figure, p50, p99
from tests.e2e import procfs
from tests.e2e.apart import serving_apart
from tests.e2e.daemon import Daemon, document, range_of, tenant, until
from tests.e2e.load import try_once
from tests.e2e.upstreams import name_and_close

PER_TENANT = 100


def many(
    count: int, upstream: int, *, opening: str = "on_demand", spare: int = 0
) -> dict[str, Any]:
    """Return a document of `count` listeners with automatic ports, 100 to a tenant."""
    tenants = {}
    for first in range(0, count, PER_TENANT):
        names = [f"l{n}" for n in range(first, min(first + PER_TENANT, count))]
        one = tenant({"up": upstream})
        one["listeners"] = {name: {"split": {"up": 1}, "open": opening} for name in names}
        tenants[f"t{first}"] = one
    return document(tenants, room=count + spare)


def listening(ports: range) -> set[int]:
    """Return which of the ports are listened on."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        field = line.split()
        if field[3] == "0A":
            found.add(int(field[1].rsplit(":", 1)[1], 16))
    return found & set(ports)


async def start(folder: Path, *, quick: bool) -> list[Figure]:
    """From the start of the process to all listeners accepting."""
    count, figures = (1000 if quick else 10_000), []
    async with serving_apart(name_and_close, "up") as upstream:
        for opening in ("on_demand", "always"):
            doc = many(count, upstream.port, opening=opening)
            async with Daemon(folder, doc, ready_within_s=120) as daemon:
                accepting = listening(range_of(doc))
                assert len(accepting) >= count
                began = time.monotonic()
                if opening == "always":
                    await until(lambda: _all_open(daemon, count), within_s=60)
                open_s = daemon.ready_after_s + time.monotonic() - began
                for port in sorted(accepting)[:: count // 100]:
                    assert await try_once(port) == ("served", "up"), port
            state = "asleep" if opening == "on_demand" else "open"
            figures.append(
                Figure(f"{count:,} listeners ({state}): start to accepting", open_s, "s")
            )
    return figures


async def _all_open(daemon: Daemon, count: int) -> bool:
    samples = await daemon.metrics()
    found = [
        value
        for name, value in samples.items()
        if name.startswith("tenantproxy_listener_state") and 'state="open"' in name
    ]
    return sum(found) == count


async def add_one(folder: Path, *, quick: bool) -> list[Figure]:
    """One more listener by the API on top: from the call to a served connection."""
    count, times = (1000, 20) if quick else (10_000, 200)
    async with serving_apart(name_and_close, "up") as upstream:
        doc = many(count, upstream.port, spare=times + 200)
        async with Daemon(folder, doc, ready_within_s=120) as daemon:
            answered, served = [], []
            for number in range(-10, times):
                await asyncio.sleep(0.02)
                began = time.monotonic()
                view = await daemon.api(
                    "PUT", f"tenants/t0/listeners/extra-{number + 10}", {"split": {"up": 1}}
                )
                answer_s = time.monotonic() - began
                assert await try_once(view["port"]) == ("served", "up")
                if number >= 0:  # the first ten warm up
                    answered.append(answer_s * 1000)
                    served.append((time.monotonic() - began) * 1000)
    on_top = f"one more on top of {count:,}"
    return [
        Figure(f"{on_top}: call to answer, p50", p50(answered), "ms"),
        Figure(f"{on_top}: call to answer, p99", p99(answered), "ms"),
        Figure(f"{on_top}: call to served connection, p50", p50(served), "ms"),
        Figure(f"{on_top}: call to served connection, p99", p99(served), "ms", 10),
    ]


async def sleeping_memory(folder: Path, *, quick: bool) -> list[Figure]:
    """RSS of the daemon with 10 and with 10,010 sleeping listeners."""
    more = 1000 if quick else 10_000
    control, workers = [], []
    async with serving_apart(name_and_close, "up") as upstream:
        for count in (10, 10 + more):
            doc = many(count, upstream.port)
            async with Daemon(folder, doc, ready_within_s=120) as daemon:
                await asyncio.sleep(1 if quick else 5)
                control.append(procfs.rss_bytes(daemon.pid))
                workers.append(sum(map(procfs.rss_bytes, daemon.workers())))
    return [
        Figure("control process with 10 listeners", control[0] / 2**20, "MiB"),
        Figure(f"control process with {10 + more:,}", control[1] / 2**20, "MiB"),
        Figure("a sleeping listener", (control[1] - control[0]) / more / 1024, "KiB", 2),
        Figure("the same in the workers", (workers[1] - workers[0]) / more / 1024, "KiB"),
    ]
