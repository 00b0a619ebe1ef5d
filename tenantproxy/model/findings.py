"""What judges and gates of a rollout say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tenantproxy.model.rollout_spec import GateName

Result = Literal["passed", "failed", "no_data", "inconclusive"]
"""`no_data`: too few samples to say anything. `inconclusive`: the judge could not be reached, or
gave an answer that is none; it says nothing about the canary."""
RESULTS: tuple[Result, ...] = ("passed", "failed", "no_data", "inconclusive")
ASIDE = "would fail"
"""Label of a failure that was only said (`dry_run`)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found at one look."""

    check: str
    result: Result
    reason: str
    """A short sentence with the numbers that decided, without the name of the check: `canary 5.2%
    of 480, stable 0.1% of 9120, may be 2% more (p=1e-09)`."""
    dry_run: bool = False
    stable: float | None = None
    """The value of the signal: a share, seconds, bytes; of other judges None."""
    canary: float | None = None


Answer = Literal["open", "closed", "unreachable"]


@dataclass(frozen=True, slots=True)
class GateAnswer:
    """What a gate said."""

    gate: GateName
    answer: Answer
    reason: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What a judge or a gate is asked about; goes out as the body of a webhook."""

    tenant: str
    listener: str
    stable: str
    canary: str
    state: str
    """`model.rollout.Phase`."""
    step: int
    """Counted from 1; 0 before the first."""
    steps: int
    weight: int
    """Percent of the canary."""
    reason: str
    interval_s: float
    """`analysis.every`."""
