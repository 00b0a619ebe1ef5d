"""States as numbers and colours, for panels that can only draw numbers."""

from __future__ import annotations

from tenantproxy.model.lifecycle import State

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
    parts = (
        f'tenantproxy_listener_state{{{selector}, state="{state}"}} * {at}'
        for at, state in enumerate(State)
    )
    return f"max by ({by}) ({' or '.join(parts)})"
