"""Checks, failures, ejections and slow starts of endpoints: told to the model, and carried out.

The model decides what becomes of one endpoint; here results and reports come in, time passes,
and everybody hears of changes. A flood of results costs one decision an upstream: what
depends on all endpoints (who may be ejected, panic) is decided in `decide`, not for each result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from tenantproxy import clock
from tenantproxy.control.events import Events
from tenantproxy.control.tls_files import Certificates
from tenantproxy.control.upstream import Endpoint, Upstream, checked_as, shown
from tenantproxy.dataplane.messages import Outcome
from tenantproxy.health.prober import Prober
from tenantproxy.health.target import Result, Target
from tenantproxy.model.endpoints import Change, may_eject
from tenantproxy.model.spec import HealthRule, UpstreamSpec
from tenantproxy.tasks import Background

STEPS = 20
"""A slow start goes in so many steps."""
SHORTEST_STEP_S = 0.5

_WARNINGS = frozenset({"unhealthy", "ejected"})


class Healing:
    """Keeps the health of every endpoint that workers know.

    `on_change(upstream)` is called when its order may have changed; call `decide` then.
    """

    def __init__(
        self,
        events: Events,
        certificates: Certificates,
        background: Background,
        on_change: Callable[[Upstream], None],
    ) -> None:
        self._events, self._certificates, self._on_change = events, certificates, on_change
        self._prober = Prober(self._checked, background, on_unable=self._cannot_check)
        self._loop = asyncio.get_running_loop()
        self._by_id: dict[int, tuple[Upstream, Endpoint]] = {}
        self._unable: set[int] = set()

    # Who is looked after --------------------------------------------------------

    def enter(self, upstream: Upstream, endpoints: Iterable[Endpoint]) -> None:
        """Look after these too."""
        for one in endpoints:
            self._by_id[one.id] = (upstream, one)
            if upstream.awake:
                self._watch(upstream, one)

    def leave(self, upstream: Upstream, endpoints: Iterable[Endpoint]) -> None:
        """These are gone."""
        for one in endpoints:
            self._by_id.pop(one.id, None)
            self._prober.forget(one.id)
            if upstream.overdue is not None:
                upstream.overdue.pop(one.place, None)

    def wake(self, upstream: Upstream) -> None:
        """Begin to check; what fell due meanwhile is done."""
        if upstream.spec.health is not None:
            for one in upstream.endpoints.values():
                self._watch(upstream, one)
        if any(one.health.ejected_until_s is not None for one in upstream.endpoints.values()):
            self._due(upstream)
        elif upstream.ramps:
            self._on_change(upstream)

    def rest(self, upstream: Upstream) -> None:
        """Check no more: it costs nothing until it wakes."""
        self._disarm(upstream)
        upstream.overdue = None
        for one in upstream.endpoints.values():
            if upstream.spec.health is not None:
                self._prober.forget(one.id)
            if upstream.spec.health is not None or one.health.seen:
                one.health = one.health.rested()

    def respec(self, upstream: Upstream, old: UpstreamSpec) -> None:
        """Follow the rules of another spec; call it when the endpoints are those of that spec."""
        spec, now_s = upstream.spec, clock.monotonic_s()
        checked = old.health is not None and spec.health is None
        ejected = old.outlier is not None and spec.outlier is None
        if spec.outlier is None:
            upstream.overdue = None
        for one in upstream.endpoints.values():
            if checked:
                one.health, change = one.health.without_checks(now_s)
                self._tell(upstream, one, change)
                self._prober.forget(one.id)
            if ejected:
                one.health, change = one.health.without_outlier(now_s)
                self._tell(upstream, one, change)
            if upstream.awake:
                self._watch(upstream, one)

    def watch_again(self, upstream: Upstream) -> None:
        """Check as the certificates of now want it."""
        if upstream.awake:
            for one in upstream.endpoints.values():
                self._watch(upstream, one)

    def forget(self, upstream: Upstream) -> None:
        """The upstream is gone."""
        self._disarm(upstream)
        self._unable.discard(upstream.id)
        self.leave(upstream, upstream.endpoints.values())

    async def close(self) -> None:
        """Look after nobody; nothing is left running."""
        for upstream in {id(one): one for one, _ in self._by_id.values()}.values():
            self._disarm(upstream)
        await self._prober.close()
        self._by_id.clear()

    # What comes in --------------------------------------------------------------

    def outcomes(self, worker: int, outcomes: Iterable[Outcome]) -> None:
        """Take what a worker tells of failures in a row."""
        for told in outcomes:
            if (known := self._by_id.get(told.endpoint)) is None:
                continue  # it left while the report was under way
            upstream, one = known
            if (rule := upstream.spec.outlier) is None:
                continue
            one.health = one.health.told(worker, told.failures)
            if one.health.overdue(rule):
                upstream.overdue = upstream.overdue or {}
                upstream.overdue[one.place] = told.reason
                self._on_change(upstream)
            elif upstream.overdue is not None:
                upstream.overdue.pop(one.place, None)

    def worker_lost(self, worker: int) -> None:
        """Its part of every sum is void."""
        for _, one in self._by_id.values():
            if one.health.seen:
                one.health = one.health.without_worker(worker)

    def _checked(self, number: int, result: Result) -> None:
        upstream, one = self._by_id[number]
        if (rule := upstream.spec.health) is None:
            return
        self._unable.discard(upstream.id)
        if result.passed:
            upstream.passed += 1
        else:
            upstream.failed += 1
        one.health, change = one.health.checked(
            result.passed, result.reason, rule, clock.monotonic_s()
        )
        if change is not None:
            self._tell(upstream, one, change)
            self._on_change(upstream)

    def _cannot_check(self, number: int, reason: str) -> None:
        """Say so, once until a check of that upstream can be made again."""
        upstream, _ = self._by_id[number]
        if upstream.id not in self._unable:
            self._unable.add(upstream.id)
            self.note(upstream, "check_unable", reason, level="warning")

    def _due(self, upstream: Upstream) -> None:
        """Do what its time has come for."""
        upstream.timer = None
        now_s = clock.monotonic_s()
        for one in upstream.endpoints.values():
            if one.health.ejected_until_s is not None:
                one.health, change = one.health.returned(now_s)
                self._tell(upstream, one, change)
        self._on_change(upstream)

    # What comes of it -------------------------------------------------------------

    def decide(self, upstream: Upstream, now_s: float) -> bool:
        """Eject who may be ejected, choose, and set the timer; say whether the order changes."""
        self._eject(upstream, now_s)
        before, now = upstream.choice, upstream.choose()
        upstream.choice = now
        if now.panic != upstream.panic:
            self._tell_panic(upstream, panic=now.panic)
        if now.used:
            if upstream.down:
                self._tell_down(upstream, down=False)
        elif upstream.awake and before is not None and before.used:
            self._tell_down(upstream, down=True)
        ramped, upstream.ramps = upstream.ramps, upstream.ramping(now_s)
        self._arm(upstream, now_s)
        return upstream.ramps or ramped or now != before

    def _eject(self, upstream: Upstream, now_s: float) -> None:
        overdue, rule = upstream.overdue, upstream.spec.outlier
        if not overdue or rule is None:
            return
        full: set[int] = set()
        for place, reason in tuple(overdue.items()):
            one = upstream.endpoints.get(place)
            if one is None or not one.health.overdue(rule):
                del overdue[place]
            elif one.address.priority in full:
                continue  # who may not leave, leaves nobody of the same priority a place either
            elif may_eject(upstream.standings(), place, rule):
                del overdue[place]
                upstream.ejections += 1
                one.health, change = one.health.eject(reason, rule, now_s)
                self._tell(upstream, one, change)
            else:
                full.add(one.address.priority)

    def _arm(self, upstream: Upstream, now_s: float) -> None:
        """Set the timer to what comes next, if anything does."""
        self._disarm(upstream)
        if not upstream.awake:
            return
        times = [
            one.health.ejected_until_s
            for one in upstream.endpoints.values()
            if one.health.ejected_until_s is not None
        ]
        if upstream.ramps:
            times.append(now_s + max(SHORTEST_STEP_S, upstream.spec.slow_start_s / STEPS))
        if times:
            wait_s = max(0.0, min(times) - now_s)
            upstream.timer = self._loop.call_later(wait_s, self._due, upstream)

    @staticmethod
    def _disarm(upstream: Upstream) -> None:
        if upstream.timer is not None:
            upstream.timer.cancel()
            upstream.timer = None

    def _watch(self, upstream: Upstream, one: Endpoint) -> None:
        spec = upstream.spec
        if spec.health is not None:
            self._prober.watch(one.id, self._target(spec, spec.health, one), spec.tenant)

    def _target(self, spec: UpstreamSpec, rule: HealthRule, one: Endpoint) -> Target:
        name = spec.tls.server_name if spec.tls is not None else None
        return Target(
            host=one.address.host,
            port=one.address.port,
            rule=rule,
            name=checked_as(one.address),
            send_proxy=spec.send_proxy,
            tls=self._certificates.context(spec),
            server_name=name or one.address.name,
        )

    def _tell(self, upstream: Upstream, one: Endpoint, change: Change | None) -> None:
        if change is not None:
            self.note(
                upstream,
                f"endpoint_{change.event}",
                change.reason,
                level="warning" if change.event in _WARNINGS else "info",
                endpoint=shown(one.address, upstream.spec),
            )

    def _tell_panic(self, upstream: Upstream, *, panic: bool) -> None:
        upstream.panic = panic
        said = _usable(upstream)
        if panic:
            self.note(upstream, "upstream_panic", f"{said}: all are used", level="warning")
        else:
            self.note(upstream, "upstream_panic_over", said)

    def _tell_down(self, upstream: Upstream, *, down: bool) -> None:
        upstream.down = down
        if down:
            said = _usable(upstream) if upstream.endpoints else "no endpoint is left"
            self.note(upstream, "upstream_down", said, level="warning")
        else:
            self.note(upstream, "upstream_up", _usable(upstream))

    def note(
        self, upstream: Upstream, event: str, reason: str, *, level: str = "info", **more: str
    ) -> None:
        """Note a decision about an upstream."""
        spec = upstream.spec
        self._events.add(
            event,
            reason,
            tenant=spec.tenant,
            about=f"upstream/{spec.name}",
            level=level,
            values=more,
        )


def _usable(upstream: Upstream) -> str:
    usable = sum(one.health.usable for one in upstream.endpoints.values())
    return f"{usable} of {len(upstream.endpoints)} endpoints are usable"
