"""Looks at the canary: what findings do to a rollout, and what keeps it in a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tenantproxy.model.findings import Finding, Result
from tenantproxy.model.rollout_counts import count_of, once_more, without
from tenantproxy.model.rollout_phases import JUDGED
from tenantproxy.model.rollout_spec import RolloutSpec
from tenantproxy.model.rollout_turn import Turn, headline, pause, verdict
from tenantproxy.model.rollout_values import Progress


def see(turn: Turn, look: tuple[Finding, ...]) -> None:
    """Take the findings of a look that was due; those of any other are late and change nothing."""
    progress = turn.progress
    due_s = progress.look_at_s
    if progress.phase not in JUDGED or due_s is None or turn.now_s < due_s:
        return
    every_s = turn.spec.analysis.every_s
    next_s = due_s + every_s
    turn.change(
        looks=progress.looks + 1,
        look_at_s=next_s if next_s > turn.now_s else turn.now_s + every_s,
        findings=look,
    )
    for finding in look:
        _count(turn, finding)
    _decide(turn)


def _count(turn: Turn, finding: Finding) -> None:
    progress, name = turn.progress, finding.check
    if finding.result == "inconclusive":
        turn.change(inconclusive=once_more(progress.inconclusive, name))
        if not finding.dry_run or not count_of(progress.inconclusive, name):
            turn.say("rollout_inconclusive", f"check {name}: {_said(finding)}", "warning")
        return
    turn.change(inconclusive=without(progress.inconclusive, name))
    if finding.result != "failed":
        return
    turn.change(failures=once_more(progress.failures, name))
    if not finding.dry_run:
        turn.say("rollout_check_failed", f"check {name} failed: {_said(finding)}", "warning")
    elif count_of(progress.failures, name) == turn.spec.analysis.failures_allowed:
        turn.say("rollout_would_fail", f"dry run: {_failed(turn, finding)}", "warning")


def _decide(turn: Turn) -> None:
    progress, analysis = turn.progress, turn.spec.analysis
    too_often = [
        _failed(turn, finding)
        for finding in _found(progress, "failed")
        if count_of(progress.failures, finding.check) > analysis.failures_allowed
    ]
    if too_often:
        verdict(turn, f"{'; '.join(too_often)} ({headline(turn.spec, progress)})")
    out_of_reach = [
        f"check {finding.check} could not judge {times} times in a row: {_said(finding)}"
        for finding in _found(progress, "inconclusive")
        if (times := count_of(progress.inconclusive, finding.check)) > analysis.inconclusive_allowed
    ]
    if out_of_reach and turn.progress.phase in JUDGED:
        cause = "; ".join(out_of_reach)
        pause(turn, cause, cause=cause)


def _failed(turn: Turn, finding: Finding) -> str:
    times = count_of(turn.progress.failures, finding.check)
    often = "" if times == 1 else f" {times} times"
    return f"check {finding.check} failed{often}: {_said(finding)}"


def _said(finding: Finding) -> str:
    """Return the reason without the name, which signals of the traffic put before it."""
    return finding.reason.removeprefix(f"{finding.check}: ")


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps a rollout in a step whose hold is over."""

    kind: Literal["failed", "unreachable", "look", "samples"]
    text: str
    """Stands behind `waits for`."""

    @property
    def counts(self) -> bool:
        """Say whether the time counts for `deadline`: not that until the next look or client."""
        return self.kind in {"failed", "unreachable"}


def obstacle(spec: RolloutSpec, progress: Progress, now_s: float) -> Obstacle | None:
    """Return the gravest obstacle that the last look left; None: the canary is as it should be.

    A look that is due is waited for, but not while a gate is asked: the gate's
    answer may take longer than the time between two looks.
    """
    if progress.look_at_s is None:
        return None
    found: Obstacle | None = None
    # In a dry run that has said that it would fail, checks keep nothing back any more.
    if not progress.would_fail:
        if failed := _names(progress, "failed"):
            found = Obstacle("failed", f"{failed} to pass")
        elif unreachable := _names(progress, "inconclusive"):
            found = Obstacle("unreachable", f"an answer of {unreachable}")
    if found is None and spec.no_traffic == "hold" and (short := samples_lack(progress)):
        found = Obstacle("samples", f"samples of {short}")
    looking = progress.gate is None and now_s >= progress.look_at_s
    if found is None and (looking or not progress.findings):
        found = Obstacle("look", "a look at the canary")
    return found


def samples_lack(progress: Progress) -> str:
    """Return the names of checks that had too few samples at the last look; none at 100 %.

    Stable gets nothing new then, so that comparisons have nothing to compare.
    """
    if progress.weight >= 100:  # noqa: PLR2004 - percent
        return ""
    return ", ".join(finding.check for finding in _found(progress, "no_data"))


def _names(progress: Progress, result: Result) -> str:
    names = [finding.check for finding in _found(progress, result)]
    return f"check{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else ""


def _found(progress: Progress, result: Result) -> list[Finding]:
    """Return findings of the last look that decide something."""
    return [one for one in progress.findings if one.result == result and not one.dry_run]
