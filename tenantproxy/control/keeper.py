"""Verdicts of policies become deeds: said, counted, carried out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tenantproxy.control.books import Books
from tenantproxy.control.events import Events
from tenantproxy.control.idle import IdleClock
from tenantproxy.control.listener import Listener
from tenantproxy.control.ports import Ports
from tenantproxy.model.delta import Delta
from tenantproxy.model.lifecycle import State
from tenantproxy.model.spec import ListenerKey, PolicySpec
from tenantproxy.policy.api import Verdict
from tenantproxy.policy.engine import Engine
from tenantproxy.tasks import Background


class Keeper:
    """Asks the policies in force about open ports and does what they say."""

    def __init__(
        self,
        ports: Ports,
        books: Books,
        events: Events,
        background: Background,
        labels: Callable[[str], Mapping[str, str]],
        withdrawn: dict[ListenerKey, str],
    ) -> None:
        self._ports, self._events, self._background = ports, events, background
        self._withdrawn = withdrawn
        self.idle = IdleClock(books, labels, self._act)
        ports.on_open = self.idle.opened
        self.policies: tuple[PolicySpec, ...] = ()
        self.actions: Counter[tuple[str, str]] = Counter()
        """(policy, action) -> how often."""

    def use(self, policies: Sequence[PolicySpec]) -> None:
        """Take other policies; every open port is looked at anew."""
        self.policies = tuple(policies)
        for policy in self.policies:
            if policy.then != "never":
                self.actions[policy.name, _shown(policy.then, dry_run=policy.dry_run)] += 0
        self.idle.use(Engine(self.policies), list(self._ports.registry.by_key.values()))

    def look_again(self, found: Delta) -> None:
        """Look anew at open ports whose rule, or whose tenant's labels, may have changed."""
        by_key = self._ports.registry.by_key
        touched = set(found.listeners)
        for _, tenant in found.tenants.values():
            if tenant is not None:
                touched |= {ListenerKey(tenant.name, name) for name in tenant.listeners}
        for key in touched:
            listener = by_key.get(key)
            if listener is not None and listener.state is State.OPEN:
                self.idle.opened(listener)

    def _act(self, listener: Listener, verdict: Verdict, since_s: float) -> None:
        shown = _shown(verdict.action, dry_run=verdict.dry_run)
        self.actions[verdict.policy, shown] += 1
        self._events.add(
            "policy",
            f"{shown}: {verdict.reason}",
            tenant=listener.spec.tenant,
            about=f"listener/{listener.spec.name}",
            policy=verdict.policy,
            values=verdict.values,
        )
        if not verdict.dry_run:
            work = self._carry_out(listener, verdict, since_s)
            self._background.start(work, name=f"{verdict.action} {listener.key}")

    async def _carry_out(self, listener: Listener, verdict: Verdict, since_s: float) -> None:
        reason = f"{verdict.policy}: {verdict.reason}"
        if verdict.action == "sleep":
            await self._ports.sleep(listener, "keep", reason, idle_since_s=since_s)
            return
        self._withdrawn[listener.key] = reason
        if not await self._ports.close(listener, "keep", reason, idle_since_s=since_s):
            self._withdrawn.pop(listener.key, None)


def _shown(action: str, *, dry_run: bool) -> str:
    return f"would {action}" if dry_run else action
