"""The facade's implementation: one object that holds the control side together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from tenantproxy import clock
from tenantproxy.control import sockets
from tenantproxy.control.books import Books
from tenantproxy.control.changing import Changing
from tenantproxy.control.desired import Desired
from tenantproxy.control.events import Events
from tenantproxy.control.fleet import Fleet
from tenantproxy.control.history import History
from tenantproxy.control.keeper import Keeper
from tenantproxy.control.lookout import Lookout
from tenantproxy.control.notices import Notices
from tenantproxy.control.ports import Ports
from tenantproxy.control.reconciler import Reconciler
from tenantproxy.control.registry import Registry
from tenantproxy.control.relays import Relays
from tenantproxy.control.rollout_hands import RolloutHands
from tenantproxy.control.rollouts import Rollouts
from tenantproxy.control.upstreams import Upstreams
from tenantproxy.control.watchdog import Watchdog
from tenantproxy.dataplane.messages import (
    Drained,
    Message,
    Notice,
    Opened,
    Outcomes,
    Relay,
    Stopped,
)
from tenantproxy.discovery.build import source_of
from tenantproxy.discovery.resolver import Resolver
from tenantproxy.errors import Problem
from tenantproxy.model.checks import check_tenant
from tenantproxy.model.spec import Document, ListenerKey, PolicySpec, ProxySpec, TenantSpec
from tenantproxy.rollout.api import Judges, Nobody
from tenantproxy.tasks import Background


class Controller(Changing):
    """Build on a running loop, `start`, and end with `shutdown`.

    The order of calls in `start` and `shutdown` is the order of the daemon's
    life; everything between is the facade.
    """

    def __init__(
        self,
        proxy: ProxySpec,
        *,
        workers: int,
        document_path: str | None,
        judges: Judges | None = None,
    ) -> None:
        self.proxy = proxy
        self._path = document_path
        self._first_port = sockets.first_unprivileged_port()
        self._events = Events()
        self._background = Background(self._task_died)
        self._notices = Notices(self._events)
        self._fleet = Fleet(
            workers,
            shared=proxy.accept == "shared",
            on_ready=self._worker_ready,
            on_lost=self._worker_lost,
            on_report=self._report,
        )
        self._relays = Relays(proxy.relay, self._fleet, self._events)
        self._books = Books([worker.counters for worker in self._fleet.workers])
        self._resolver = resolver = Resolver(proxy.dns)
        self._upstreams = Upstreams(
            self._fleet,
            self._books,
            self._events,
            self._background,
            lambda spec: source_of(spec, resolver),
            Path(document_path or ".").parent,
        )
        each = workers if proxy.accept == "reuseport" else 1
        self._registry = Registry(proxy.listen_address, each, self._books, self._upstreams)
        self._ports = Ports(
            self._registry,
            self._fleet,
            self._books,
            self._upstreams,
            self._events,
            self._background,
        )
        self._ports.on_free = self._plan_again
        self._reconciler = Reconciler(proxy, self._ports, self._upstreams, self._events)
        self._keeper = Keeper(
            self._ports,
            self._books,
            self._events,
            self._background,
            self._labels,
            self._reconciler.withdrawn,
        )
        self._desired = Desired(
            self._check, self._reconciler.port_of, self._upstreams.certificates.problems
        )
        self._history = History(self._events)
        self._lookout = Lookout(
            proxy, self._registry, self._upstreams, self._books, self._keeper.idle, self._history
        )
        self._hands = RolloutHands(
            self._desired,
            self._ports,
            self._books,
            self._upstreams,
            self._lookout,
            self._events,
            put_in_force=self._put_in_force,
            declare=self._declare,
        )
        self._rollouts = Rollouts(
            self._hands, Nobody() if judges is None else judges, self._events, self._background
        )
        self._one_change = asyncio.Lock()
        self._started_s = clock.wall_s()
        self._some_ready = asyncio.Event()
        self._started = self._stopping = self._ended = False
        self._restarts = 0

    # Life -----------------------------------------------------------------------

    async def start(self, document: Document, policies: Sequence[PolicySpec]) -> None:
        """Bind every port and start the workers; when this returns one worker is ready.

        A port that a foreign process has fails its listener alone.

        Raises:
            FdLimit, DocumentError, PortError: the document cannot run here.
        """
        self._keeper.use(policies)
        candidate = self._desired.from_file(document.tenants)
        self._apply(candidate, "file", tolerant=True)
        self._rollouts.follow(self._declared, candidate.found)
        self._history.last_success_s = clock.wall_s()
        self._fleet.start(self._background)
        watchdog = Watchdog(self._fleet, self._books)
        self._background.start(watchdog.run(), name="watchdog")
        await self._some_ready.wait()
        self._started = True

    async def shutdown(self, *, keep_accepting_s: float, drain_s: float) -> None:
        """Go down in order: not ready, keep accepting, stop, drain, cut. Call `abort` then."""
        self._stopping = True
        await self._rollouts.close()  # nobody judges a canary by what a goodbye looks like
        await asyncio.sleep(keep_accepting_s)
        await self._ports.stop_all()
        end_s = clock.monotonic_s() + drain_s
        while (live := self._ports.live_connections()) and clock.monotonic_s() < end_s:
            await asyncio.sleep(0.05)
        if live:
            self._events.add("cut", f"{live} connections outlived the drain of {drain_s:g} s")
        await self._fleet.quit(within_s=2.0)

    def end_watches(self) -> None:
        """Let everybody who follows events go."""
        self._events.end()

    async def abort(self) -> None:
        """End now: workers are killed, sockets closed, nothing is left. Again: nothing happens."""
        if self._ended:
            return
        self._stopping = self._ended = True
        await self._rollouts.close()
        await self._fleet.quit(within_s=0)
        self._keeper.idle.close()
        await self._upstreams.close()
        await self._resolver.close()
        await self._background.close()
        self.end_watches()
        self._ports.close_sockets()
        self._fleet.close()
        self._books.close()

    # Inside ----------------------------------------------------------------------------

    def _plan_again(self, key: ListenerKey) -> None:
        if not self._stopping:
            self._reconciler.again([key], self._now, self._history.generation)

    def _worker_ready(self, index: int) -> None:
        self._relays.worker_ready(index)
        self._ports.worker_ready(index)
        self._some_ready.set()
        if self._restarts:
            self._events.add("worker_ready", "takes connections", about=f"worker/{index}")

    def _worker_lost(self, index: int, why: str) -> None:
        self._ports.worker_lost(index)
        if not self._stopping:
            self._restarts += 1
            self._events.add("worker_died", why, about=f"worker/{index}", level="error")

    def _report(self, worker: int, message: Message) -> None:
        match message:
            case Opened(ids):
                self._ports.opened(ids)
            case Stopped(ids):
                self._ports.stopped(worker, ids)
            case Drained(ids):
                self._ports.drained(worker, ids)
            case Outcomes(outcomes):
                self._upstreams.outcomes(worker, outcomes)
            case Relay():
                self._relays.answered(worker, message)
            case Notice():
                self._notices.add(worker, message, clock.monotonic_s())
            case _:
                self._events.add("worker_talks_nonsense", str(message), level="error")

    def _task_died(self, name: str, error: BaseException) -> None:
        self._events.add("internal_error", f"{name}: {error!r}", level="error")

    def _check(self, tenant: TenantSpec) -> list[Problem]:
        return check_tenant(tenant, self.proxy, first_unprivileged_port=self._first_port)

    def _labels(self, tenant: str) -> Mapping[str, str]:
        spec = self._now.get(tenant)
        return {} if spec is None else spec.labels
