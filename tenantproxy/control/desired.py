"""The desired state: what the file says, what the API changed, and what rollouts make of both.

The file with the API's changes over it is *declared*: what documents, diffs and edits are about.
With the weights and previews of rollouts it is *in force*: what ports and workers get.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from tenantproxy.config.render import render_proxy
from tenantproxy.errors import DocumentError, Problem, TenantProxyError
from tenantproxy.model import edit
from tenantproxy.model.delta import Change, Delta, Tenants, delta
from tenantproxy.model.derive import Carried, derive, preview_key
from tenantproxy.model.layers import ApiChange, Unit, merge, record
from tenantproxy.model.spec import (
    ListenerKey,
    ListenerSpec,
    ProxySpec,
    SplitMember,
    TenantSpec,
    UpstreamSpec,
)

Check = Callable[[TenantSpec], list[Problem]]
CheckUpstream = Callable[[UpstreamSpec], list[Problem]]

FOLLOWED = frozenset({"proxy.relay"})
"""Changes of the `proxy` part that need no restart: an order to the workers does it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A desired state that may become the one in force."""

    file: Tenants
    overlay: dict[Unit, ApiChange]
    declared: Tenants
    carried: Mapping[ListenerKey, Carried]
    tenants: Tenants
    """What would be in force."""
    found: Delta
    """What differs from what is declared now."""
    moves: Delta
    """What differs from what is in force now."""
    dropped: tuple[Unit, ...] = ()
    """API changes that the file contradicts; they end if this is applied."""


class Desired:
    """Holds the state in force; candidates are made here and committed whole."""

    def __init__(
        self,
        check: Check,
        port_of: Callable[[ListenerKey], int | None] = lambda _: None,
        check_upstream: CheckUpstream = lambda _: [],
    ) -> None:
        self._check, self._port_of, self._check_upstream = check, port_of, check_upstream
        self.file: Tenants = {}
        self.overlay: dict[Unit, ApiChange] = {}
        self.declared: Tenants = {}
        self.carried: Mapping[ListenerKey, Carried] = {}
        """What rollouts want of their listeners."""
        self.tenants: Tenants = {}
        """What is in force."""

    def from_api(self, tenants: Tenants) -> Candidate:
        """Return the candidate in which the API turns what is declared into `tenants`.

        Raises:
            DocumentError: a tenant that changes is not sound.
        """
        found = delta(self.declared, tenants)
        problems = self._problems(tenants, found)
        if problems:
            raise DocumentError(tuple(problems))
        overlay = record(self.file, self.overlay, found)
        return self._candidate(self.file, overlay, tenants, found)

    def from_rollout(self, key: ListenerKey, wanted: Carried | None) -> Candidate:
        """Return the candidate in which a rollout wants this of its listener, or nothing."""
        carried = {other: one for other, one in self.carried.items() if other != key}
        if wanted is not None:
            carried[key] = wanted
        tenants, moves = self.tenants, Delta()
        if key.tenant in self.declared:
            # Only the listener and its preview: a thousand rollouts of one tenant may make a step
            # each at once.
            pair = (key.listener, preview_key(key).listener)
            before = _only(tenants[key.tenant], pair)
            after = derive(
                {key.tenant: _only(self.declared[key.tenant], pair)},
                {} if wanted is None else {key: wanted},
            )
            moves = delta({key.tenant: before}, after)
            listeners = {**tenants[key.tenant].listeners, **after[key.tenant].listeners}
            for name in before.listeners.keys() - after[key.tenant].listeners.keys():
                del listeners[name]
            owner = replace(tenants[key.tenant], listeners=listeners)
            if not any(other.tenant == key.tenant for other in carried):
                owner = self.declared[key.tenant]  # the same object: nothing to compare again
            tenants = {**tenants, key.tenant: owner}
        return Candidate(self.file, self.overlay, self.declared, carried, tenants, Delta(), moves)

    def as_declared(self, tenants: Tenants, owned: Collection[ListenerKey]) -> Tenants:
        """Return `tenants` with the declared split wherever it names the one in force.

        Who reads a listener whose split is a rollout's (one of `owned`), changes something else
        and writes it back, has not asked for the split of that moment.
        """
        for key in owned:
            was, here, now = (_split(one, key) for one in (self.declared, self.tenants, tenants))
            if (
                was is not None
                and now is not None
                and was != now
                and _weights(here) == _weights(now)
            ):
                tenants = edit.with_split(tenants, key, was)
        return tenants

    def from_file(self, file: Tenants) -> Candidate:
        """Return the candidate for a new version of the file, API changes laid over it.

        Where the two do not go together any more, the file wins.

        Raises:
            DocumentError: the file by itself is not sound.
        """
        merged, overlay = merge(file, self._without_clashes(file))
        found = delta(self.declared, merged)
        problems = self._problems(merged, found)
        while problems:
            # An API change leans on something that the file took away: let the file be right.
            broken = {problem.path.split(".")[1] for problem in problems}
            fewer = {unit: change for unit, change in overlay.items() if unit.tenant not in broken}
            if fewer == overlay:
                raise DocumentError(tuple(problems))
            merged, overlay = merge(file, fewer)
            found = delta(self.declared, merged)
            problems = self._problems(merged, found)
        dropped = tuple(unit for unit in self.overlay if unit not in overlay)
        return self._candidate(file, overlay, merged, found, dropped)

    def _candidate(
        self,
        file: Tenants,
        overlay: dict[Unit, ApiChange],
        declared: Tenants,
        found: Delta,
        dropped: tuple[Unit, ...] = (),
    ) -> Candidate:
        tenants = derive(declared, self.carried)
        moves = found if not self.carried else delta(self.tenants, tenants)
        return Candidate(file, overlay, declared, self.carried, tenants, found, moves, dropped)

    def _without_clashes(self, file: Tenants) -> dict[Unit, ApiChange]:
        """Return the overlay without listeners that sit on a number which the file now gives."""
        given: dict[int | None, ListenerKey] = {
            listener.port: listener.key
            for tenant in file.values()
            for listener in tenant.listeners.values()
            if listener.port is not None
        }
        return {
            unit: change
            for unit, change in self.overlay.items()
            if unit.kind != "listener"
            or change.value is None
            or given.get(self._port_of(key := ListenerKey(unit.tenant, unit.name)), key) == key
        }

    def commit(self, candidate: Candidate) -> None:
        """Make it the state in force."""
        self.file, self.overlay = candidate.file, candidate.overlay
        self.declared, self.carried = candidate.declared, candidate.carried
        self.tenants = candidate.tenants

    def _problems(self, tenants: Tenants, found: Delta) -> list[Problem]:
        """Check what changed, and whatever leans on an upstream that changed."""
        touched: dict[str, dict[str, ListenerSpec]] = {}
        for key, (_, new) in found.listeners.items():
            mine = touched.setdefault(key.tenant, {})
            if new is not None:
                mine[key.listener] = new
        for name in dict.fromkeys(key.tenant for key in found.upstreams):
            if (tenant := tenants.get(name)) is not None:
                touched[name] = dict(tenant.listeners)
        problems = [
            problem
            for name, listeners in touched.items()
            if name in tenants
            for problem in self._check(replace(tenants[name], listeners=listeners))
        ]
        for _, upstream in found.upstreams.values():
            if upstream is not None:
                problems += self._check_upstream(upstream)
        return problems


def _only(tenant: TenantSpec, names: Collection[str]) -> TenantSpec:
    """Return the tenant with no other listeners than these."""
    listeners = {name: tenant.listeners[name] for name in names if name in tenant.listeners}
    return replace(tenant, listeners=listeners)


def _split(tenants: Tenants, key: ListenerKey) -> tuple[SplitMember, ...] | None:
    tenant = tenants.get(key.tenant)
    listener = None if tenant is None else tenant.listeners.get(key.listener)
    return None if listener is None else listener.split


def _weights(split: tuple[SplitMember, ...] | None) -> dict[str, int]:
    """Return the members without their order, which nobody has to keep who writes them back."""
    return {member.upstream: member.weight for member in split or ()}


def proxy_changes(old: ProxySpec, new: ProxySpec) -> list[Change]:
    """Return what differs in the `proxy` part, in the document's words.

    Policies are named there, too, and are read again with every version.
    """
    before, after = render_proxy(old), render_proxy(new)
    after["policies"] = before["policies"]
    return [
        Change("change", "proxy", f"proxy.{name}", str(before.get(name)), str(after.get(name)))
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    ]


def problems_of(error: TenantProxyError) -> tuple[str, ...]:
    """Return every problem that an error carries, as people read them."""
    if isinstance(error, DocumentError):
        return tuple(map(str, error.problems))
    return (f"{error} ({error.hint})" if error.hint else str(error),)
