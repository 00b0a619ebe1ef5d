"""What people may tell a rollout, in which phase, and what it does then."""

from __future__ import annotations

from collections.abc import Callable

from tenantproxy.errors import Conflict
from tenantproxy.model.rollout_gates import ask
from tenantproxy.model.rollout_phases import Command, Phase
from tenantproxy.model.rollout_spec import RolloutSpec
from tenantproxy.model.rollout_turn import (
    Turn,
    end,
    headline,
    is_looked_at,
    pause,
    promote,
    roll_back,
    start,
)
from tenantproxy.model.rollout_values import Progress, SetPreview
from tenantproxy.model.span import span

POSSIBLE: dict[Phase, tuple[Command, ...]] = {
    Phase.WAITING: ("start", "abort"),
    Phase.RUNNING: ("pause", "promote", "abort"),
    Phase.PAUSED: ("resume", "promote", "abort"),
    Phase.PROMOTING: ("pause", "abort"),
    Phase.SUCCEEDED: ("rollback",),
    Phase.ROLLING_BACK: (),
    Phase.ROLLED_BACK: ("start",),
    Phase.FAILED: ("start",),
    Phase.ABORTED: ("start",),
}

_DONE: dict[Command, str] = {
    "start": "started",
    "pause": "paused",
    "resume": "resumed",
    "promote": "promoted",
    "abort": "aborted",
    "rollback": "rolled back after success",
}


def first_step(spec: RolloutSpec, found: int) -> int:
    """Return the first step that is still true of a split in which the canary has `found` percent.

    It is the first of those with the highest weight that is not above `found`,
    and the very first if all are above it.
    """
    weights = [weight for i in range(len(spec.steps)) if (weight := spec.weight_of(i)) <= found]
    return weights.index(max(weights)) if weights else 0


def obey(turn: Turn, command: Command) -> None:
    """Do what was told.

    Raises:
        Conflict: it does not fit the phase; nothing has changed.
    """
    progress = turn.progress
    if command not in POSSIBLE[progress.phase]:
        raise _refusal(progress, command)
    _DEEDS[command](turn)


def _refusal(progress: Progress, command: Command) -> Conflict:
    phase = progress.phase
    state = phase.replace("_", " ")
    if phase is Phase.SUCCEEDED:
        return Conflict(
            f"the rollout has succeeded and cannot be {_DONE[command]}",
            hint="rollback goes back while the rollback window lasts; a rollout to another upstream"
            " begins when it is given",
        )
    if phase is Phase.ROLLING_BACK:
        return Conflict(
            f"the rollout is rolling back and cannot be {_DONE[command]}",
            hint="the canary gets nothing any more; start it again when its connections have ended",
        )
    return Conflict(
        f"the rollout is {state} and cannot be {_DONE[command]}",
        hint=f"possible now: {', '.join(POSSIBLE[phase])}",
    )


def ask_to_start(turn: Turn) -> None:
    """Start, as soon as the gate before it opens if there is one.

    The preview is there from now on: the gate may try the canary through it.
    """
    if turn.spec.preview is not None:
        turn.wish(SetPreview(wanted=True))
    if turn.spec.gates.before_start is None:
        start(turn)
    else:
        ask(turn, "before_start")
        turn.say("rollout_gate", "gate before_start is asked before anything is moved")


def _start(turn: Turn) -> None:
    progress = turn.progress
    if progress.gate == "before_start":
        raise Conflict(
            f"the rollout has been started and waits for {progress.waits_for}",
            hint="it starts when the gate opens; possible now: abort",
        )
    if progress.phase is not Phase.WAITING:
        turn.enter(Phase.WAITING, "to be started again")
        turn.change(
            step=first_step(turn.spec, progress.weight),
            looks=0,
            failures=(),
            inconclusive=(),
            findings=(),
            gate=None,
            ask_at_s=None,
            stuck_s=0.0,
            cause="",
            ended_s=None,
            attempt=progress.attempt + 1,
            would_fail=False,
        )
    ask_to_start(turn)


def _pause(turn: Turn) -> None:
    place = headline(turn.spec, turn.progress)
    pause(turn, f"paused by command in {place}")


def _resume(turn: Turn) -> None:
    spec, progress = turn.spec, turn.progress
    away_s = turn.now_s - progress.since_s
    if progress.gate is not None:
        phase = Phase.WAITING
    elif progress.step < len(spec.steps):
        phase = Phase.RUNNING
    else:
        phase = Phase.PROMOTING
    turn.enter(phase, "")
    turn.change(step_since_s=progress.step_since_s + away_s, findings=(), inconclusive=(), cause="")
    if progress.cause:
        turn.change(failures=(), stuck_s=0.0)
    if phase is Phase.WAITING:
        ask(turn, "before_start")
    else:
        turn.change(reason=headline(spec, turn.progress))
        if is_looked_at(spec, turn.progress):
            turn.change(look_at_s=turn.now_s + spec.analysis.every_s)
    turn.say("rollout_resumed", turn.progress.reason)


def _promote(turn: Turn) -> None:
    promote(turn, "promoted by command")


def _abort(turn: Turn) -> None:
    cause = f"aborted by command in {headline(turn.spec, turn.progress)}"
    if turn.progress.phase is Phase.WAITING and turn.progress.gate is None:
        cause = "aborted by command before it started"
        turn.change(cause=cause)
        end(turn, Phase.ABORTED, cause)
        turn.say("rollout_aborted", cause)
    else:
        roll_back(turn, cause, Phase.ABORTED)


def _rollback(turn: Turn) -> None:
    spec, ended_s = turn.spec, turn.progress.ended_s
    if ended_s is None:
        raise Conflict(
            f"the rollout found {spec.canary} with everything and has nothing to go back to",
            hint="set the split, or give a rollout the other way round",
        )
    ago_s = turn.now_s - ended_s
    if ago_s > spec.rollback_window_s:
        raise Conflict(
            f"the rollout succeeded {span(ago_s)} ago and could be rolled back for"
            f" {span(spec.rollback_window_s)}",
            hint="set the split, or give a rollout the other way round",
        )
    cause = f"rolled back by command {span(ago_s)} after success"
    roll_back(turn, cause, Phase.ROLLED_BACK, restore=True)


_DEEDS: dict[Command, Callable[[Turn], None]] = {
    "start": _start,
    "pause": _pause,
    "resume": _resume,
    "promote": _promote,
    "abort": _abort,
    "rollback": _rollback,
}
