"""One look at a canary: findings of the traffic, of its endpoints, and of judges outside."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from tenantproxy.control.hands import Hands
from tenantproxy.control.rollout_windows import Windows
from tenantproxy.model.findings import ASIDE, RESULTS, Finding, GateAnswer, Subject
from tenantproxy.model.judgement import judge
from tenantproxy.model.rollout import Progress
from tenantproxy.model.rollout_spec import Gate, GateName, OutsideCheck, RolloutSpec
from tenantproxy.model.spec import ListenerKey
from tenantproxy.rollout.api import Judges

ENDPOINTS = "endpoints"
"""Name of the check that every rollout has: that the canary has endpoints that can be used."""
_UNCOUNTED = "nothing is counted: all counters of signals are in use"
_BEYOND_S = 5.0
"""A judge keeps its time-out by itself; one that is this late does not answer any more."""

CheckCounts = dict[tuple[str, str], int]
"""(check, result) -> how often."""


def seen_findings(
    hands: Hands, key: ListenerKey, spec: RolloutSpec, windows: Windows, look: int
) -> tuple[Finding, ...]:
    """Return what the proxy sees by itself at this look of the step, counted from 1."""
    step, recent = windows.look()
    rule = spec.analysis
    endpoints = _endpoints(hands.endpoints(key.tenant, spec.canary), spec.canary)
    if not windows.complete:
        # Too few samples would do: `no_traffic: pass` would let any canary through.
        blind = [
            Finding(check.name, "inconclusive", _UNCOUNTED, dry_run=check.dry_run)
            for check in rule.signals
        ]
        return (*blind, endpoints)
    # The chance of a false alarm is that of the whole rollout. The look at 100 % is a step, too.
    steps = 1 + sum(one.kind != "pause" for one in spec.steps)
    tests = max(len(rule.signals) * steps, 1)
    # A step that fails at every look is over at the deadline, whatever else is allowed.
    failures = min(rule.failures_allowed + 1, max(1, int(spec.deadline_s / rule.every_s)))
    judged = [
        judge(
            check,
            step,
            recent,
            min_samples=rule.min_samples,
            look=look,
            tests=tests,
            failures=failures,
        )
        for check in rule.signals
    ]
    return (*judged, endpoints)


async def asked_findings(
    judges: Judges, checks: Iterable[OutsideCheck], about: Subject
) -> tuple[Finding, ...]:
    """Ask all judges at once and wait for all; one that raises could not judge."""
    return tuple(await asyncio.gather(*(_ask(judges, check, about) for check in checks)))


async def asked_gate(judges: Judges, name: GateName, gate: Gate, about: Subject) -> GateAnswer:
    """Ask a gate; if that raises, it could not be reached."""
    try:
        async with asyncio.timeout(gate.timeout_s + _BEYOND_S):
            return await judges.ask(name, gate, about)
    except Exception as error:  # noqa: BLE001 - whatever it is, it says nothing of the canary
        return GateAnswer(name, "unreachable", f"could not be asked: {error!r}")


def subject(key: ListenerKey, spec: RolloutSpec, progress: Progress, step: int) -> Subject:
    """Return what judges and gates are told."""
    return Subject(
        tenant=key.tenant,
        listener=key.listener,
        stable=spec.stable,
        canary=spec.canary,
        state=progress.phase,
        step=step,
        steps=len(spec.steps),
        weight=progress.weight,
        reason=progress.reason,
        interval_s=spec.analysis.every_s,
    )


def no_counts(spec: RolloutSpec, before: Mapping[tuple[str, str], int]) -> CheckCounts:
    """Return a count for each check and result: that of before, or 0."""
    counts = {}
    names = [(check.name, check.dry_run) for check in spec.analysis.checks]
    for name, dry_run in (*names, (ENDPOINTS, False)):
        for result in (*RESULTS, *((ASIDE,) if dry_run or spec.dry_run else ())):
            counts[name, result] = before.get((name, result), 0)
    return counts


def count(spec: RolloutSpec, counts: CheckCounts, findings: Iterable[Finding]) -> None:
    """Count findings; a failure that is only said has a name of its own."""
    for one in findings:
        aside = one.result == "failed" and (one.dry_run or spec.dry_run)
        which = one.check, ASIDE if aside else one.result
        counts[which] = counts.get(which, 0) + 1


async def _ask(judges: Judges, check: OutsideCheck, about: Subject) -> Finding:
    try:
        async with asyncio.timeout(check.timeout_s + _BEYOND_S):
            return await judges.judge(check, about)
    except Exception as error:  # noqa: BLE001 - as above
        why = f"could not be asked: {error!r}"
        return Finding(check.name, "inconclusive", why, dry_run=check.dry_run)


def _endpoints(found: tuple[int, int] | None, canary: str) -> Finding:
    if found is None:
        return Finding(ENDPOINTS, "passed", f"{canary} is asleep: nobody uses it")
    usable, all_ = found
    if not all_:
        return Finding(ENDPOINTS, "failed", f"{canary} has no endpoints")
    what = f"{usable} of {all_} endpoints of {canary} can be used"
    return Finding(ENDPOINTS, "passed" if usable else "failed", what)
