"""From a desired state to ports: prepare everything that can fail, then do what cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tenantproxy.control import sockets
from tenantproxy.control.events import Events
from tenantproxy.control.listener import Listener
from tenantproxy.control.ports import Ports
from tenantproxy.control.registry import RESERVED_S
from tenantproxy.control.upstreams import Upstreams
from tenantproxy.errors import DocumentError, PortError, PortTaken, Problem, TenantProxyError
from tenantproxy.model.delta import Delta, Tenants, split_text
from tenantproxy.model.lifecycle import State
from tenantproxy.model.plan import Action, Bind, Close, Observed, Update, Wanted, plan
from tenantproxy.model.ports import Reservation, assign
from tenantproxy.model.spec import Connections, ListenerKey, ListenerSpec, ProxySpec

_STILL_CLOSED = frozenset({"split", "salt", "rollout"})
"""What may change of a listener that was closed without opening it again."""
_MOST_FOREIGN = 100
"""Numbers of the range that may prove taken by others before we give up."""


@dataclass(slots=True)
class Prepared:
    """Everything that a generation needs, in hand; nothing is changed yet."""

    found: Delta
    actions: tuple[Action, ...]
    ports: Mapping[ListenerKey, int]
    sockets: dict[ListenerKey, tuple[int, ...]] = field(default_factory=dict)
    failed: dict[ListenerKey, TenantProxyError] = field(default_factory=dict)


class Reconciler:
    """Plans and carries out; knows which number belongs to whom and what was withdrawn."""

    def __init__(
        self, proxy: ProxySpec, ports: Ports, upstreams: Upstreams, events: Events
    ) -> None:
        self._proxy, self._ports, self._upstreams = proxy, ports, upstreams
        self._registry = ports.registry
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._port_of: dict[ListenerKey, int] = {}
        self._used: dict[int, ListenerKey] = {}
        self._foreign: set[int] = set()
        """Numbers of the range found taken by another process; looked at anew by each change."""
        self.withdrawn: dict[ListenerKey, str] = {}
        """Closed by a policy or a person, and why."""

    def prepare(self, found: Delta, *, tolerant: bool) -> Prepared:
        """Plan the way to a desired state and get every socket it needs.

        Args:
            found: what differs from the state in force.
            tolerant: a port that cannot be had fails that listener alone (at
                start); else it refuses the whole. One of a preview always fails alone.

        Raises:
            PortError, ListenFailed, DocumentError (several at once): nothing is kept.
        """
        self._foreign.clear()
        for _ in range(_MOST_FOREIGN):
            prepared = self._planned(found)
            binds = sum(isinstance(action, Bind) for action in prepared.actions)
            if binds:  # weights move also where there is no descriptor left
                sockets.check_fds(binds * self._registry.sockets_each)
            try:
                self._get_sockets(prepared, tolerant=tolerant)
            except _TakenByOthers as taken:
                self._foreign.add(taken.port)
                continue
            return prepared
        raise PortTaken(
            f"more than {_MOST_FOREIGN} numbers of proxy.port_range are in use by other processes",
            hint="choose another range",
        )

    def port_of(self, key: ListenerKey) -> int | None:
        """Return the number that a listener has."""
        return self._port_of.get(key)

    def give_up(self, prepared: Prepared) -> None:
        """Release what was prepared."""
        for key, fds in prepared.sockets.items():
            self._registry.unbind(prepared.ports[key], fds)
        prepared.sockets.clear()

    def commit(self, prepared: Prepared, generation: int, how: Connections) -> None:
        """Carry the plan out; nothing here fails."""
        found = prepared.found
        for _, upstream in found.upstreams.values():
            if upstream is not None:
                self._upstreams.set(upstream)
        self._number(found, prepared.ports)
        placed: list[Listener] = []
        updated: list[Listener] = []
        for action in prepared.actions:
            match action:
                case Close(key):
                    self._ports.retire(key, how)
                case Bind(spec, port):
                    placed += self._place(prepared, spec, port, generation)
                case Update(spec):
                    updated += self._update(spec, generation)
        self._ports.update(updated)
        always = [one for one in placed if one.spec.open == "always"]
        always += [one for one in updated if self._became_always(one, found)]
        self._ports.open_many(always, "open: always")
        for upstream_key, (_, upstream) in found.upstreams.items():
            if upstream is None:
                self._upstreams.drop(upstream_key)

    def again(self, keys: Iterable[ListenerKey], tenants: Tenants, generation: int) -> None:
        """Plan single listeners again: one failed before, or has just closed."""
        desired: dict[ListenerKey, Wanted] = {}
        observed: dict[ListenerKey, Observed] = {}
        for key in keys:
            tenant, listener = tenants.get(key.tenant), self._registry.by_key.get(key)
            spec = None if tenant is None else tenant.listeners.get(key.listener)
            if spec is not None and listener is not None:
                withdrawn = key in self.withdrawn
                desired[key] = Wanted(spec, self._port_of[key], withdrawn=withdrawn)
                observed[key] = listener.observed()
        actions = plan(desired, observed, now_s=self._loop.time())
        binds = tuple(action for action in actions if isinstance(action, Bind))
        prepared = Prepared(Delta(), binds, {action.spec.key: action.port for action in binds})
        self._get_sockets(prepared, tolerant=True)
        self.commit(prepared, generation, "drain")

    def _planned(self, found: Delta) -> Prepared:
        wanting: list[ListenerSpec] = []
        kept: dict[ListenerKey, int] = {}
        for key, (old, new) in found.listeners.items():
            if old is not None and new is not None and old.port == new.port:
                continue
            if key in self._port_of:
                kept[key] = self._port_of[key]
            if new is not None:
                wanting.append(new)
        ports, problems = assign(
            wanting,
            port_range=self._proxy.port_range,
            used=self._used,
            kept=kept,
            reserved=self._reserved(kept),
            avoid={self._proxy.admin.port, self._proxy.metrics.port} | self._foreign,
            now_s=self._loop.time(),
        )
        if problems:
            raise _all_of(problems)
        desired: dict[ListenerKey, Wanted] = {}
        observed: dict[ListenerKey, Observed] = {}
        for key, (old, new) in found.listeners.items():
            if new is not None:
                if key not in ports:
                    ports[key] = self._port_of[key]
                desired[key] = Wanted(new, ports[key], withdrawn=self._stays_withdrawn(old, new))
            if (listener := self._registry.by_key.get(key)) is not None:
                observed[key] = listener.observed()
        return Prepared(found, plan(desired, observed, now_s=self._loop.time()), ports)

    def _reserved(self, changing: Mapping[ListenerKey, int]) -> Mapping[int, Reservation]:
        """Return what is reserved, numbers that are just being given up among it."""
        until_s = self._loop.time() + RESERVED_S
        leaving = {port: Reservation(key, until_s) for key, port in changing.items()}
        going = {one.port: Reservation(one.key, until_s) for one in self._registry.retired}
        return {**going, **leaving, **self._registry.reserved}

    def _stays_withdrawn(self, old: ListenerSpec | None, new: ListenerSpec) -> bool:
        """Whatever moves a split does not bring a closed port back; any other change does."""
        if new.key not in self.withdrawn or old is None:
            return False
        return all(
            getattr(old, name) == getattr(new, name)
            for name in ListenerSpec.__slots__
            if name not in _STILL_CLOSED
        )

    def _get_sockets(self, prepared: Prepared, *, tolerant: bool) -> None:
        binds = [action for action in prepared.actions if isinstance(action, Bind)]
        leaving = {
            self._registry.by_key[action.key]
            for action in prepared.actions
            if isinstance(action, Close)
        }
        for action in binds:
            key = action.spec.key
            try:
                prepared.sockets[key] = self._registry.bind(action.spec, action.port, leaving)
            except PortTaken as error:
                if action.spec.port is None and key not in self._registry.by_key:
                    self.give_up(prepared)
                    raise _TakenByOthers(action.port) from error
                prepared.failed[key] = error
            except TenantProxyError as error:
                prepared.failed[key] = error
        problems = [
            prepared.failed[action.spec.key]
            for action in binds
            if action.spec.key in prepared.failed and action.spec.preview_of is None
        ]
        if problems and not tolerant:
            self.give_up(prepared)
            raise _all_of(problems)

    def _number(self, found: Delta, ports: Mapping[ListenerKey, int]) -> None:
        for key, (old, new) in found.listeners.items():
            old_port = self._port_of.pop(key, None)
            if old_port is not None and self._used.get(old_port) == key:
                del self._used[old_port]
            if new is not None:
                self._port_of[key] = ports[key]
            if new is None or not self._stays_withdrawn(old, new):
                self.withdrawn.pop(key, None)
        for key, (_, new) in found.listeners.items():
            if new is not None:
                self._used[ports[key]] = key

    @staticmethod
    def _became_always(listener: Listener, found: Delta) -> bool:
        old, new = found.listeners[listener.key]
        became = old is not None and new is not None and old.open != new.open == "always"
        return became and listener.state is State.ASLEEP

    def _place(
        self, prepared: Prepared, spec: ListenerSpec, port: int, generation: int
    ) -> list[Listener]:
        fds = prepared.sockets.pop(spec.key, None)
        if fds is None:
            self._ports.failed(spec, port, prepared.failed[spec.key], generation)
            return []
        return [self._ports.place(spec, port, fds, generation)]

    def _update(self, spec: ListenerSpec, generation: int) -> list[Listener]:
        listener = self._registry.by_key[spec.key]
        before = listener.spec.split
        listener.spec, listener.generation = spec, generation
        if before != spec.split:
            self._events.add(
                "reweighed",
                split_text(spec.split),
                tenant=spec.tenant,
                about=f"listener/{spec.name}",
                before=split_text(before),
            )
        return [listener]


class _TakenByOthers(Exception):
    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.port = port


def _all_of(problems: list[PortError] | list[TenantProxyError]) -> TenantProxyError:
    """Return the one error, or one error that lists them all."""
    if len(problems) == 1:
        return problems[0]
    return DocumentError(
        tuple(Problem(str(error), hint=error.hint, code=error.code) for error in problems)
    )
