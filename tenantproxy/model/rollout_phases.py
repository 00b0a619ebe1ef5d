"""Phases of a rollout and the only moves between them, as `lifecycle` has them for a listener.

The diagram in `docs/architecture.md` is drawn from `MOVES` (`make docs`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from tenantproxy.model.lifecycle import IllegalMove


class Phase(StrEnum):
    """States of a rollout, as users see them."""

    WAITING = "waiting"
    """Nothing was moved yet."""
    RUNNING = "running"
    """In a step, or asked to leave it."""
    PAUSED = "paused"
    """Keeps the weight it has; nobody looks, and nothing ends it but a command."""
    PROMOTING = "promoting"
    """The canary has everything and is looked at once more."""
    SUCCEEDED = "succeeded"
    ROLLING_BACK = "rolling_back"
    """The canary gets nothing new; its connections end as they shall."""
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    """It could not start, and nothing was moved."""
    ABORTED = "aborted"


ON_ITS_WAY = frozenset({Phase.RUNNING, Phase.PAUSED, Phase.PROMOTING, Phase.ROLLING_BACK})
"""Phases in which the rollout owns the split."""
JUDGED = frozenset({Phase.RUNNING, Phase.PROMOTING})
"""Phases in which the canary is looked at."""
ENDED = frozenset({Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.FAILED, Phase.ABORTED})

Command = Literal["start", "pause", "resume", "promote", "abort", "rollback"]

MOVES: dict[Phase, dict[Phase, str]] = {
    Phase.WAITING: {
        Phase.RUNNING: "started",
        Phase.PAUSED: "gate out of reach",
        Phase.ROLLING_BACK: "abort while the gate is asked",
        Phase.FAILED: "gate closed until the deadline",
        Phase.ABORTED: "abort",
    },
    Phase.RUNNING: {
        Phase.PAUSED: "pause step, pause, or judge out of reach",
        Phase.PROMOTING: "last step is over, or promote",
        Phase.ROLLING_BACK: "verdict, deadline, or abort",
    },
    Phase.PAUSED: {
        Phase.WAITING: "resume before the start",
        Phase.RUNNING: "resume",
        Phase.PROMOTING: "promote, or resume at 100%",
        Phase.ROLLING_BACK: "abort",
    },
    Phase.PROMOTING: {
        Phase.PAUSED: "pause, or judge out of reach",
        Phase.SUCCEEDED: "passed at 100%",
        Phase.ROLLING_BACK: "verdict, deadline, or abort",
    },
    Phase.SUCCEEDED: {
        Phase.ROLLING_BACK: "rollback within its window",
    },
    Phase.ROLLING_BACK: {
        Phase.ROLLED_BACK: "done",
        Phase.ABORTED: "done, after abort",
    },
    Phase.ROLLED_BACK: {
        Phase.WAITING: "start",
    },
    Phase.FAILED: {
        Phase.WAITING: "start",
    },
    Phase.ABORTED: {
        Phase.WAITING: "start",
    },
}


def move(old: Phase, new: Phase) -> Phase:
    """Return `new`.

    Raises:
        IllegalMove: the table has no such move from `old`.
    """
    if new not in MOVES[old]:
        raise IllegalMove(f"rollout: {old} -> {new}")
    return new


def diagram() -> str:
    """Return the table as a Mermaid state diagram."""
    lines = [
        "stateDiagram-v2",
        "    [*] --> waiting",
        "    [*] --> succeeded: the canary has everything already",
    ]
    lines += [
        f"    {old} --> {new}: {why}" for old, moves in MOVES.items() for new, why in moves.items()
    ]
    return "\n".join([*lines, *(f"    {phase} --> [*]" for phase in Phase if phase in ENDED)])
