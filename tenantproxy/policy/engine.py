"""Which rule is about a listener, and what it says. Pure: no clock, no loop, no socket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tenantproxy.model.spec import IdleRule, ListenerKey, PolicySpec
from tenantproxy.policy.api import NOTHING, Judgement, ListenerSignals, Policy
from tenantproxy.policy.kinds import KINDS
from tenantproxy.policy.kinds.idle import Idle
from tenantproxy.policy.match import Matcher

OWN = "listener"
"""Stands for the name of the policy when the listener's own `idle` key decides."""


class Engine:
    """The policies in force; a change of policies makes a new engine."""

    __slots__ = ("_policies",)

    def __init__(self, policies: Sequence[PolicySpec]) -> None:
        self._policies: tuple[tuple[Matcher, PolicySpec, Policy], ...] = tuple(
            (Matcher(spec.match), spec, KINDS.make(spec)) for spec in policies
        )

    def rule_for(
        self, key: ListenerKey, labels: Mapping[str, str], own: IdleRule | None
    ) -> tuple[str, IdleRule] | None:
        """Return the name and the rule that decide about a listener; None when nothing does.

        The listener's own rule wins, under the name `listener`; else the
        first policy that matches, in their order.
        """
        if own is not None:
            return OWN, own
        spec = self._first(key, labels)
        return None if spec is None else (spec[0].name, IdleRule(spec[0].after_s, spec[0].then))

    def judge(self, signals: ListenerSignals, now_s: float) -> Judgement:
        """Say what to do with a listener at `now_s` of CLOCK_MONOTONIC."""
        if signals.own is not None:
            return Idle(OWN, signals.own).judge(signals, now_s)
        found = self._first(signals.key, signals.labels)
        return NOTHING if found is None else found[1].judge(signals, now_s)

    def _first(
        self, key: ListenerKey, labels: Mapping[str, str]
    ) -> tuple[PolicySpec, Policy] | None:
        for matcher, spec, policy in self._policies:
            if matcher.fits(key, labels):
                return spec, policy
        return None
