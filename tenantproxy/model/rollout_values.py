"""What a rollout knows of itself, what it is told, and what it wishes. Values only.

Times are seconds of whatever clock the caller has, as long as it is one clock
and does not go back. Everything that a rollout knows of itself is in
`Progress`, so keeping it over a restart is keeping that value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tenantproxy.model.findings import Finding, GateAnswer
from tenantproxy.model.rollout_phases import Command, Phase
from tenantproxy.model.rollout_spec import CanaryConnections, GateName


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a rollout is; made by `begin`, changed by `advance` only."""

    phase: Phase
    reason: str
    """Why it is in this phase; a short sentence."""
    since_s: float
    """When this phase began."""
    weight: int
    """Percent that the canary has now."""
    step: int = 0
    """Index of the step it is in, or will start with; `len(steps)` behind the last one."""
    step_since_s: float = 0.0
    """When this step began; time in pauses is not counted, so a resumed pause moves it."""
    looks: int = 0
    """Analyses made in this step."""
    look_at_s: float | None = None
    """When the next analysis is due; None: none is."""
    failures: tuple[tuple[str, int], ...] = ()
    """Check -> how often it failed in this step, those of `dry_run` among them."""
    inconclusive: tuple[tuple[str, int], ...] = ()
    """Check or gate -> how often in a row it could not be reached."""
    findings: tuple[Finding, ...] = ()
    """Of the last look in this step; none after a pause, for what happened meanwhile is to be seen
    before anything goes on."""
    gate: GateName | None = None
    """The gate that is being asked; nothing goes on before it opens. Of a rollout that is paused:
    `before_start` if it has not started yet."""
    ask_at_s: float | None = None
    """When it is asked again, after it said no or could not be reached."""
    stuck_s: float = 0.0
    """Time of this step that counts for `deadline`, up to `stuck_at_s`."""
    stuck_at_s: float | None = None
    """Since when it has been stuck; None: it is not."""
    cause: str = ""
    """What ended it, or paused it if nobody asked for that: kept until it goes on or begins
    again."""
    ends_as: Phase | None = None
    """Of `rolling_back`: what it becomes when it is done."""
    ended_s: float | None = None
    """When it ended; the rollback window counts from here. None also of one that found the canary
    with everything: it has nothing to go back to."""
    attempt: int = 0
    """How often it was begun again; makes another salt."""
    waits_for: str = ""
    """What the step waits for though its hold is over: `samples of resets`, `gate before_step:
    closed: not now`; empty: for the clock."""
    would_fail: bool = False
    """Of `dry_run`: that it would have failed in this step has been said."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What came in since the last `advance`; nothing at all is a timer."""

    command: Command | None = None
    gate: GateAnswer | None = None
    look: tuple[Finding, ...] | None = None
    """Findings of an analysis that was due, one for each check."""
    canary_connections: int | None = None
    """Live connections of the canary, None: not counted. `rolling_back` ends when none is left, if
    they are not to be kept."""


# Wishes: what the caller is asked to do, in the order in which they come. `Say` comes last.


@dataclass(frozen=True, slots=True)
class SetWeight:
    """Give the canary this percent of what stable and it have together."""

    weight: int
    reason: str


@dataclass(frozen=True, slots=True)
class SetPreview:
    """Let the preview listener be there, or not."""

    wanted: bool


@dataclass(frozen=True, slots=True)
class NewWindow:
    """Count from zero: a step has begun."""


@dataclass(frozen=True, slots=True)
class AskGate:
    """Ask the gate, and hand its answer to `advance`."""

    gate: GateName


@dataclass(frozen=True, slots=True)
class EndCanary:
    """Drain or kill the canary's live connections."""

    how: CanaryConnections


@dataclass(frozen=True, slots=True)
class Promote:
    """Make the canary stable in the desired state: it carries everything."""


@dataclass(frozen=True, slots=True)
class Restore:
    """Make what was stable before stable again in the desired state (`rollback` after success)."""


@dataclass(frozen=True, slots=True)
class Say:
    """Note an event."""

    event: str
    """`rollout_started`, `rollout_step`, `rollout_check_failed`, `rollout_paused`,
    `rollout_resumed`, `rollout_promoting`, `rollout_succeeded`, `rollout_rolling_back`,
    `rollout_rolled_back`, `rollout_failed`, `rollout_aborted`, `rollout_gate`,
    `rollout_would_fail`, `rollout_inconclusive`."""
    reason: str
    level: Literal["info", "warning", "error"] = "info"


Wish = SetWeight | SetPreview | NewWindow | AskGate | EndCanary | Promote | Restore | Say
