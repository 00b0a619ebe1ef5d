"""All peers at once before one upstream, and rounds in which each is measured in turn."""

from __future__ import annotations

import contextlib
import itertools
import platform
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from benchmarks.load.iperf3 import server as iperf3_server
from benchmarks.load.upstream import web
from benchmarks.machine import Ticks, cpu_s
from benchmarks.peers import PEERS, Listener, Peer
from benchmarks.peers.tenantproxy import KernelRelay
from benchmarks.results import Family, Sample, Workload
from tests.e2e import ports

LOAD_IS_FULL, PROXY_IS_FREE = 0.95, 0.85
"""Busy shares of the two CPUs above and below which the load is what limits a run."""
LOAD_WAS_THE_LIMIT = "the load was the limit, not the proxy"
OTHERS_ARE_NOISE = 0.15
"""Share of the proxy's CPU that went to anybody else; timers of the idle peers need a hundredth."""
OTHERS_RAN = "other programs ran on the proxy's CPU"


@dataclass(slots=True)
class Options:
    """What the command line says."""

    peers: list[str]
    rounds: int
    seconds: int
    quick: bool


def say(text: str) -> None:
    """Tell who waits what is done now; the tables go to stdout."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on; they need not be neighbours, so thousands are found."""
    if count <= 10:
        first = ports.block(count)
        return list(range(first, first + count))
    free = (port for port in range(ports.LOWEST, ports.HIGHEST) if ports.is_free(port))
    return list(itertools.islice(free, count))


@dataclass(slots=True)
class Arena:
    """What a family of workloads measures with."""

    folder: Path
    options: Options
    family: Family
    web_port: int = 0
    status_port: int = 0
    bulk_port: int = 0
    running: dict[str, Peer] = field(default_factory=dict)

    def listeners(self, count: int) -> list[Listener]:
        """Return that many listeners on free ports before the web server."""
        return [Listener(port, self.web_port) for port in free_ports(count)]

    def chosen(self, *, among: Sequence[str] | None = None) -> list[type[Peer]]:
        """Return the peers to measure; what is missing is noted with its reason."""
        found = []
        for key in self.options.peers:
            if among is not None and key not in among:
                continue
            reason = self.family.skipped.get(key) or PEERS[key].missing()
            if reason is None:
                self.family.machine.setdefault(key, PEERS[key].version())
                found.append(PEERS[key])
            else:
                self.family.skipped[key] = reason
        return found

    @contextlib.asynccontextmanager
    async def all_running(
        self, *, among: Sequence[str] | None = None, bulk: bool = False
    ) -> AsyncIterator[dict[str, Peer]]:
        """Run every peer with one listener; those that do not start are noted."""
        async with contextlib.AsyncExitStack() as stack:
            running: dict[str, Peer] = {}
            for kind in self.chosen(among=among):
                listeners = self.listeners(1)
                if bulk:
                    listeners.append(Listener(ports.block(1), self.bulk_port))
                if (peer := await self.started(stack, kind, listeners)) is not None:
                    running[kind.key] = peer
            yield running

    async def started(
        self, stack: contextlib.AsyncExitStack, kind: type[Peer], listeners: list[Listener]
    ) -> Peer | None:
        """Start one peer; None, with the reason noted, if it does not come up."""
        say(f"starting {kind.title} with {len(listeners):,} listeners")
        try:
            peer = await stack.enter_async_context(kind(self.folder, listeners))
            reason = await peer.idle_reason() if isinstance(peer, KernelRelay) else None
        except (AssertionError, OSError) as error:
            reason, peer = f"it did not start: {str(error)[-200:]}", None
        if reason is not None:
            self.family.skipped[kind.key] = reason
            return None
        return peer

    def workload(self, workload: Workload) -> Workload:
        say(workload.title)
        self.family.workloads.append(workload)
        return workload

    async def in_turn(
        self,
        workload: Workload,
        peers: dict[str, Peer],
        measure: Callable[[Peer], Awaitable[tuple[dict[str, float], list[str]]]],
        *,
        rounds: int | None = None,
    ) -> None:
        """Measure each peer in each round; the order turns round so that drift meets all alike."""
        for number in range(rounds or self.options.rounds):
            for key in list(peers)[:: -1 if number % 2 else 1]:
                try:
                    values, notes = await measure(peers[key])
                except (AssertionError, OSError, ValueError) as error:
                    values, notes = {}, [f"failed: {' '.join(str(error).split())[-160:]}"]
                workload.samples.append(Sample(key, number, values, tuple(notes)))


@dataclass(slots=True)
class Watch:
    """CPU time of a peer's processes, and how busy both CPUs are, from now to `stop`."""

    peer: Peer | None
    """None watches the CPUs alone."""
    used_s: float = 0.0
    took_s: float = 0.0
    machine_s: float = 0.0
    """Busy time of both CPUs, whoever used them: the kernel relay's work counts here alone."""
    notes: list[str] = field(default_factory=list)
    _pids: list[int] = field(default_factory=list)
    _before: float = 0.0
    _ticks: Ticks | None = None
    _began_s: float = 0.0

    def __enter__(self) -> Self:
        self._pids = self.peer.pids() if self.peer else []
        self._ticks = Ticks.now()
        self._began_s = time.perf_counter()
        self._before = cpu_s(self._pids)
        return self

    def __exit__(self, *_: object) -> None:
        self.used_s = cpu_s(self._pids) - self._before
        assert self._ticks is not None
        proxy, load = Ticks.now().shares_since(self._ticks)
        if load > LOAD_IS_FULL and proxy < PROXY_IS_FREE:
            self.notes.append(LOAD_WAS_THE_LIMIT)
        self.took_s = time.perf_counter() - self._began_s
        self.machine_s = (proxy + load) * self.took_s
        # What the kernel relay has the kernel do is not its processes', and yet its own.
        mine = not isinstance(self.peer, KernelRelay)
        if self._pids and mine and proxy - self.used_s / self.took_s > OTHERS_ARE_NOISE:
            self.notes.append(OTHERS_RAN)


@contextlib.asynccontextmanager
async def arena(folder: Path, name: str, options: Options) -> AsyncIterator[Arena]:
    """Run what stands behind the proxies."""
    family = Family(
        name,
        options.quick,
        machine={
            "kernel": ".".join(platform.release().split(".")[:2]),
            "python": platform.python_version(),
            "rounds": str(options.rounds),
            "seconds": str(options.seconds),
        },
    )
    async with web(folder) as (web_port, status_port), iperf3_server() as bulk_port:
        yield Arena(folder, options, family, web_port, status_port, bulk_port)
