"""One CPU for the proxy, one for the load: how busy each was, and what processes used."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.e2e import procfs

FLOWS = 32_768
"""Flows of which the kernel remembers the reader's CPU."""
_RFS = Path("/proc/sys/net/core/rps_sock_flow_entries")
_LOOPBACK = Path("/sys/class/net/lo/queues/rx-0")

_CPUS = sorted(os.sched_getaffinity(0))
PROXY_CPU = _CPUS[0]
LOAD_CPU = _CPUS[-1]


def load_on_its_cpu() -> None:
    """Move this process, and what it starts from now on, to the load's CPU.

    Raises:
        SystemExit: there is only one CPU.
    """
    if PROXY_CPU == LOAD_CPU:
        raise SystemExit("error: the benchmarks need two CPUs, one for the proxy, one for the load")
    os.sched_setaffinity(0, {LOAD_CPU})


def on_both_cpus() -> None:
    """Let this process, and what it starts from now on, run on either CPU."""
    os.sched_setaffinity(0, {PROXY_CPU, LOAD_CPU})


def free(pids: Iterable[int]) -> None:
    """Let all threads of running processes run on either CPU."""
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(thread), {PROXY_CPU, LOAD_CPU})


@contextlib.contextmanager
def nothing_pinned() -> Iterator[None]:
    """Let this process and all that it started run on either CPU; what comes later is pinned.

    Who does the work, and on which CPU, then plays no part in the figures.
    """
    on_both_cpus()
    try:
        free([os.getpid(), *procfs.descendants(os.getpid())])
        yield
    finally:
        load_on_its_cpu()


@contextlib.contextmanager
def steered() -> Iterator[bool]:
    """Receive each packet of the loopback on the CPU where it is read, as a network card would.

    Otherwise it is received on the CPU of who sent it: then the load's CPU does the receiving for
    the proxy's sockets, and all that the kernel relay does. Receive flow steering: kernel document
    networking/scaling. Gives False where it is not allowed; root may.
    """
    both = 1 << PROXY_CPU | 1 << LOAD_CPU
    wanted = {_RFS: FLOWS, _LOOPBACK / "rps_flow_cnt": FLOWS, _LOOPBACK / "rps_cpus": f"{both:x}"}
    before, works = {}, True
    try:
        for path, value in wanted.items():
            before[path] = path.read_text()
            path.write_text(str(value))
    except OSError as error:
        sys.stderr.write(f"note: packets cannot be steered here: {error}\n")
        works = False
    try:
        yield works
    finally:
        for path, text in before.items():
            with contextlib.suppress(OSError):
                path.write_text(text)


def cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU time of all threads of the processes so far, in seconds.

    From the scheduler, in nanoseconds: the ticks of /proc/PID/stat are 10 ms,
    which is more than the kernel relay needs for a whole run.
    """
    total_ns = 0
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                total_ns += int(thread.read_text().split()[0])
            except OSError:
                continue  # the thread ended meanwhile
    return total_ns / 1e9


def rss_bytes(pids: Iterable[int]) -> int:
    """Return the resident memory of the processes; what they share counts for each."""
    return sum(procfs.rss_bytes(pid) for pid in pids)


@dataclass(frozen=True, slots=True)
class Ticks:
    """Busy and idle time of the two CPUs so far, in clock ticks."""

    proxy: tuple[int, int]
    load: tuple[int, int]

    @classmethod
    def now(cls) -> Ticks:
        return cls.parse(Path("/proc/stat").read_text(), PROXY_CPU, LOAD_CPU)

    @classmethod
    def parse(cls, stat: str, proxy_cpu: int, load_cpu: int) -> Ticks:
        """Read /proc/stat."""
        lines = {line.split()[0]: line.split()[1:] for line in stat.splitlines() if line}

        def of(cpu: int) -> tuple[int, int]:
            field = [int(one) for one in lines[f"cpu{cpu}"]]
            idle = field[3] + field[4]  # idle and iowait
            return sum(field[:8]) - idle, idle

        return cls(of(proxy_cpu), of(load_cpu))

    def shares_since(self, before: Ticks) -> tuple[float, float]:
        """Return how busy the proxy's and the load's CPU were, 0 to 1."""

        def share(new: tuple[int, int], old: tuple[int, int]) -> float:
            busy, idle = new[0] - old[0], new[1] - old[1]
            return busy / (busy + idle) if busy + idle else 0.0

        return share(self.proxy, before.proxy), share(self.load, before.load)
