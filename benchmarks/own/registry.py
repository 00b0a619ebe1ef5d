"""Every benchmark of our daemon alone, by its name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from benchmarks.own import accept_modes, listeners, rollout_tables, wake
from benchmarks.own.figures import Figure

OWN: dict[str, Callable[..., Awaitable[list[Figure]]]] = {
    "start": listeners.start,
    "add-one": listeners.add_one,
    "sleeping-memory": listeners.sleeping_memory,
    "wake": wake.wake,
    "accept-modes": accept_modes.accept_modes,
    "rollouts": rollout_tables.rollouts,
}
