"""The canary machine: `begin` and `advance` decide, nothing here acts.

Times are seconds of whatever clock the caller has, as long as it is one clock
and does not go back. Everything that a rollout knows of itself is in
`Progress`, so keeping it over a restart is keeping that value.

Phases and the moves between them are in `rollout_phases`, the values in
`rollout_values`, what a rollout does for each move in `rollout_turn`. What
drives it is in `rollout_looks` (findings), `rollout_gates` (answers of gates),
`rollout_commands` (people) and here (the clock).
"""

from __future__ import annotations

from collections.abc import Callable

from tenantproxy.model.rollout_commands import ask_to_start, first_step, obey
from tenantproxy.model.rollout_gates import ask, ask_again, hear, press, withdraw
from tenantproxy.model.rollout_looks import obstacle, samples_lack, see
from tenantproxy.model.rollout_phases import ENDED, JUDGED, ON_ITS_WAY, Command, Phase
from tenantproxy.model.rollout_spec import GateName, RolloutSpec
from tenantproxy.model.rollout_turn import (
    LONGEST_END_S,
    Turn,
    headline,
    hold_end_s,
    leave_step,
    overdue,
    overdue_s,
    rolled_back,
    verdict,
)
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
    Signals,
    Wish,
)

__all__ = [
    "ENDED",
    "JUDGED",
    "ON_ITS_WAY",
    "AskGate",
    "Command",
    "EndCanary",
    "NewWindow",
    "Phase",
    "Progress",
    "Promote",
    "Restore",
    "Say",
    "SetPreview",
    "SetWeight",
    "Signals",
    "Wish",
    "advance",
    "begin",
    "due_s",
]


def begin(spec: RolloutSpec, found: int, now_s: float, *, attempt: int = 0) -> Progress:
    """Return where a rollout begins, given the canary's percent in the split that is found.

    A canary that has everything has succeeded before. Else the rollout waits, and will start with
    the first step that is still true of the split: the first of those with the highest weight that
    is not above `found`, and the very first if all are above it. So a rollout that begins again
    after a restart never gives the canary more than the step it was in.

    Args:
        spec: the plan.
        found: whole percent that the canary has of what stable and canary have together.
        now_s: the present, in seconds.
        attempt: how often it was begun before.
    """
    if found >= 100:  # noqa: PLR2004 - percent
        return Progress(
            Phase.SUCCEEDED,
            f"{spec.canary} has everything",
            now_s,
            100,
            step=len(spec.steps),
            attempt=attempt,
        )
    reason = "starts at once" if spec.start == "auto" else "waits for `rollout start`"
    step = first_step(spec, found)
    return Progress(Phase.WAITING, reason, now_s, found, step=step, attempt=attempt)


def advance(
    spec: RolloutSpec, progress: Progress, signals: Signals, now_s: float
) -> tuple[Progress, tuple[Wish, ...]]:
    """Return what the rollout becomes, and what is to be done for it, in that order.

    If nothing is to be done and nothing has changed, the progress is the same object: calling it
    again is free. While a rollout is paused nobody looks at the canary, no time counts for the
    hold or the deadline, and only a command ends it; what happened meanwhile is judged by a look
    before the next step. Answers that are late change nothing: of a gate that is not being asked,
    and of a look that was not due.

    Raises:
        Conflict: the command does not fit the phase; the message says what is possible.
    """
    turn = Turn(spec, progress, now_s)
    if signals.command is not None:
        obey(turn, signals.command)
    if signals.gate is not None:
        hear(turn, signals.gate)
    if signals.look is not None:
        see(turn, signals.look)
    if turn.progress.phase is Phase.ROLLING_BACK:
        _end_rollback(turn, signals.canary_connections)
    before = None
    while turn.progress != before:
        before = turn.progress
        _GO_ON[before.phase](turn)
    return (progress if turn.progress == progress else turn.progress), turn.wishes


def due_s(spec: RolloutSpec, progress: Progress) -> float | None:
    """Return when `advance` is to be called though nothing came in; None: not by the clock.

    Looks are due at `Progress.look_at_s`, which is another time: who calls
    makes the look first, and hands it in. While `rolling_back` the caller counts connections as
    often as it likes, and hands that in.
    """
    if progress.phase is Phase.ROLLING_BACK:
        return progress.since_s + LONGEST_END_S
    if progress.phase is Phase.PAUSED:
        return None
    if progress.gate is not None:
        # The deadline waits for an answer that is on its way.
        at_s = progress.ask_at_s
        deadline_s = overdue_s(spec, progress)
        return at_s if at_s is None or deadline_s is None else min(at_s, deadline_s)
    if progress.phase is Phase.WAITING:
        return progress.since_s if spec.start == "auto" else None
    if progress.phase in JUDGED:
        return overdue_s(spec, progress) if progress.waits_for else hold_end_s(spec, progress)
    return None


def _end_rollback(turn: Turn, connections: int | None) -> None:
    """End it when nothing is left of the canary, or when that takes too long."""
    late = turn.now_s >= turn.progress.since_s + LONGEST_END_S
    if connections == 0 or late:
        rolled_back(turn)


def _wait_to_start(turn: Turn) -> None:
    if turn.progress.gate is not None:
        press(turn)
    elif turn.spec.start == "auto":
        ask_to_start(turn)


def _hold(turn: Turn) -> None:
    """Leave the step if its hold is over, nothing keeps it, and its gate has opened."""
    spec = turn.spec
    if turn.now_s < hold_end_s(spec, turn.progress):
        return
    found = obstacle(spec, turn.progress, turn.now_s)
    if found is not None:
        withdraw(turn)
        turn.wait(found.text, counts=found.counts)
        at_s = overdue_s(spec, turn.progress)
        if at_s is not None and turn.now_s >= at_s:
            overdue(turn, unreachable=found.kind == "unreachable")
        return
    short = samples_lack(turn.progress)
    if short and spec.no_traffic == "fail" and not turn.progress.would_fail:
        verdict(turn, f"too few samples of {short} ({headline(spec, turn.progress)})")
    elif turn.progress.gate is not None:
        press(turn)
    else:
        _leave(turn)


def _leave(turn: Turn) -> None:
    """Ask the gate behind this step, or go on if there is none."""
    spec, progress = turn.spec, turn.progress
    last = progress.step + 1 >= len(spec.steps)
    name: GateName = "before_promotion" if last else "before_step"
    if progress.phase is Phase.PROMOTING or spec.gates.named(name) is None:
        leave_step(turn)
    else:
        ask(turn, name)


def _stay(turn: Turn) -> None:
    """Wait for a command, or for connections."""


_GO_ON: dict[Phase, Callable[[Turn], None]] = {
    Phase.WAITING: _wait_to_start,
    Phase.RUNNING: _hold,
    Phase.PAUSED: _stay,
    Phase.PROMOTING: _hold,
    Phase.SUCCEEDED: ask_again,
    Phase.ROLLING_BACK: _stay,
    Phase.ROLLED_BACK: ask_again,
    Phase.FAILED: ask_again,
    Phase.ABORTED: ask_again,
}
