"""Requests a second and CPU of each, beside HAProxy, in turn in the same run."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.figures import Figure, p50
from benchmarks.haproxy import haproxy
from benchmarks.wrk import wrk
from tests.e2e import procfs, programs
from tests.e2e.daemon import Daemon, document, tenant


async def requests(folder: Path, *, quick: bool) -> list[Figure]:
    """64 keep-alive connections, then a connection for each request; one worker, one thread.

    The proxies run on CPU 0, wrk and nginx on CPU 1, so neither takes turns
    with the thing that is measured.
    """
    rounds, seconds = (1, 1) if quick else (4, 4)
    everywhere = os.sched_getaffinity(0)
    numbers: dict[tuple[str, str], list[float]] = {}
    try:
        os.sched_setaffinity(0, {max(everywhere)})
        async with programs.nginx(folder) as web, haproxy(folder, web) as (their_port, their_pid):
            os.sched_setaffinity(their_pid, {min(everywhere)})
            doc = document(
                {"acme": tenant({"web": web}, web={"split": {"web": 1}, "open": "always"})},
                workers=1,
            )
            async with Daemon(folder, doc) as daemon:
                (worker,) = daemon.workers()
                os.sched_setaffinity(worker, {min(everywhere)})
                peers = {
                    "tenantproxy": (await daemon.port("acme/web"), worker),
                    "HAProxy": (their_port, their_pid),
                }
                for _ in range(rounds):
                    for name, (port, pid) in peers.items():
                        await _measure(name, port, pid, seconds, numbers)
    finally:
        os.sched_setaffinity(0, everywhere)
    return [Figure(what, p50(values), unit) for (what, unit), values in numbers.items()]


async def _measure(
    name: str, port: int, pid: int, seconds: int, into: dict[tuple[str, str], list[float]]
) -> None:
    for close in (False, True):
        kind = "connection a request" if close else "keep-alive"
        before = procfs.cpu_s(pid)
        report = await wrk(port, seconds=seconds, close=close)
        spent_s = procfs.cpu_s(pid) - before
        assert not report.errors, report.errors
        into.setdefault((f"{name}, {kind}", "1/s"), []).append(report.per_second)
        into.setdefault((f"{name}, {kind}", "us CPU"), []).append(spent_s / report.requests * 1e6)
