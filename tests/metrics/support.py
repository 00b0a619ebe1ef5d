"""Rollouts as a test says that they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tenantproxy.model.rollout import Phase
from tenantproxy.model.rollout_spec import RolloutSpec, Step
from tenantproxy.model.rollout_view import CheckView, RolloutView, SideView
from tests.support_control import WEB

SPEC = RolloutSpec("web-v1", "web-v2", (Step("weight", 5), Step("weight", 25), Step("pause")))


def rollout(*, seen: float | None = 0.24, **fields: Any) -> RolloutView:
    """Return one of the listener WEB in its second step; fields may be others."""
    made = RolloutView(
        key=WEB,
        port=21_000,
        spec=SPEC,
        phase=Phase.RUNNING,
        reason="step 2 of 3",
        cause="",
        since_s=1_795_000_000.25,
        step=2,
        steps=3,
        step_since_s=0.0,
        step_until_s=None,
        weight=25,
        stable=SideView("web-v1", 75, None if seen is None else 1 - seen, 7, 76),
        canary=SideView("web-v2", 25, seen, 2, 24),
        checks=(CheckView("resets", "passed", "", 0), CheckView("qa", None, "", 0)),
        checks_total={
            ("resets", "passed"): 7,
            ("resets", "failed"): 1,
            ("qa", "inconclusive"): 2,
            ("qa", "would fail"): 3,
        },
        looks=8,
        waits_for="",
        preview_listener=None,
        preview_port=None,
        preview_state=None,
        rollback_until_s=None,
        commit="",
    )
    return replace(made, **fields)
