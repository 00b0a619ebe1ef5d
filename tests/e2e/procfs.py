"""What /proc says of processes: CPU, memory, file descriptors, children."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def _stat(pid: int) -> list[str]:
    # The name stands in parentheses and may hold anything, so split after its end.
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def is_alive(pid: int) -> bool:
    """Tell whether the process runs; a zombie does not."""
    try:
        return _stat(pid)[0] not in "ZX"
    except OSError:
        return False


def cpu_s(*pids: int) -> float:
    """Return the CPU time of the processes so far, user and system, in seconds."""
    return sum(int(field) for pid in pids for field in _stat(pid)[11:13]) / _TICKS


def rss_bytes(pid: int) -> int:
    """Return the resident memory, shared pages included."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def available_bytes() -> int:
    """Return MemAvailable: what the machine could give to programs, buffers of sockets deducted."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise LookupError


def fds(pid: int) -> int:
    """Return the number of open file descriptors."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def command(pid: int) -> list[str]:
    """Return the command line; empty for one that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return []


def descendants(pid: int) -> list[int]:
    """Return the children of a process, their children, and so on."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents.setdefault(int(_stat(int(entry))[1]), []).append(int(entry))
            except OSError:
                continue
    found, todo = [], [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def peer_ports(pid: int) -> set[int]:
    """Return the remote ports of the IPv4 connections that a process holds."""
    inodes = set()
    for entry in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{entry}")
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        field = line.split()
        if field[9] in inodes and field[3] != "0A":  # 0A: listening
            found.add(int(field[2].rsplit(":", 1)[1], 16))
    return found
