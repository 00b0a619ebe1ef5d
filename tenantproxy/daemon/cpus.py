"""How many CPUs this process is granted."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def granted(affinity: int, cpu_max: str | None) -> int:
    """Return the smaller of the affinity mask and the cgroup quota, at least 1.

    Args:
        affinity: CPUs in the affinity mask.
        cpu_max: content of cgroup v2 `cpu.max`: `QUOTA PERIOD` in
            microseconds or `max PERIOD`; None where there is none.
    """
    if cpu_max is None or cpu_max.startswith("max"):
        return max(affinity, 1)
    quota_us, period_us = map(int, cpu_max.split())
    return max(1, min(affinity, math.ceil(quota_us / period_us)))


def granted_here() -> int:
    """Return what is granted to this process: affinity and its own cgroup."""
    return granted(len(os.sched_getaffinity(0)), _cpu_max())


def _cpu_max() -> str | None:
    try:
        entry = Path("/proc/self/cgroup").read_text().strip().splitlines()[-1]
        own = _CGROUP / entry.split("::", 1)[-1].lstrip("/") / "cpu.max"
        root = _CGROUP / "cpu.max"
        for path in (own, root):
            if path.is_file():
                return path.read_text().strip()
    except OSError:
        pass
    return None
