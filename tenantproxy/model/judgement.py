"""Judges signals of the traffic: a check and two sides in, a finding out. No clock, no state."""

from __future__ import annotations

from dataclasses import dataclass

from tenantproxy.model.findings import Finding
from tenantproxy.model.rollout_spec import SignalCheck
from tenantproxy.model.sides import Side


@dataclass(frozen=True, slots=True)
class Window:
    """Both sides over the same stretch of time."""

    stable: Side
    canary: Side


def judge(
    check: SignalCheck,
    step: Window,
    recent: Window,
    *,
    min_samples: int,
    look: int,
    tests: int,
) -> Finding:
    """Say whether the canary keeps the check.

    Args:
        check: what is asked.
        step: what was counted since the step began.
        recent: what was counted since the look before; `step` at the first look.
        min_samples: fewer than these, of a side that the check looks at, are `no_data`.
        look: number of this look in its step, from 1: the chance of a false alarm is shared out
            among looks, so that looking often does not find what is not there.
        tests: among how many checks and steps it is shared out besides.
    """
    raise NotImplementedError


def value_of(check: SignalCheck, side: Side) -> float | None:
    """Return the value of the check's signal for one side; None: nothing was counted."""
    raise NotImplementedError
