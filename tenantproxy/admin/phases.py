"""How far the rollouts of listeners are, for views of the listeners themselves."""

from __future__ import annotations

from collections.abc import Iterable

from tenantproxy.control.facade import Control
from tenantproxy.errors import NotFound
from tenantproxy.model.rollout import Phase
from tenantproxy.model.rollout_view import RolloutView
from tenantproxy.model.spec import ListenerKey

Phases = dict[ListenerKey, Phase]


def phase_of(control: Control, key: ListenerKey) -> Phase | None:
    """Return the phase of a listener's rollout; None: it has none."""
    try:
        return control.rollout(key).phase
    except NotFound:
        return None


def phases(views: Iterable[RolloutView]) -> Phases:
    """Return those of the listeners that have a rollout; views may be lazy, and gone through aside.

    Only the phases are kept: views by the thousand would wake the garbage collector.
    """
    return {view.key: view.phase for view in views}
