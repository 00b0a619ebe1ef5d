"""The half of the facade that changes something: each change is a generation, whole or not at all.

What is edited and compared is what is declared; what the reconciler carries out is what differs
in force, so a rollout's weights and previews are in no edit and in no diff.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from tenantproxy import clock
from tenantproxy.control.desired import FOLLOWED, Candidate, problems_of, proxy_changes
from tenantproxy.control.looking import Looking
from tenantproxy.control.ports import Ports
from tenantproxy.control.reconciler import Reconciler
from tenantproxy.control.relays import Relays
from tenantproxy.errors import Conflict, GoingDown, RolloutOwnsSplit, TenantProxyError
from tenantproxy.model import edit
from tenantproxy.model.delta import Change, Delta, Tenants, changes, delta, split_text
from tenantproxy.model.derive import previewed
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
    SplitMember,
    TenantSpec,
    UpstreamKey,
    UpstreamSpec,
)
from tenantproxy.model.views import ListenerView, Source

_GONE_S = 1.0


class Changing(Looking):
    """Changes the parts that `Controller` puts together."""

    _ports: Ports
    _reconciler: Reconciler
    _relays: Relays
    _one_change: asyncio.Lock

    # What is declared --------------------------------------------------------------------

    async def put_document(self, document: Document, *, dry_run: bool = False) -> list[Change]:
        if proxy := proxy_changes(self.proxy, document.proxy):
            names = ", ".join(change.name for change in proxy)
            raise Conflict(
                f"the `proxy` part cannot be changed by the API: {names}",
                hint="change the daemon's own document; what is read at start waits for a restart",
            )
        return await self._change(self._written(dict(document.tenants)), dry_run=dry_run)

    def diff(self, document: Document) -> list[Change]:
        lines = changes(delta(self._declared, self._written(document.tenants)))
        return [*proxy_changes(self.proxy, document.proxy), *lines]

    async def put_tenant(self, tenant: TenantSpec, *, dry_run: bool = False) -> list[Change]:
        after = edit.with_tenant(self._declared, tenant)
        return await self._change(self._written(after), dry_run=dry_run)

    async def delete_tenant(
        self, name: str, *, connections: Connections = "drain", dry_run: bool = False
    ) -> list[Change]:
        after = edit.without_tenant(self._declared, name)
        return await self._change(after, how=connections, dry_run=dry_run)

    async def put_listener(self, listener: ListenerSpec, *, dry_run: bool = False) -> list[Change]:
        _no_preview(listener.key)
        after = edit.with_listener(self._declared, listener)
        return await self._change(self._written(after), dry_run=dry_run)

    async def delete_listener(
        self, key: ListenerKey, *, connections: Connections = "drain", dry_run: bool = False
    ) -> list[Change]:
        _no_preview(key)
        after = edit.without_listener(self._declared, key)
        return await self._change(after, how=connections, dry_run=dry_run)

    async def put_upstream(self, upstream: UpstreamSpec, *, dry_run: bool = False) -> list[Change]:
        return await self._change(edit.with_upstream(self._declared, upstream), dry_run=dry_run)

    async def delete_upstream(self, key: UpstreamKey, *, dry_run: bool = False) -> list[Change]:
        return await self._change(edit.without_upstream(self._declared, key), dry_run=dry_run)

    async def set_split(
        self, key: ListenerKey, split: tuple[SplitMember, ...], *, dry_run: bool = False
    ) -> list[Change]:
        _no_preview(key)
        after = edit.with_split(self._declared, key, split)
        held = self._now[key.tenant].listeners[key.listener].split
        if held == split and self._rollouts.owner(key) is not None:
            return []
        self._owned_by_none({key})
        lines = await self._change(after, dry_run=dry_run)
        if lines or held == split:
            return lines
        # A rollout that has ended holds another split than the declared one, which is wanted now.
        if not dry_run:
            self._rollouts.let_go(key, split)
        return [Change("change", "split", str(key), split_text(held), split_text(split))]

    async def put_rollout(
        self, key: ListenerKey, rollout: RolloutSpec | None, *, dry_run: bool = False
    ) -> list[Change]:
        _no_preview(key)
        return await self._change(edit.with_rollout(self._declared, key, rollout), dry_run=dry_run)

    async def command_rollout(
        self, key: ListenerKey, command: Command, *, dry_run: bool = False
    ) -> RolloutView:
        async with self._one_change:
            self._still_up()
            edit.listener(self._declared, key)
            self._rollouts.command(key, command, dry_run=dry_run)
            return self._rollouts.view(key)

    # One port ----------------------------------------------------------------------------

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

    # The document's source ---------------------------------------------------------------

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
            self._rollouts.follow(self._declared, candidate.found)
            return lines

    def refuse_source(self, problems: Sequence[str], *, source: Source) -> None:
        self._history.refused(tuple(problems), source)

    # Inside ------------------------------------------------------------------------------

    def _written(self, tenants: Tenants) -> Tenants:
        """Return what somebody means who wrote `tenants` after reading what is in force."""
        owned = [key for key in self._desired.carried if self._rollouts.owner(key) is not None]
        return self._desired.as_declared(tenants, owned)

    async def _change(
        self, tenants: Tenants, *, how: Connections = "drain", dry_run: bool
    ) -> list[Change]:
        async with self._one_change:
            self._still_up()
            candidate = self._desired.from_api(tenants)
            self._owned_by_none(_reweighed(candidate.found))
            lines = self._apply(candidate, "api", how=how, dry_run=dry_run)
            if not dry_run:
                self._rollouts.follow(self._declared, candidate.found)
            return lines

    def _owned_by_none(self, reweighed: Iterable[ListenerKey]) -> None:
        """Raise `RolloutOwnsSplit` if a rollout decides about one of these splits."""
        for key in reweighed:
            if (why := self._rollouts.owner(key)) is not None:
                raise RolloutOwnsSplit(
                    f"the split of {key} cannot be changed now: {why}",
                    hint=f"`tenantproxy rollout abort {key}` ends it first",
                )

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
        lines = changes(candidate.found)
        if candidate.found:
            prepared = self._reconciler.prepare(candidate.moves, tolerant=tolerant)
            if dry_run:
                self._reconciler.give_up(prepared)
                return lines
            self._history.generation += 1
            self._reconciler.commit(prepared, self._history.generation, how)
            self._history.applied(lines, source)
        elif dry_run:
            return lines
        self._commit(candidate)
        return lines

    def _put_in_force(self, candidate: Candidate) -> None:
        """Carry out what a rollout wants; that is no generation, for nothing else is declared.

        Raises:
            TenantProxyError: a new preview cannot have a number; nothing has changed.
        """
        if candidate.moves:
            prepared = self._reconciler.prepare(candidate.moves, tolerant=True)
            self._reconciler.commit(prepared, self._history.generation, "drain")
        self._commit(candidate)

    def _commit(self, candidate: Candidate) -> None:
        self._desired.commit(candidate)
        self._lookout.tenants, self._lookout.overlay = candidate.tenants, candidate.overlay
        self._keeper.look_again(candidate.moves)

    def _declare(self, candidate: Candidate) -> None:
        """Apply a change of the API that a rollout makes; it need not be told to follow it."""
        self._apply(candidate, "api")

    def _still_up(self) -> None:
        if self._stopping:
            raise GoingDown("the daemon is going down")


def _reweighed(found: Delta) -> Iterator[ListenerKey]:
    for key, (old, new) in found.listeners.items():
        if old is not None and new is not None and old.split != new.split:
            yield key


def _no_preview(key: ListenerKey) -> None:
    """Refuse to write what no document can say."""
    if (parent := previewed(key)) is not None:
        raise Conflict(
            f"{key} is the preview port of the rollout of {parent}, and cannot be written",
            hint=f"it comes and goes with the rollout; change `preview` there, or {parent} itself",
        )
