"""What people and scrapers see of a rollout, as plain values; `control` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tenantproxy.model.findings import Result
from tenantproxy.model.rollout import Phase
from tenantproxy.model.rollout_spec import RolloutSpec
from tenantproxy.model.spec import ListenerKey


@dataclass(frozen=True, slots=True)
class SideView:
    """One side of a rollout since its step began."""

    upstream: str
    weight: int
    """Percent that it shall have of what the two have together."""
    seen: float | None
    """Share of the connections of this step that it really got; None: there were none."""
    connections: int
    """Live now, from this listener."""
    opened: int
    """In this step."""
    values: Mapping[str, float | None] = field(default_factory=dict)
    """Value of each signal that is always shown, and of each signal check, by its name: shares,
    seconds, bytes. See `SHOWN`."""


SHOWN = (
    "connect_failures",
    "resets",
    "early_closes",
    "connect_time_p50",
    "first_byte_p50",
    "first_byte_p99",
    "duration_p50",
    "bytes_in_p50",
    "bytes_out_p50",
)
"""Signals that are shown whether a check asks for them or not."""


@dataclass(frozen=True, slots=True)
class CheckView:
    """One check and what it last found."""

    name: str
    result: Result | None
    """None: it was not looked at in this step."""
    reason: str
    failures: int
    """In this step."""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class RolloutView:
    """One rollout: what is wanted of it and how it is."""

    key: ListenerKey
    port: int | None
    """Of the listener."""
    spec: RolloutSpec
    phase: Phase
    reason: str
    cause: str
    """What ended or paused it; empty while there is no such thing."""
    since_s: float
    """Wall clock of the last change of phase."""
    step: int
    """Counted from 1; 0 before the first, and never above `steps`."""
    steps: int
    step_since_s: float | None
    """Wall clock; None when no step is on."""
    step_until_s: float | None
    """Wall clock at which the step may end; None: not by the clock."""
    weight: int
    """Percent that the canary shall have now."""
    stable: SideView
    canary: SideView
    checks: tuple[CheckView, ...]
    checks_total: Mapping[tuple[str, str], int]
    """(check, one of `findings.RESULTS` or `findings.ASIDE`) -> count since the daemon began."""
    looks: int
    """Analyses in this step."""
    waits_for: str
    """What it waits for besides the clock: `gate before_step: closed: ...`, `samples for resets`;
    empty: nothing."""
    preview_listener: str | None
    preview_port: int | None
    preview_state: str | None
    """State of the preview listener; None: there is none."""
    rollback_until_s: float | None
    """Wall clock until which `rollout rollback` is possible."""
    commit: str
    """After success: what to write into the document so that it says what is; YAML, or empty."""
