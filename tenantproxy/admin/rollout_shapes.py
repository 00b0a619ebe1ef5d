"""Shapes of answers about rollouts, as `shapes` has them for the rest."""

from __future__ import annotations

from typing import get_args

from tenantproxy.admin.shapes import (
    COUNTS,
    FLAG,
    MAYBE_TEXT,
    MAYBE_WHOLE,
    NUMBER,
    TEXT,
    TIME,
    WHOLE,
    Schema,
    array,
    closed,
    enum,
    ref,
)
from tenantproxy.model.findings import RESULTS
from tenantproxy.model.lifecycle import State
from tenantproxy.model.rollout import Phase
from tenantproxy.model.rollout_spec import StepKind

_PERCENT: Schema = {"type": "integer", "minimum": 0, "maximum": 100}
_MAYBE_PERCENT: Schema = {"type": ["number", "null"], "minimum": 0, "maximum": 100}
_SIDE = {
    "description": "One side since the step began; null where nothing was seen.",
    **closed(
        upstream=TEXT,
        weight=_PERCENT,
        seen=_MAYBE_PERCENT,
        connections=WHOLE,
        opened=WHOLE,
        values={
            "description": "Signal or check -> a part of 1, seconds, or bytes.",
            "type": "object",
            "additionalProperties": {"anyOf": [NUMBER, {"type": "null"}]},
        },
    ),
}
_STEP = closed(
    kind=enum(*get_args(StepKind)),
    weight=_PERCENT,
    hold=MAYBE_TEXT,
    state=enum("done", "current", "ahead", "stopped"),
)
_CHECK = closed(
    name=TEXT,
    signal=MAYBE_TEXT,
    result={"enum": [*RESULTS, None]},
    reason=TEXT,
    failures=WHOLE,
    dry_run=FLAG,
)
_PREVIEW = closed(
    listener=TEXT, port=MAYBE_WHOLE, state={"enum": [*(str(state) for state in State), None]}
)
_ROLLOUT: dict[str, Schema] = {
    "tenant": TEXT,
    "listener": TEXT,
    "port": MAYBE_WHOLE,
    "from": TEXT,
    "to": TEXT,
    "state": enum(*Phase),
    "reason": TEXT,
    "cause": {"description": "What ended or paused it; kept until it begins again.", **TEXT},
    "since": TIME,
    "step": {"description": "Counted from 1; 0 before the first.", **WHOLE},
    "steps": array(_STEP),
    "step_since": TIME,
    "step_until": {"description": "When it may end at the earliest.", **TIME},
    "weight": {"description": "Percent that the canary shall have.", **_PERCENT},
    "weight_seen": {"description": "Percent that it got in this step.", **_MAYBE_PERCENT},
    "stable": _SIDE,
    "canary": _SIDE,
    "checks": array(_CHECK),
    "checks_total": {
        "description": "Check -> result -> count since the daemon began.",
        "type": "object",
        "additionalProperties": COUNTS,
    },
    "looks": {"description": "Analyses in this step.", **WHOLE},
    "waits_for": {"description": "Besides the clock; empty: nothing.", **TEXT},
    "preview": {"anyOf": [_PREVIEW, {"type": "null"}]},
    "rollback_until": TIME,
    "commit": {
        "description": "After success: YAML that makes the document say what is in force.",
        **TEXT,
    },
    "dry_run": {"description": "Of the rollout: no check ends it.", **FLAG},
}

ROLLOUT_SHAPES: dict[str, Schema] = {
    "Rollout": closed(**_ROLLOUT, spec=ref("RolloutSpec")),
    "RolloutWritten": {
        "description": "`dry_run` is that of the rollout; a request with `dry_run` gets `Changes`.",
        **closed(**_ROLLOUT, spec=ref("RolloutSpec"), changes=array(ref("Change"))),
    },
    "RolloutList": closed(items=array(closed(**_ROLLOUT))),
}
