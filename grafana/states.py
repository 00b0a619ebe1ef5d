"""States as numbers and colours, for panels that can only draw numbers."""

from __future__ import annotations

from collections.abc import Iterable

from tenantproxy.model.lifecycle import State
from tenantproxy.model.rollout import Phase

_COLOURS = {
    State.ASLEEP: "#5a6c8f",
    State.OPENING: "yellow",
    State.OPEN: "green",
    State.DRAINING: "orange",
    State.CLOSED: "#8e8e8e",
    State.COOLING: "#b8b8b8",
    State.FAILED: "red",
}

WORDS = {str(at): (str(state), _COLOURS[state]) for at, state in enumerate(State)}
"""Number of a listener's state -> its name and colour."""

_PHASE_COLOURS = {
    Phase.WAITING: "#5a6c8f",
    Phase.RUNNING: "blue",
    Phase.PAUSED: "yellow",
    Phase.PROMOTING: "light-green",
    Phase.SUCCEEDED: "green",
    Phase.ROLLING_BACK: "orange",
    Phase.ROLLED_BACK: "red",
    Phase.FAILED: "dark-red",
    Phase.ABORTED: "#8e8e8e",
}
PHASES = {str(at): (str(phase), _PHASE_COLOURS[phase]) for at, phase in enumerate(Phase)}
"""Number of a rollout's state -> its name and colour."""
RESULTS = {
    "passed": "green",
    "failed": "red",
    "no_data": "#8e8e8e",
    "inconclusive": "orange",
    "would fail": "light-red",
}
"""What a check of a rollout found -> its colour."""

PANIC = {"0": ("no", "green"), "1": ("panic", "red")}
"""Value of `tenantproxy_upstream_panic` -> its word and colour."""
ENDPOINTS = {
    "healthy": "green",
    "unchecked": "#5a6c8f",
    "unhealthy": "red",
    "ejected": "orange",
    "unresolved": "#8e8e8e",
}
"""State of an endpoint -> its colour."""


def coded(selector: str, by: str) -> str:
    """Return PromQL for the number of a listener's state, by those labels.

    `selector` is without braces. Where replicas disagree, the one further on in the life of a port
    is shown.
    """
    return _coded("tenantproxy_listener_state", State, selector, by)


def coded_phase(selector: str, by: str) -> str:
    """Return the same for the number of a rollout's state."""
    return _coded("tenantproxy_rollout_state", Phase, selector, by)


def _coded(metric: str, states: Iterable[str], selector: str, by: str) -> str:
    parts = (f'{metric}{{{selector}, state="{state}"}} * {at}' for at, state in enumerate(states))
    return f"max by ({by}) ({' or '.join(parts)})"
