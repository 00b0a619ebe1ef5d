"""One port at run time: what the control process knows of it, and its state."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping

from tenantproxy import clock
from tenantproxy.model.lifecycle import State, move
from tenantproxy.model.plan import Observed
from tenantproxy.model.spec import ListenerKey, ListenerSpec, UpstreamKey

_numbers = itertools.count(1)


class Listener:
    """Kept by the thousand, so slots only, and nothing that a sleeping port does not need.

    It lives from its first bind until it is wanted no more and its last
    connection has ended. `epoch` rises with every change of state: work that
    awaits looks at it to see whether the world has moved on.
    """

    __slots__ = (
        "block",
        "closing",
        "draining_on",
        "epoch",
        "failures",
        "fds",
        "generation",
        "held",
        "id",
        "open_since_s",
        "port",
        "reason",
        "reserved_until_s",
        "retry_at_s",
        "routes",
        "signals",
        "since_wall_s",
        "spec",
        "state",
        "waiters",
    )

    def __init__(self, spec: ListenerSpec, port: int, generation: int) -> None:
        self.id = next(_numbers)
        self.spec = spec
        self.port = port
        self.generation = generation
        self.state = State.CLOSED
        self.reason = "new"
        self.since_wall_s = clock.wall_s()
        self.epoch = 0
        self.fds: tuple[int, ...] = ()
        """Our listening sockets: one, or one for each worker."""
        self.block: int | None = None
        """Its counters; None until it opened for the first time."""
        self.routes: dict[str, int] | None = None
        """Route block by upstream name."""
        self.signals: Mapping[str, int] | None = None
        """Signal block by upstream name; None: no rollout wants to know. See `Registry.count`."""
        self.open_since_s = 0.0
        """CLOCK_MONOTONIC of the last opening."""
        self.retry_at_s = 0.0
        self.failures = 0
        self.reserved_until_s: float | None = None
        """Wall clock."""
        self.waiters: list[asyncio.Future[None]] | None = None
        """Who waits for it to open."""
        self.held: list[int] | None = None
        """Accepted descriptors that wait for it to open (`wake.after_first_bytes`)."""
        self.draining_on: set[int] | None = None
        """Workers that have yet to say that its connections have ended."""
        self.closing = False
        """Past the point of no return: its sockets are about to be closed."""

    @property
    def key(self) -> ListenerKey:
        return self.spec.key

    def move(self, new: State, reason: str) -> None:
        """Change the state; the only place that does.

        Raises:
            IllegalMove: the table lacks the move.
        """
        self.state = move(self.state, new)
        self.reason = reason
        self.since_wall_s = clock.wall_s()
        self.epoch += 1

    def tell_waiters(self, error: Exception | None) -> None:
        """Let those who wait for it to open go on, or fail."""
        waiters, self.waiters = self.waiters, None
        for waiter in waiters or ():
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)

    def named(self) -> list[UpstreamKey]:
        """Return the upstreams that its split names, in that order."""
        return [UpstreamKey(self.spec.tenant, one.upstream) for one in self.spec.split]

    def observed(self) -> Observed:
        """Return what the planner sees."""
        return Observed(self.spec, self.port, self.state, self.retry_at_s)
