"""The facade's implementation: one object that holds the control side together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tenantproxy import clock
from tenantproxy.control import sockets
from tenantproxy.control.books import Books
from tenantproxy.control.desired import FOLLOWED, Candidate, Desired, problems_of, proxy_changes
from tenantproxy.control.events import Events
from tenantproxy.control.fleet import Fleet
from tenantproxy.control.history import History
from tenantproxy.control.keeper import Keeper
from tenantproxy.control.looking import Looking
from tenantproxy.control.lookout import Lookout
from tenantproxy.control.notices import Notices
from tenantproxy.control.ports import Ports
from tenantproxy.control.reconciler import Reconciler
from tenantproxy.control.registry import Registry
from tenantproxy.control.relays import Relays
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
from tenantproxy.errors import (
    Conflict,
    GoingDown,
    Problem,
    TenantProxyError,
)
from tenantproxy.model import edit
from tenantproxy.model.checks import check_tenant
from tenantproxy.model.delta import Change, Tenants, changes
from tenantproxy.model.lifecycle import State
from tenantproxy.model.rollout import Command
from tenantproxy.model.rollout_spec import RolloutSpec
from tenantproxy.model.rollout_view import RolloutView
from tenantproxy.model.spec import (
    Connections,
    Document,
    ListenerKey,
    ListenerSpec,
    PolicySpec,
    ProxySpec,
    SplitMember,
    TenantSpec,
    UpstreamKey,
    UpstreamSpec,
)
from tenantproxy.model.views import (
    ListenerView,
    Source,
)
from tenantproxy.tasks import Background

_GONE_S = 1.0


class Controller(Looking):
    """Build on a running loop, `start`, and end with `shutdown`.

    The order of calls in `start` and `shutdown` is the order of the daemon's
    life; everything between is the facade.
    """

    def __init__(self, proxy: ProxySpec, *, workers: int, document_path: str | None) -> None:
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
        self._apply(self._desired.from_file(document.tenants), "file", tolerant=True)
        self._history.last_success_s = clock.wall_s()
        self._fleet.start(self._background)
        watchdog = Watchdog(self._fleet, self._books)
        self._background.start(watchdog.run(), name="watchdog")
        await self._some_ready.wait()
        self._started = True

    async def shutdown(self, *, keep_accepting_s: float, drain_s: float) -> None:
        """Go down in order: not ready, keep accepting, stop, drain, cut. Call `abort` then."""
        self._stopping = True
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
        await self._fleet.quit(within_s=0)
        self._keeper.idle.close()
        await self._upstreams.close()
        await self._resolver.close()
        await self._background.close()
        self.end_watches()
        self._ports.close_sockets()
        self._fleet.close()
        self._books.close()

    # Changing ----------------------------------------------------------------------

    async def put_document(self, document: Document, *, dry_run: bool = False) -> list[Change]:
        if proxy := proxy_changes(self.proxy, document.proxy):
            names = ", ".join(change.name for change in proxy)
            raise Conflict(
                f"the `proxy` part cannot be changed by the API: {names}",
                hint="change the daemon's own document; what is read at start waits for a restart",
            )
        return await self._change(dict(document.tenants), dry_run=dry_run)

    async def put_tenant(self, tenant: TenantSpec, *, dry_run: bool = False) -> list[Change]:
        return await self._change(edit.with_tenant(self._now, tenant), dry_run=dry_run)

    async def delete_tenant(
        self, name: str, *, connections: Connections = "drain", dry_run: bool = False
    ) -> list[Change]:
        after = edit.without_tenant(self._now, name)
        return await self._change(after, how=connections, dry_run=dry_run)

    async def put_listener(self, listener: ListenerSpec, *, dry_run: bool = False) -> list[Change]:
        return await self._change(edit.with_listener(self._now, listener), dry_run=dry_run)

    async def delete_listener(
        self, key: ListenerKey, *, connections: Connections = "drain", dry_run: bool = False
    ) -> list[Change]:
        after = edit.without_listener(self._now, key)
        return await self._change(after, how=connections, dry_run=dry_run)

    async def put_upstream(self, upstream: UpstreamSpec, *, dry_run: bool = False) -> list[Change]:
        return await self._change(edit.with_upstream(self._now, upstream), dry_run=dry_run)

    async def delete_upstream(self, key: UpstreamKey, *, dry_run: bool = False) -> list[Change]:
        return await self._change(edit.without_upstream(self._now, key), dry_run=dry_run)

    async def set_split(
        self, key: ListenerKey, split: tuple[SplitMember, ...], *, dry_run: bool = False
    ) -> list[Change]:
        return await self._change(edit.with_split(self._now, key, split), dry_run=dry_run)

    async def put_rollout(
        self, key: ListenerKey, rollout: RolloutSpec | None, *, dry_run: bool = False
    ) -> list[Change]:
        raise NotImplementedError

    async def command_rollout(
        self, key: ListenerKey, command: Command, *, dry_run: bool = False
    ) -> RolloutView:
        raise NotImplementedError

    # One port -------------------------------------------------------------------------

    async def open(self, key: ListenerKey) -> ListenerView:
        self._still_up()
        listener = self._port(key)
        self._reconciler.withdrawn.pop(key, None)
        await self._ports.open(listener, "asked to open")
        return self._lookout.listener(listener)

    async def sleep(self, key: ListenerKey, *, connections: Connections = "drain") -> ListenerView:
        listener = self._port(key)
        if listener.state in (State.CLOSED, State.COOLING, State.FAILED):
            raise Conflict(
                f"listener {key} is {listener.state}, only a port that is bound can sleep",
                hint=f"`tenantproxy open {key}` binds it",
            )
        await self._ports.sleep(listener, connections, "asked to sleep")
        return self._lookout.listener(listener)

    async def close(self, key: ListenerKey, *, connections: Connections = "drain") -> ListenerView:
        listener = self._port(key)
        self._reconciler.withdrawn[key] = "asked to close"
        await self._ports.close(listener, connections, "asked to close")
        end_s = clock.monotonic_s() + _GONE_S
        while (
            listener.state is State.DRAINING
            and (connections == "kill" or not self._registry.activity(listener)[0])
            and clock.monotonic_s() < end_s
        ):
            await asyncio.sleep(0.005)
        return self._lookout.listener(listener)

    # The document's source --------------------------------------------------------------

    async def apply_source(
        self, document: Document, policies: Sequence[PolicySpec], *, source: Source
    ) -> list[Change]:
        async with self._one_change:
            self._still_up()
            try:
                candidate = self._desired.from_file(document.tenants)
                lines = self._apply(candidate, source)
            except TenantProxyError as error:
                self._history.refused(problems_of(error), source)
                raise
            self._keeper.use(policies)
            proxy = proxy_changes(self.proxy, document.proxy)
            lines += [change for change in proxy if change.name in FOLLOWED]
            restart = [change.name for change in proxy if change.name not in FOLLOWED]
            self.proxy = replace(self.proxy, relay=document.proxy.relay)
            self._relays.ask(self.proxy.relay)
            self._history.reloaded(lines, candidate.dropped, restart)
            return lines

    def refuse_source(self, problems: Sequence[str], *, source: Source) -> None:
        self._history.refused(tuple(problems), source)

    # Inside ----------------------------------------------------------------------------

    async def _change(
        self, tenants: Tenants, *, how: Connections = "drain", dry_run: bool
    ) -> list[Change]:
        async with self._one_change:
            self._still_up()
            candidate = self._desired.from_api(tenants)
            return self._apply(candidate, "api", how=how, dry_run=dry_run)

    def _apply(
        self,
        candidate: Candidate,
        source: Source,
        *,
        how: Connections = "drain",
        tolerant: bool = False,
        dry_run: bool = False,
    ) -> list[Change]:
        """Prepare and commit one generation; no await between, so nothing comes in between."""
        found = candidate.found
        lines = changes(found)
        if found:
            prepared = self._reconciler.prepare(found, tolerant=tolerant)
            if dry_run:
                self._reconciler.give_up(prepared)
                return lines
            self._history.generation += 1
            self._reconciler.commit(prepared, self._history.generation, how)
            self._history.applied(lines, source)
        elif dry_run:
            return lines
        self._desired.commit(candidate)
        self._lookout.tenants, self._lookout.overlay = candidate.tenants, candidate.overlay
        self._keeper.look_again(found)
        return lines

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

    def _still_up(self) -> None:
        if self._stopping:
            raise GoingDown("the daemon is going down")
