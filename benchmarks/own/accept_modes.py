"""One shared socket, or one SO_REUSEPORT socket for each worker: spread and rate."""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchmarks.load.wrk import wrk
from benchmarks.own.figures import Figure
from tests.e2e import procfs, programs
from tests.e2e.apart import serving_apart
from tests.e2e.daemon import Daemon, document, range_of, tenant
from tests.e2e.upstreams import echo
from tests.e2e.wire import dial


async def accept_modes(folder: Path, *, quick: bool) -> list[Figure]:
    """Each mode with 2 workers; the rounds take turns so that drift meets both alike."""
    rounds, seconds = (1, 1) if quick else (3, 5)
    found: dict[str, dict[tuple[str, str], list[float]]] = {}
    async with serving_apart(echo) as held_by, programs.nginx(folder) as web:
        for _ in range(rounds):
            for mode in ("shared", "reuseport"):
                await _one_round(
                    folder, mode, held_by.port, web, seconds, found.setdefault(mode, {})
                )
    return [
        Figure(f"{mode}: {what}", sum(values) / len(values), unit)
        for mode, numbers in found.items()
        for (what, unit), values in numbers.items()
    ]


async def _one_round(
    folder: Path,
    mode: str,
    held_by: int,
    web: int,
    seconds: int,
    into: dict[tuple[str, str], list[float]],
) -> None:
    doc = document(
        {
            "acme": tenant(
                {"held": held_by, "web": web},
                held={"split": {"held": 1}, "open": "always"},
                web={"split": {"web": 1}, "open": "always"},
            )
        },
        accept=mode,
    )
    async with Daemon(folder, doc) as daemon:
        ports = {name: await daemon.port(f"acme/{name}") for name in ("held", "web")}
        assert set(ports.values()) <= set(range_of(doc))
        workers = daemon.workers()

        # 200 connections that come at once and stay
        wires = await asyncio.gather(*(dial(ports["held"]) for _ in range(200)))
        for wire in wires:
            await wire.send(b"x")
            assert await wire.exactly(1) == b"x"
        mine = {wire.sock.getsockname()[1] for wire in wires}
        shares = [len(mine & procfs.peer_ports(worker)) for worker in workers]
        for wire in wires:
            wire.close()
        into.setdefault(("busier worker's share of 200 that stay", "%"), []).append(
            max(shares) * 100 / sum(shares)
        )

        before = [procfs.cpu_s(worker) for worker in workers]
        report = await wrk(ports["web"], seconds=seconds, close=True)
        spent = [procfs.cpu_s(w) - b for w, b in zip(workers, before, strict=True)]
        assert not report.errors, report.errors
        into.setdefault(("new connections", "1/s"), []).append(report.per_second)
        into.setdefault(("CPU of a connection", "us"), []).append(
            sum(spent) / report.requests * 1e6
        )
        into.setdefault(("busier worker's share of the CPU", "%"), []).append(
            max(spent) * 100 / sum(spent)
        )
        into.setdefault(("p99 of a connection", "ms"), []).append(report.p99_ms)
