"""The shape of a rollout: its steps, who is asked, and what becomes of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, cast, get_args

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from tenantproxy.config.check_models import AnalysisDoc, Timeout
from tenantproxy.config.fields import (
    ChoiceRule,
    Duration,
    DurationOrZero,
    Name,
    Switch,
    WholeRule,
    fault,
)
from tenantproxy.config.rollout_fields import OnlyTrueRule, PaceRule, PreviewRule, UrlRule
from tenantproxy.config.strict import Strict, has, one_of
from tenantproxy.model.rollout_spec import (
    CanaryConnections,
    Gate,
    Gates,
    NoTraffic,
    OnFailure,
    RolloutSpec,
    Start,
    Step,
)

MAX_STEPS = 50
KINDS = ("weight", "pause", "experiment")

_ROLLOUT = RolloutSpec("", "", ())

OnlyTrue = Annotated[bool, OnlyTrueRule()]


class StepDoc(Strict):
    """One step: a weight and how long it is held, a pause, or an experiment."""

    model_config = ConfigDict(
        json_schema_extra={
            **one_of(*KINDS),
            "if": has("pause"),
            "then": {"properties": {"hold": {"type": "null"}}},
        }
    )
    weight: Annotated[int, WholeRule(1, 100)] | None = None
    """Percent of what the two upstreams have together that goes to the canary."""
    pause: OnlyTrue | None = None
    """Wait until `rollout resume`."""
    experiment: OnlyTrue | None = None
    """The canary gets nothing of the port; only its preview port reaches it."""
    hold: Duration | None = None
    """Shortest time in this step; left out: one analysis."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [kind for kind in KINDS if getattr(self, kind) is not None]
        if not kinds:
            raise fault(
                "needs weight, pause or experiment", "write for example {weight: 5, hold: 2m}"
            )
        if len(kinds) > 1:
            raise fault(
                f"a step is {kinds[0]} or {kinds[1]}, not both",
                "write a step for each",
                key=kinds[1],
            )
        if self.pause and self.hold is not None:
            raise fault(
                "a pause lasts until `rollout resume`",
                "take `hold` out, or give it to the step before",
                key="hold",
            )
        return self

    def to_spec(self) -> Step:
        if self.pause:
            return Step("pause")
        if self.experiment:
            return Step("experiment", hold_s=self.hold)
        return Step("weight", self.weight or 0, self.hold)


def _steps(value: list[StepDoc]) -> list[StepDoc]:
    if not 1 <= len(value) <= MAX_STEPS:
        raise fault(
            f"needs 1 to {MAX_STEPS} steps, not {len(value)}", "write [{weight: 5, hold: 2m}]"
        )
    weight = 0
    for index, step in enumerate(value):
        if step.experiment and weight:
            raise fault(
                "an experiment takes the canary's weight away again",
                "put it before the first weight",
                inside=(index, "experiment"),
            )
        if step.weight is not None and step.weight < weight:
            raise fault(
                f"weight {step.weight} is below the {weight} of a step before",
                f"write {weight} or more: what goes down is a rollback",
                inside=(index, "weight"),
            )
        weight = step.weight or weight
    return value


class GateDoc(Strict):
    """A webhook that is asked by POST before the rollout goes on: 2xx opens it."""

    url: Annotated[str, UrlRule()] = Field(examples=["http://qa.acme.svc/gate"])
    """Who is asked; of http or https, without user and password."""
    timeout: Timeout = Gate("").timeout_s
    """Longest wait for the answer; `10m` at most."""

    def to_spec(self) -> Gate:
        return Gate(self.url, self.timeout)


class GatesDoc(Strict):
    """Who is asked before the rollout goes on, and told how it ended."""

    before_start: GateDoc | None = None
    """Before the first step."""
    before_step: GateDoc | None = None
    """Before every step but the first."""
    before_promotion: GateDoc | None = None
    """Before the canary gets everything."""
    after_end: GateDoc | None = None
    """Is told how it ended; its answer decides nothing."""

    def to_spec(self) -> Gates:
        return Gates(
            *(
                None if gate is None else gate.to_spec()
                for gate in (
                    self.before_start,
                    self.before_step,
                    self.before_promotion,
                    self.after_end,
                )
            )
        )


class RolloutDoc(Strict):
    """A plan that moves the split from one upstream to another, and judges it on the way."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"required": ["preview"], "properties": {"preview": {"type": "null"}}},
            "then": {"properties": {"steps": {"items": {"not": has("experiment")}}}},
        }
    )
    stable: Name = Field(alias="from", examples=["web-v1"])
    """Upstream that has the traffic now."""
    canary: Name = Field(alias="to", examples=["web-v2"])
    """Upstream that shall have it."""
    start: Annotated[str, ChoiceRule(get_args(Start))] = _ROLLOUT.start
    """`auto`: as soon as it is there, or has changed; `manual`: at `rollout start`."""
    preview: Annotated[Literal["auto"] | int | None, PreviewRule()] = _ROLLOUT.preview
    """Port of its own for the canary while the rollout lives: `auto`, a number, or `null`."""
    steps: Annotated[
        list[StepDoc],
        AfterValidator(_steps),
        Field(json_schema_extra={"minItems": 1, "maxItems": MAX_STEPS}),
    ] = Field(examples=["[{weight: 5, hold: 2m}, {weight: 50, hold: 10m}]"])
    """Weights that never fall, pauses, and experiments before the first weight."""
    analysis: AnalysisDoc | None = None
    """How the canary is judged; left out: as by default."""
    gates: GatesDoc | None = None
    """Webhooks that are asked before the rollout goes on; left out: none."""
    no_traffic: Annotated[str, ChoiceRule(get_args(NoTraffic))] = _ROLLOUT.no_traffic
    """What too few connections mean when a step would end: go on, wait, or a failure."""
    on_failure: Annotated[str, ChoiceRule(get_args(OnFailure))] = _ROLLOUT.on_failure
    """`rollback`: everything back to stable at once; `pause`: wait for a person."""
    canary_connections: Annotated[str, ChoiceRule(get_args(CanaryConnections))] = (
        _ROLLOUT.canary_connections
    )
    """What becomes of the canary's live connections at a rollback."""
    deadline: Duration = _ROLLOUT.deadline_s
    """Longest time without progress, beyond `hold`."""
    rollback_window: DurationOrZero = _ROLLOUT.rollback_window_s
    """How long after success `rollout rollback` can go back."""
    rebalance: Annotated[float, PaceRule()] | None = None
    """Share of live connections that may be drained in a time, so that they follow the weights;
    left out: they stay."""
    dry_run: Switch = _ROLLOUT.dry_run
    """`true`: no check ends the rollout; what it would have done is said."""

    @model_validator(mode="after")
    def _two_upstreams(self) -> Self:
        if self.stable == self.canary:
            raise fault(
                "from and to are the same upstream", "name the upstream that is new", key="to"
            )
        return self

    @model_validator(mode="after")
    def _experiments_have_a_preview(self) -> Self:
        for index, step in enumerate(self.steps):
            if step.experiment and self.preview is None:
                raise fault(
                    "an experiment needs a preview port: nothing else reaches the canary",
                    "write preview: auto, or take this step out",
                    inside=("steps", index, "experiment"),
                )
        return self

    def to_spec(self) -> RolloutSpec:
        return RolloutSpec(
            stable=self.stable,
            canary=self.canary,
            steps=tuple(step.to_spec() for step in self.steps),
            start=cast(Any, self.start),
            preview=self.preview,
            analysis=_ROLLOUT.analysis if self.analysis is None else self.analysis.to_spec(),
            gates=_ROLLOUT.gates if self.gates is None else self.gates.to_spec(),
            no_traffic=cast(Any, self.no_traffic),
            on_failure=cast(Any, self.on_failure),
            canary_connections=cast(Any, self.canary_connections),
            deadline_s=self.deadline,
            rollback_window_s=self.rollback_window,
            rebalance_per_s=self.rebalance,
            dry_run=self.dry_run,
        )
