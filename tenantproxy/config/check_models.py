"""The shape of what judges a canary: signals of the proxy, and judges outside of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from tenantproxy.config.fields import (
    DURATION_PATTERN,
    PART_PATTERN,
    SHARE_PATTERN,
    DurationRule,
    Schema,
    Switch,
    TextRule,
    WholeRule,
    fault,
)
from tenantproxy.config.rollout_fields import (
    SIZE_PATTERN,
    BoundRule,
    CheckNameRule,
    Kind,
    NumberRule,
    OverStableRule,
    QueryRule,
    SignalRule,
    UnderRule,
    UrlRule,
    kind_of,
)
from tenantproxy.config.strict import Strict, has, one_of
from tenantproxy.model.rollout_spec import Analysis, OutsideCheck, SignalCheck
from tenantproxy.model.signal_names import SIGNAL_NAMES, parse_signal

MAX_CHECKS = 32
MAX_ARGUMENTS = 64
KINDS = ("signal", "prometheus", "webhook", "command")

_ANALYSIS = Analysis()
_OUTSIDE = OutsideCheck("", "webhook")

Timeout = Annotated[float, DurationRule(most_s=600.0)]
Number = Annotated[float, NumberRule()]


class PrometheusDoc(Strict):
    """An instant query to Prometheus; its result has to be one number."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [has("max"), has("min")]})
    url: Annotated[str, UrlRule(base=True)] = Field(examples=["http://prometheus:9090"])
    """Where Prometheus is; `/api/v1/query` is added."""
    query: Annotated[str, QueryRule()] = Field(examples=["'sum(rate(errors[{{interval}}]))'"])
    """In PromQL; `{{tenant}}`, `{{listener}}`, `{{stable}}`, `{{canary}}`, `{{interval}}` are
    filled in."""
    max: Number | None = None
    """Above it the check fails."""
    min: Number | None = None
    """Below it the check fails."""
    timeout: Timeout = _OUTSIDE.timeout_s
    """Longest wait for the answer; `10m` at most."""

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.max is None and self.min is None:
            raise fault("needs max or min", "add for example `max: 0.01`")
        if self.max is not None and self.min is not None and self.max < self.min:
            raise fault(
                f"max {self.max:g} is below min {self.min:g}", "exchange the two", key="max"
            )
        return self

    def to_spec(self, name: str, dry_run: bool) -> OutsideCheck:
        return OutsideCheck(
            name=name,
            kind="prometheus",
            url=self.url,
            query=self.query,
            max=self.max,
            min=self.min,
            timeout_s=self.timeout,
            dry_run=dry_run,
        )


class WebhookDoc(Strict):
    """Something that is asked by POST: 2xx passes, 4xx fails, anything else could not judge."""

    url: Annotated[str, UrlRule()] = Field(examples=["http://qa.acme.svc/check"])
    """Who is asked; of http or https, without user and password."""
    timeout: Timeout = _OUTSIDE.timeout_s
    """Longest wait for the answer; `10m` at most."""

    def to_spec(self, name: str, dry_run: bool) -> OutsideCheck:
        return OutsideCheck(name, "webhook", self.url, timeout_s=self.timeout, dry_run=dry_run)


def _run(value: list[str]) -> list[str]:
    if not 1 <= len(value) <= MAX_ARGUMENTS:
        raise fault(
            f"needs a program and at most {MAX_ARGUMENTS - 1} arguments, not {len(value)} texts",
            "write [/usr/local/bin/judge, --fast]",
        )
    if not value[0]:
        raise fault("the program has no name", "write [/usr/local/bin/judge]", inside=(0,))
    return value


class CommandDoc(Strict):
    """A program beside the daemon: exit code 0 passes, 1 fails, any other could not judge."""

    run: Annotated[
        list[Annotated[str, TextRule(4096, "an argument", "--fast", empty=True)]],
        AfterValidator(_run),
        Field(json_schema_extra={"minItems": 1, "maxItems": MAX_ARGUMENTS}),
    ] = Field(examples=["[/usr/local/bin/judge, --fast]"])
    """The program and its arguments; no shell comes between."""
    timeout: Timeout = _OUTSIDE.timeout_s
    """Longest time that it may run; `10m` at most."""

    def to_spec(self, name: str, dry_run: bool) -> OutsideCheck:
        run = tuple(self.run)
        return OutsideCheck(name, "command", run=run, timeout_s=self.timeout, dry_run=dry_run)


def _says(kind: Kind, **properties: Schema) -> Schema:
    """Return what the schema of a check with a signal of this kind says beside."""
    names = [name for name in SIGNAL_NAMES if kind_of(name) == kind]
    beside = {key: {"anyOf": [one, {"type": "null"}]} for key, one in properties.items()}
    signal = {"required": ["signal"], "properties": {"signal": {"enum": names}}}
    return {"if": signal, "then": {"properties": beside}}


_NONE: Schema = {"type": "null"}
_SHARE: Schema = {"pattern": SHARE_PATTERN}
_TIME: Schema = {"pattern": DURATION_PATTERN}
_SIZE: Schema = {"pattern": SIZE_PATTERN}
_PART: Schema = {"pattern": PART_PATTERN}
_NO_BOUNDS: Schema = {"properties": {"max": _NONE, "over_stable": _NONE, "under": _NONE}}
_CONDITIONS: Schema = {
    **one_of(*KINDS),
    "if": has("signal"),
    "then": {"anyOf": [has("max"), has("over_stable")]},
    "else": _NO_BOUNDS,
    "allOf": [
        _says("share", max=_SHARE, over_stable=_SHARE),
        _says("time", max=_TIME, over_stable=_PART),
        _says("size", max=_SIZE, over_stable=_PART),
        _says("shape", max=_NONE, over_stable=_SHARE),
        {
            "if": has("under"),
            "then": {"properties": {"signal": {"const": "early_closes"}}},
        },
    ],
}


class CheckDoc(Strict):
    """One judge of the canary: a signal of the proxy, or somebody who is asked."""

    model_config = ConfigDict(json_schema_extra=_CONDITIONS)
    signal: Annotated[str, SignalRule()] | None = None
    """Something that the proxy counts of both sides by itself."""
    max: Annotated[float | None, BoundRule()] = None
    """Bound of the canary alone: `1%` of connections, `250ms`, `64KiB`."""
    over_stable: Annotated[float | None, OverStableRule()] = None
    """How far the canary may be above stable: points of a share, a part of a time or size (`50%`:
    half as much again), the distance of a shape."""
    under: Annotated[float | None, UnderRule()] = None
    """Of early_closes: one that the upstream ends at this age or sooner counts though answered."""
    prometheus: PrometheusDoc | None = None
    """An instant query to Prometheus."""
    webhook: WebhookDoc | None = None
    """Something that is asked by POST."""
    command: CommandDoc | None = None
    """A program beside the daemon; `proxy.rollout_commands` has to allow it."""
    name: Annotated[str, CheckNameRule()] | None = None
    """Label in metrics and events; left out: the signal, or who is asked."""
    dry_run: Switch = False
    """`true`: a failure is only said."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [kind for kind in KINDS if getattr(self, kind) is not None]
        if not kinds:
            raise fault(
                "needs signal, prometheus, webhook or command",
                "write for example {signal: resets, over_stable: 1%}",
            )
        if len(kinds) > 1:
            raise fault(
                f"a check is {kinds[0]} or {kinds[1]}, not both",
                "write a check for each",
                key=kinds[1],
            )
        return self

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.signal is None:
            for key in ("max", "over_stable", "under"):
                if getattr(self, key) is not None:
                    raise fault(f"`{key}` here belongs to a signal", _outside_hint(self), key=key)
        elif self.max is None and self.over_stable is None:
            shape = kind_of(self.signal) == "shape"
            raise fault(
                f"{self.signal} needs {'over_stable' if shape else 'max or over_stable'}",
                f"add for example `over_stable: {'30%' if shape else '2%'}`",
            )
        return self

    @property
    def kind(self) -> str:
        """Return what the name is made from: `first_byte_p99`, `webhook`."""
        if self.signal is not None:
            return self.signal
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    def to_spec(self, name: str) -> SignalCheck | OutsideCheck:
        outside = self.prometheus or self.webhook or self.command
        if outside is not None:
            return outside.to_spec(name, self.dry_run)
        found = parse_signal(self.signal or "")
        if found is None:
            raise ValueError(f"{self.signal} is not a signal")
        signal, quantile = found
        return SignalCheck(
            name=name,
            signal=signal,
            quantile=quantile,
            max=self.max,
            over_stable=self.over_stable,
            under_s=self.under or 0.0,
            dry_run=self.dry_run,
        )


def _outside_hint(check: CheckDoc) -> str:
    return "write it inside of `prometheus`" if check.prometheus is not None else "take it out"


def names(checks: Sequence[CheckDoc]) -> list[str]:
    """Return the names of checks; those that nobody gave are numbered so that no two are alike."""
    taken = {one.name for one in checks}
    found: list[str] = []
    for one in checks:
        name, number = one.name or one.kind, 1
        while one.name is None and name in taken:
            number += 1
            name = f"{one.kind}-{number}"
        taken.add(name)
        found.append(name)
    return found


def _checks(value: list[CheckDoc]) -> list[CheckDoc]:
    if len(value) > MAX_CHECKS:
        raise fault(f"at most {MAX_CHECKS} checks, not {len(value)}")
    given: set[str] = set()
    for index, one in enumerate(value):
        if one.name is not None and one.name in given:
            raise fault(
                f"two checks are named {one.name}", "take another name", inside=(index, "name")
            )
        given.add(one.name or "")
    return value


class AnalysisDoc(Strict):
    """How often the canary is judged, by what, and how much is forgiven."""

    every: Annotated[float, DurationRule(least_s=0.1, most_s=86_400.0)] = _ANALYSIS.every_s
    """From one analysis to the next, `100ms` to `1d`."""
    min_samples: Annotated[int, WholeRule(1, 1_000_000)] = _ANALYSIS.min_samples
    """Fewer connections than these decide nothing; `no_traffic` says what comes of that."""
    failures_allowed: Annotated[int, WholeRule(0, 1000)] = _ANALYSIS.failures_allowed
    """So many times may one check fail within one step."""
    inconclusive_allowed: Annotated[int, WholeRule(0, 1000)] = _ANALYSIS.inconclusive_allowed
    """So many times in a row may a judge be out of reach; once more pauses the rollout."""
    checks: (
        Annotated[
            list[CheckDoc],
            AfterValidator(_checks),
            Field(json_schema_extra={"maxItems": MAX_CHECKS}),
        ]
        | None
    ) = None
    """What the canary has to pass; left out: connect_failures, resets and early_closes, each at
    most `1%` over stable. `[]`: nothing, only time decides."""

    def to_spec(self) -> Analysis:
        rule = Analysis(
            every_s=self.every,
            min_samples=self.min_samples,
            failures_allowed=self.failures_allowed,
            inconclusive_allowed=self.inconclusive_allowed,
            **({} if self.checks is None else _sorted(self.checks)),
        )
        return _ANALYSIS if rule == _ANALYSIS else rule


def _sorted(checks: Sequence[CheckDoc]) -> dict[str, Any]:
    specs = [one.to_spec(name) for one, name in zip(checks, names(checks), strict=True)]
    return {
        "signals": tuple(one for one in specs if isinstance(one, SignalCheck)),
        "outside": tuple(one for one in specs if isinstance(one, OutsideCheck)),
    }
