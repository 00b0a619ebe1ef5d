"""One call of `advance` under way: the steps that a rollout takes, and what it wishes for them.

Every change of phase of a rollout is made here, by `Turn.enter`, and says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from tenantproxy.model.rollout_phases import Phase, move
from tenantproxy.model.rollout_spec import RolloutSpec, Step
from tenantproxy.model.rollout_values import (
    AskGate,
    EndCanary,
    NewWindow,
    Progress,
    Promote,
    Restore,
    Say,
    SetPreview,
    SetWeight,
    Wish,
)
from tenantproxy.model.span import span

LONGEST_END_S = 900.0
"""A rollback waits no longer than this for the canary's connections: drain windows are 600 s where
nobody says otherwise, and a connection that outlives its own is cut by the data path."""


class Turn:
    """What a rollout is so far in this turn, and what was wished in it."""

    __slots__ = ("_deeds", "_says", "now_s", "progress", "spec")

    def __init__(self, spec: RolloutSpec, progress: Progress, now_s: float) -> None:
        self.spec = spec
        self.progress = progress
        self.now_s = now_s
        self._deeds: list[Wish] = []
        self._says: list[Say] = []

    @property
    def wishes(self) -> tuple[Wish, ...]:
        """Return deeds first, so that no event is told before what it tells of."""
        return (*self._deeds, *self._says)

    def change(self, **changes: Any) -> None:
        """Change fields of the progress, the phase never."""
        self.progress = replace(self.progress, **changes)

    def wish(self, *deeds: Wish) -> None:
        self._deeds += deeds

    def say(
        self, event: str, reason: str, level: Literal["info", "warning", "error"] = "info"
    ) -> None:
        self._says.append(Say(event, reason, level))

    def enter(self, phase: Phase, reason: str) -> None:
        """Change the phase.

        Raises:
            IllegalMove: the table has no such move; a bug of ours.
        """
        self.progress = replace(
            self.progress,
            phase=move(self.progress.phase, phase),
            reason=reason,
            since_s=self.now_s,
            waits_for="",
        )

    def wait(self, text: str, *, counts: bool) -> None:
        """Note what the rollout waits for, and whether the time counts for `deadline`."""
        progress = self.progress
        head = headline(self.spec, progress)
        self.change(waits_for=text, reason=f"{head}; waits for {text}" if text else head)
        if not counts:
            self.change(stuck_s=stuck_s(progress, self.now_s), stuck_at_s=None)
        elif progress.stuck_at_s is None:
            self.change(stuck_at_s=self.now_s)


def stuck_s(progress: Progress, now_s: float) -> float:
    """Return the time of this step that counts for `deadline`, in seconds."""
    at_s = progress.stuck_at_s
    return progress.stuck_s + (0.0 if at_s is None else now_s - at_s)


def overdue_s(spec: RolloutSpec, progress: Progress) -> float | None:
    """Return when `deadline` is over if nothing changes; None: never."""
    if progress.stuck_at_s is None or progress.would_fail:
        return None
    return progress.stuck_at_s + (spec.deadline_s - progress.stuck_s)


def step_of(spec: RolloutSpec, progress: Progress) -> Step | None:
    """Return the step it is in; None behind the last one."""
    return spec.steps[progress.step] if progress.step < len(spec.steps) else None


def is_looked_at(spec: RolloutSpec, progress: Progress) -> bool:
    """Say whether the canary is judged in this step: not in a pause, nor without checks."""
    step = step_of(spec, progress)
    return bool(spec.analysis.checks) and (step is None or step.kind != "pause")


def hold_end_s(spec: RolloutSpec, progress: Progress) -> float:
    """Return when the step may end at the earliest."""
    if progress.step < len(spec.steps):
        return progress.step_since_s + spec.hold_of(progress.step)
    looked_at = is_looked_at(spec, progress)
    return progress.step_since_s + (spec.analysis.every_s if looked_at else 0.0)


def headline(spec: RolloutSpec, progress: Progress) -> str:
    """Return in a few words where a rollout is: `step 2 of 4: 25% for 5m`."""
    if progress.phase is Phase.WAITING:
        return "to be started"
    step = step_of(spec, progress)
    if step is None:
        return f"100% to {spec.canary}"
    place = f"step {progress.step + 1} of {len(spec.steps)}"
    if step.kind == "pause":
        return f"{place}: pause"
    what = "experiment" if step.kind == "experiment" else f"{step.weight}%"
    return f"{place}: {what} for {span(spec.hold_of(progress.step))}"


def start(turn: Turn) -> None:
    """Take the first step."""
    spec = turn.spec
    again = f", attempt {turn.progress.attempt + 1}" if turn.progress.attempt else ""
    reason = f"from {spec.stable} to {spec.canary}{again}"
    turn.enter(Phase.RUNNING, reason)
    turn.say("rollout_started", reason)
    enter_step(turn, turn.progress.step)


def leave_step(turn: Turn) -> None:
    """Go on behind the step it is in, which has all that it needs."""
    if turn.progress.phase is Phase.PROMOTING:
        reason = f"{turn.spec.canary} has everything"
        turn.wish(Promote())
        end(turn, Phase.SUCCEEDED, reason)
        turn.say("rollout_succeeded", reason)
    elif turn.progress.step + 1 < len(turn.spec.steps):
        enter_step(turn, turn.progress.step + 1)
    else:
        promote(turn, "every step has passed")


def enter_step(turn: Turn, index: int) -> None:
    """Take a step: its weight and a new window. A pause keeps the weight and pauses."""
    _begin_step(turn, index)
    weight = turn.spec.weight_of(index)
    reason = headline(turn.spec, turn.progress)
    if turn.spec.steps[index].kind == "pause":
        reason = f"{reason} until resumed"
        if weight != turn.progress.weight:
            _set_weight(turn, weight, reason)
        turn.enter(Phase.PAUSED, reason)
        turn.say("rollout_paused", reason)
    else:
        turn.wish(NewWindow())
        _set_weight(turn, weight, reason)
        turn.change(reason=reason)
        turn.say("rollout_step", reason)


def promote(turn: Turn, why: str) -> None:
    """Give the canary everything."""
    reason = f"100% to {turn.spec.canary}: {why}"
    turn.wish(NewWindow())
    _set_weight(turn, 100, reason)
    turn.enter(Phase.PROMOTING, reason)
    _begin_step(turn, len(turn.spec.steps))
    turn.change(cause="", inconclusive=())
    turn.say("rollout_promoting", reason)


def _begin_step(turn: Turn, index: int) -> None:
    turn.change(
        step=index,
        step_since_s=turn.now_s,
        looks=0,
        look_at_s=None,
        failures=(),
        findings=(),
        gate=None,
        ask_at_s=None,
        stuck_s=0.0,
        stuck_at_s=None,
        waits_for="",
        would_fail=False,
    )
    if is_looked_at(turn.spec, turn.progress):
        turn.change(look_at_s=turn.now_s + turn.spec.analysis.every_s)


def _set_weight(turn: Turn, weight: int, reason: str) -> None:
    turn.wish(SetWeight(weight, reason))
    turn.change(weight=weight)


def pause(turn: Turn, reason: str, *, cause: str = "") -> None:
    """Keep the weight and wait for somebody; `cause` if nobody asked for it."""
    progress = turn.progress
    turn.change(
        look_at_s=None,
        gate="before_start" if progress.phase is Phase.WAITING else None,
        ask_at_s=None,
        stuck_s=stuck_s(progress, turn.now_s),
        stuck_at_s=None,
        cause=cause,
    )
    turn.enter(Phase.PAUSED, reason)
    turn.say("rollout_paused", reason, "warning" if cause else "info")


def verdict(turn: Turn, cause: str) -> None:
    """Do what `on_failure` says; with `dry_run` only say it, once in a step."""
    if turn.spec.dry_run:
        if not turn.progress.would_fail:
            turn.change(would_fail=True)
            turn.say("rollout_would_fail", cause, "warning")
    elif turn.spec.on_failure == "pause":
        pause(turn, cause, cause=cause)
    else:
        roll_back(turn, cause, Phase.ROLLED_BACK, level="error")


def overdue(turn: Turn, *, unreachable: bool) -> None:
    """End what made no progress until `deadline`.

    What only waits for somebody who cannot be reached is paused: that says
    nothing about the canary.
    """
    cause = f"no progress for {span(turn.spec.deadline_s)}: waits for {turn.progress.waits_for}"
    if unreachable:
        pause(turn, cause, cause=cause)
    elif turn.progress.phase is Phase.WAITING and not turn.spec.dry_run:
        turn.change(cause=cause)
        end(turn, Phase.FAILED, cause)
        turn.say("rollout_failed", cause, "error")
    else:
        verdict(turn, cause)


def roll_back(
    turn: Turn,
    cause: str,
    ends_as: Phase,
    *,
    level: Literal["warning", "error"] = "warning",
    restore: bool = False,
) -> None:
    """Give the canary nothing, before anything else; `restore` what a promotion has changed."""
    how = turn.spec.canary_connections
    _set_weight(turn, 0, cause)
    if restore:
        turn.wish(Restore())
    if how != "keep":
        turn.wish(EndCanary(how))
    turn.change(
        look_at_s=None,
        gate=None,
        ask_at_s=None,
        stuck_s=stuck_s(turn.progress, turn.now_s),
        stuck_at_s=None,
        cause=cause,
        ends_as=ends_as,
        ended_s=None,
    )
    turn.enter(Phase.ROLLING_BACK, cause)
    turn.say("rollout_rolling_back", cause, level)
    if how == "keep":
        rolled_back(turn)


def rolled_back(turn: Turn) -> None:
    """End a rollback: the canary's connections are as they shall be."""
    cause, ends_as = turn.progress.cause, turn.progress.ends_as
    if ends_as is Phase.ABORTED:
        end(turn, Phase.ABORTED, cause)
        turn.say("rollout_aborted", cause)
    else:
        end(turn, Phase.ROLLED_BACK, cause)
        turn.say("rollout_rolled_back", cause, "warning")


def end(turn: Turn, phase: Phase, reason: str) -> None:
    """Put the preview away, and tell the gate that wants to know."""
    turn.enter(phase, reason)
    if turn.spec.preview is not None:
        turn.wish(SetPreview(wanted=False))
    told = turn.spec.gates.after_end is not None
    if told:
        turn.wish(AskGate("after_end"))
    turn.change(
        look_at_s=None,
        gate="after_end" if told else None,
        ask_at_s=None,
        stuck_at_s=None,
        inconclusive=(),
        ends_as=None,
        ended_s=turn.now_s,
    )
