"""Every family by its name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from benchmarks.arena import Arena
from benchmarks.workloads.bulk import bulk
from benchmarks.workloads.growth import growth_connections, growth_listeners
from benchmarks.workloads.idle import idle
from benchmarks.workloads.latency import latency
from benchmarks.workloads.listeners import listeners
from benchmarks.workloads.requests import connections, requests
from benchmarks.workloads.workers import workers

FAMILIES: dict[str, Callable[[Arena], Awaitable[None]]] = {
    "requests": requests,
    "connections": connections,
    "bulk": bulk,
    "latency": latency,
    "idle": idle,
    "listeners": listeners,
    "growth-listeners": growth_listeners,
    "growth-connections": growth_connections,
    "workers": workers,
}
QUICK = ("requests", "connections", "bulk", "latency", "idle", "listeners")
"""What `--quick` runs when nothing is named: about a minute with two peers."""
