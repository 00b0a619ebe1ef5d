"""Turning the kernel relay on and off, by `proxy.relay`."""

from __future__ import annotations

import os
from asyncio import AbstractEventLoop
from collections.abc import Callable
from pathlib import Path

from tenantproxy.dataplane.flow import Flow, Half
from tenantproxy.dataplane.lending import LendingPump
from tenantproxy.dataplane.mover import Mover
from tenantproxy.dataplane.relay.links import Links
from tenantproxy.dataplane.relay.probe import Verdict, probe
from tenantproxy.dataplane.relay.relay import KernelRelay
from tenantproxy.model.spec import RelayMode

CREDIT_BYTES = 1 << 20
"""What may wait in the kernel for both directions of a pair together."""
MEMORY_SHARE = 8
"""All pairs of all workers may use one part in so many of the memory."""
MOST_PAIRS = 8192
DESCRIPTORS = 9
"""Five maps, the program, and one for each of the three mappings."""


class RelaySwitch:
    """`mover` is the pump, or the kernel relay in front of it once that has been asked for."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        pump: LendingPump,
        on_refused: Callable[[OSError], None],
        on_error: Callable[[Half, Exception], None],
    ) -> None:
        self._loop = loop
        self._pump = pump
        self._on_refused = on_refused
        self._on_error = on_error
        self._relay: KernelRelay | None = None
        self.mover: Mover = pump

    @property
    def descriptors(self) -> int:
        """How many the relay has open."""
        return DESCRIPTORS if self._relay is not None else 0

    @property
    def linked(self) -> int:
        """How many flows the kernel moves."""
        return self._relay.linked if self._relay is not None else 0

    def turn(self, mode: RelayMode, workers: int) -> Verdict:
        """Do as asked for flows that begin from now on; say whether the kernel relays, and why.

        `workers` share the memory for linked pairs, as it is when the first is linked.
        """
        if mode == "pump":
            if self._relay is not None:
                self._relay.linking = False
            return Verdict(False, "asked for the pump")
        verdict = probe()
        if verdict.works and self._relay is None:
            try:
                links = Links(pairs(workers), _shares(CREDIT_BYTES))
            except OSError as error:
                return Verdict(False, f"{error.strerror} ({error.filename})")
            self._relay = KernelRelay(
                self._loop, self._pump, links, self._on_refused, self._on_error
            )
            self.mover = self._relay
        if self._relay is not None:
            self._relay.linking = verdict.works
        return verdict

    def forget(self, flow: Flow) -> None:
        """A flow has ended."""
        if self._relay is not None:
            self._relay.forget(flow)

    def count(self) -> None:
        """Bring the counters of linked flows up to date."""
        if self._relay is not None:
            self._relay.count()

    def count_flow(self, flow: Flow) -> None:
        """Bring the idle clock and the counters of one flow up to date."""
        if self._relay is not None:
            self._relay.count_flow(flow)

    def check(self) -> None:
        """Count some, and see to what the kernel may not have told; called at each beat."""
        if self._relay is not None:
            self._relay.check()

    def close(self) -> None:
        """Give everything back; every flow must have ended before."""
        if self._relay is not None:
            self._relay.close()


def _shares(credit: int) -> tuple[int, int]:
    """Return the credit from clients and to them: answers are longer than questions."""
    return credit // 4, credit - credit // 4


def pairs(workers: int) -> int:
    """Return how many pairs each worker may link, so that all credits fit in the memory's share."""
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        limit = "max"
    if limit.isdigit():
        memory_bytes = min(memory_bytes, int(limit))
    each = memory_bytes // MEMORY_SHARE // workers
    return max(1, min(MOST_PAIRS, each // CREDIT_BYTES))
