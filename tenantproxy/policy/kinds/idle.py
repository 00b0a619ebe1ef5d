"""Ports that carry nothing go to sleep, or close."""

from __future__ import annotations

from dataclasses import dataclass

from tenantproxy.model.lifecycle import State
from tenantproxy.model.spec import IdleRule, PolicySpec
from tenantproxy.policy.api import NOTHING, Action, Judgement, ListenerSignals, Verdict


@dataclass(frozen=True, slots=True)
class Idle:
    """Asks for `then` when a port had no connection and no byte for `after_s`.

    An open connection counts as activity however silent it is: to end silent
    connections is the work of the listener's `idle_timeout`.
    """

    name: str
    rule: IdleRule
    dry_run: bool = False

    @classmethod
    def of(cls, spec: PolicySpec) -> Idle:
        """Make it from a policy document."""
        return cls(spec.name, IdleRule(spec.after_s, spec.then), spec.dry_run)

    def judge(self, signals: ListenerSignals, now_s: float) -> Judgement:
        """Say what to do with one listener, and when to look again."""
        then, after_s = self.rule.then, self.rule.after_s
        if then == "never" or signals.state is not State.OPEN:
            return NOTHING
        if signals.connections > 0:
            return Judgement(look_again_at_s=now_s + after_s)
        due_s = signals.last_activity_s + after_s
        if now_s < due_s:
            return Judgement(look_again_at_s=due_s)
        verdict = self._verdict(signals, now_s - signals.last_activity_s, then)
        # Asked again after a while: a dry run repeats itself at that pace only, and a
        # listener that could not be put to sleep is not forgotten.
        return Judgement(verdict, look_again_at_s=now_s + after_s)

    def _verdict(self, signals: ListenerSignals, idle_s: float, action: Action) -> Verdict:
        who = "its own rule" if self.name == "listener" else f"policy {self.name}"
        return Verdict(
            key=signals.key,
            policy=self.name,
            action=action,
            reason=f"idle for {idle_s:.0f} s, {who} says {action} after {self.rule.after_s:g} s",
            dry_run=self.dry_run,
            values={
                "idle_s": round(idle_s, 3),
                "after_s": self.rule.after_s,
                "connections": signals.connections,
            },
        )
