"""The life of one endpoint and the choice among them, as values; time is always an argument.

Names and behaviour are those of Envoy (outlier detection, panic threshold, priorities, slow
start) and HAProxy (rise, fall). `now_s` is CLOCK_MONOTONIC in seconds.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from math import floor
from typing import Final, Generic, Literal, NamedTuple, TypeVar

from tenantproxy.model.span import span
from tenantproxy.model.spec import HealthRule, OutlierRule
from tenantproxy.model.views import EndpointState

Key = TypeVar("Key", bound=Hashable)

Event = Literal["healthy", "unhealthy", "ejected", "returned"]

SWEEP_S: Final = 10.0
"""For each of these without an ejection, the next one is a step shorter."""
RAMP_FLOOR: Final = 0.1
"""Share of its weight with which an endpoint starts slowly."""
WEIGHT_SCALE: Final = 100
"""Weights are this many times as large while any endpoint starts slowly."""

_SLACK: Final = 1e-9
"""0.07 * 100 is a little more than 7, 0.29 * 100 a little less than 29."""
USABLE: Final = frozenset[EndpointState](("healthy", "unchecked"))
"""States in which connections go to an endpoint without panic."""


@dataclass(frozen=True, slots=True)
class Change:
    """An endpoint went from one state to another."""

    event: Event
    """`returned`: from `ejected`, because its time is over, checks passed, or the rule went."""
    old: EndpointState
    new: EndpointState
    reason: str
    """For people: `3 checks failed: refused`, `5 failures in a row: refused; out for 30s`."""


class Told(NamedTuple):
    """What a worker has told of its failures in a row."""

    worker: int
    failures: int
    counted: int
    """So many of them count: those since the last success in any worker, while it is usable."""


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """What is known of one endpoint. Its methods return what is known afterwards."""

    state: EndpointState = "unchecked"
    """Never `unresolved`: what has no address has no health."""
    since_s: float = 0.0
    """When it came into this state."""
    reason: str = ""
    """Why it is in this state; empty when there is nothing to say."""
    passes: int = 0
    """Passed checks in a row."""
    fails: int = 0
    """Failed checks in a row."""
    fresh: bool = True
    """The next check decides alone: nobody has checked, or not since a sleep."""
    ejections: int = 0
    """How often it was ejected."""
    ejected_until_s: float | None = None
    """Set while it is ejected: call `returned` then."""
    ramp_from_s: float | None = None
    """Slow start counts from here; None: it has its whole weight."""
    seen: tuple[Told, ...] = ()
    """What workers have told last; others told 0."""
    steps: int = 0
    """The last ejection lasted this many times the shortest one."""
    calm_from_s: float = 0.0
    """End of the last ejection."""
    behind: EndpointState = "unchecked"
    """State to return to while it is ejected."""

    @classmethod
    def arrived(cls, now_s: float, *, among_others: bool) -> EndpointHealth:
        """Return the health of a new endpoint; it starts slowly if others were there before."""
        return cls(since_s=now_s, ramp_from_s=now_s if among_others else None)

    @property
    def usable(self) -> bool:
        """Say whether connections go there without panic."""
        return self.state in USABLE

    @property
    def failures(self) -> int:
        """Failed connections in a row, over all workers, since it is usable."""
        return sum(one.counted for one in self.seen)

    def checked(
        self,
        passed: bool,
        reason: str,
        rule: HealthRule,
        now_s: float,
    ) -> tuple[EndpointHealth, Change | None]:
        """Count one active check.

        `fall` failures in a row make it unhealthy, `rise` passes in a row make it healthy; a
        fresh one is decided by a single check. That many passes also end an ejection, and that
        many failures make an ejected one unhealthy: then only checks bring it back.
        """
        new = replace(
            self,
            passes=self.passes + 1 if passed else 0,
            fails=0 if passed else self.fails + 1,
            fresh=False,
        )
        if passed:
            if self.state == "ejected":
                new = replace(new, behind="healthy")
            needed = 1 if self.fresh else rule.rise
            if self.state == "unchecked" or (not self.usable and new.passes >= needed):
                return _into(new, "healthy", f"{_checks(new.passes)} passed: {reason}", now_s)
        elif self.state != "unhealthy" and new.fails >= (1 if self.fresh else rule.fall):
            return _into(new, "unhealthy", f"{_checks(new.fails)} failed: {reason}", now_s)
        return new, None

    def told(self, worker: int, failures: int) -> EndpointHealth:
        """Count what a worker tells: its own number of failures in a row, 0 after a success.

        A success in any worker resets the sum, and so does a number that is smaller than the
        worker's last one: a success was between them. Nothing counts while it is ejected
        (connections that were under way still fail); the next step is `overdue`.
        """
        nothing = Told(worker, 0, 0)
        before = next((one for one in self.seen if one.worker == worker), nothing)
        others = tuple(one for one in self.seen if one.worker != worker)
        if not failures:
            return replace(self, seen=_void(others))
        if failures < before.failures:
            before, others = nothing, _void(others)
        counted = before.counted + failures - before.failures
        if self.state == "ejected":
            counted = 0
        return replace(self, seen=(*others, Told(worker, failures, counted)))

    def without_worker(self, worker: int) -> EndpointHealth:
        """Forget what a worker told: it has ended, and its follower counts from 0."""
        return replace(self, seen=tuple(one for one in self.seen if one.worker != worker))

    def overdue(self, rule: OutlierRule) -> bool:
        """Say whether it is to be ejected, if `may_eject` allows it."""
        return self.usable and self.failures >= rule.consecutive_failures

    def eject(self, reason: str, rule: OutlierRule, now_s: float) -> tuple[EndpointHealth, Change]:
        """Leave it out for `eject_for_s` times the number of its recent ejections.

        The number falls by one for each whole `SWEEP_S` without an ejection, and does not rise
        when the longest time is reached (as Envoy's: `eject_for_most_s`, or `eject_for_s` if
        that is longer).
        """
        calm = floor(max(0.0, now_s - self.calm_from_s) / SWEEP_S)
        steps = max(0, self.steps - calm)
        most_s = max(rule.eject_for_s, rule.eject_for_most_s)
        if steps * rule.eject_for_s < most_s:
            steps += 1
        for_s = min(steps * rule.eject_for_s, most_s)
        why = f"{_failures(self.failures)} in a row: {reason}; out for {span(for_s)}"
        new = replace(
            self,
            state="ejected",
            since_s=now_s,
            reason=why,
            passes=0,
            fresh=False,
            seen=_void(self.seen),
            ejections=self.ejections + 1,
            ejected_until_s=now_s + for_s,
            steps=steps,
            calm_from_s=now_s + for_s,
            behind=self.state,
        )
        return new, Change("ejected", self.state, "ejected", why)

    def returned(self, now_s: float) -> tuple[EndpointHealth, Change | None]:
        """End an ejection whose time is over; before `ejected_until_s` nothing changes."""
        if self.ejected_until_s is None or now_s < self.ejected_until_s:
            return self, None
        return _into(
            self, self.behind, f"back after {span(round(now_s - self.since_s))} out", now_s
        )

    def rested(self) -> EndpointHealth:
        """After a sleep: the state stays, and the next check decides alone.

        What connections did before the sleep counts no more. An ejection lasts on.
        """
        return replace(self, passes=0, fails=0, fresh=True, seen=_void(self.seen))

    def without_checks(self, now_s: float) -> tuple[EndpointHealth, Change | None]:
        """There is no health rule any more: what checks have said is void."""
        new = replace(self, passes=0, fails=0, fresh=True)
        if self.state == "unhealthy":
            return _into(new, "unchecked", "it is no longer checked", now_s)
        if self.state == "healthy":
            return replace(new, state="unchecked", since_s=now_s, reason=""), None
        return replace(new, behind="unchecked"), None

    def without_outlier(self, now_s: float) -> tuple[EndpointHealth, Change | None]:
        """There is no outlier rule any more: an ejection ends, failures count no more."""
        new = replace(self, seen=_void(self.seen))
        if self.state != "ejected":
            return new, None
        return _into(new, self.behind, "failures no longer eject", now_s)

    def ramping(self, now_s: float, window_s: float) -> bool:
        """Say whether it starts slowly now."""
        return self.ramp_from_s is not None and now_s - self.ramp_from_s < window_s

    def ramp(self, now_s: float, window_s: float) -> float:
        """Return the part of its weight that it has now, from 0.1 to 1.0."""
        return 1.0 if self.ramp_from_s is None else ramp(now_s - self.ramp_from_s, window_s)


def _void(told: tuple[Told, ...]) -> tuple[Told, ...]:
    """Return what was told, so that nothing of it counts."""
    return tuple(one._replace(counted=0) for one in told)


def _into(
    old: EndpointHealth, state: EndpointState, reason: str, now_s: float
) -> tuple[EndpointHealth, Change]:
    """Return it in a state other than `ejected`, and the change.

    One that comes back was not used meanwhile, so the workers have forgotten their numbers. In
    panic they have not: then it is out again with its next failure, for it never stopped failing.
    """
    was_out, usable = old.state == "ejected", state in USABLE
    back = usable and not old.usable
    new = replace(
        old,
        state=state,
        since_s=now_s,
        reason=reason,
        fresh=old.fresh or state == "unchecked",
        ejected_until_s=None,
        ramp_from_s=now_s if back else old.ramp_from_s,
        seen=() if back else _void(old.seen),
        calm_from_s=now_s if was_out else old.calm_from_s,
    )
    event: Event = "healthy" if usable else "unhealthy"
    return new, Change("returned" if usable and was_out else event, old.state, state, reason)


class Standing(NamedTuple, Generic[Key]):
    """One resolved endpoint of an upstream, as `choose` and `may_eject` see it."""

    key: Key
    state: EndpointState
    priority: int = 0
    """Lower ones are used first."""

    @property
    def usable(self) -> bool:
        return self.state in USABLE


@dataclass(frozen=True, slots=True)
class Choice(Generic[Key]):
    """Where connections of an upstream go now."""

    used: tuple[Key, ...]
    """In the order in which they were given; empty: nowhere."""
    healthy: int
    """How many of them are usable for their own sake."""
    panic: bool
    """Too few are usable, so all of a priority are used."""


def choose(standings: Iterable[Standing[Key]], panic_below: float) -> Choice[Key]:
    """Return the endpoints to use.

    They are the usable ones of the first priority (the lowest number) that has any, and of
    whose endpoints at least the share `panic_below` is usable. If there is no such priority,
    it is panic: all endpoints of the first priority that has any usable one are used, or all of
    the first when none has. With `panic_below` 0 there is no panic, and maybe nothing to use.
    """
    groups: dict[int, list[Standing[Key]]] = {}
    for one in standings:
        groups.setdefault(one.priority, []).append(one)
    by_priority = [groups[number] for number in sorted(groups)]
    some: list[Standing[Key]] | None = None
    for group in by_priority:
        good = tuple(one.key for one in group if one.usable)
        if good and len(good) >= panic_below * len(group) - _SLACK:
            return Choice(good, len(good), panic=False)
        if good and some is None:
            some = group
    if panic_below <= 0 or not by_priority:
        return Choice((), 0, panic=False)
    group = by_priority[0] if some is None else some
    usable = sum(one.usable for one in group)
    return Choice(tuple(one.key for one in group), usable, panic=True)


def may_eject(standings: Iterable[Standing[Key]], key: Key, rule: OutlierRule) -> bool:
    """Say whether an endpoint may be ejected now.

    Not the last usable one of its priority, and not when the share `max_ejected` of all (at
    least one) is out already.
    """
    everyone = tuple(standings)
    me = next(one for one in everyone if one.key == key)
    out = sum(one.state == "ejected" for one in everyone)
    if not me.usable or out >= max(1, floor(rule.max_ejected * len(everyone) + _SLACK)):
        return False
    return any(one.usable and one.priority == me.priority and one.key != key for one in everyone)


def ramp(age_s: float, window_s: float) -> float:
    """Return the part of its weight that an endpoint has `age_s` after it came: 0.1 to 1.0.

    It grows linearly over `window_s`; without a window it is 1.0 at once.
    """
    if age_s >= window_s:
        return 1.0
    return RAMP_FLOOR + (1 - RAMP_FLOOR) * max(0.0, age_s) / window_s


def scaled_weight(weight: int, factor: float) -> int:
    """Return a weight for the workers while any endpoint of the upstream starts slowly.

    Those that do not have the factor 1.0.
    """
    return round(weight * WEIGHT_SCALE * factor)


def _failures(number: int) -> str:
    return "1 failure" if number == 1 else f"{number} failures"


def _checks(number: int) -> str:
    return "check" if number == 1 else f"{number} checks"
