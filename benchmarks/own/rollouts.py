"""Simulated rollouts: how many good canaries are rolled back, how many bad ones are caught.

The judgement and the state machine are those of the program; only the traffic
is drawn by chance, from seeds, so that a run can be repeated to the last digit.
Results: docs/judgement.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from benchmarks.own.canaries import ALIKE, Kind, Weather, interval, together
from tenantproxy.model.judgement import Window, judge
from tenantproxy.model.rollout import NewWindow, Phase, Progress, Signals, advance, begin, due_s
from tenantproxy.model.rollout_spec import DEFAULT_CHECKS, Analysis, RolloutSpec, SignalCheck, Step
from tenantproxy.model.sides import NOTHING

WEIGHTS = (5, 25, 50)
EVERY_S = 60.0
SLOWER = (
    SignalCheck("first_byte_p50", "first_byte", 0.5, over_stable=0.5),
    SignalCheck("first_byte_p90", "first_byte", 0.9, over_stable=0.5),
    SignalCheck("first_byte_p99", "first_byte", 0.99, over_stable=0.5),
    SignalCheck("first_byte_shape", "first_byte", over_stable=0.2),
)
STRICT = (
    *(replace(check, over_stable=0.0) for check in DEFAULT_CHECKS),
    *(replace(check, over_stable=0.0) for check in SLOWER),
)
"""No margin at all: whatever is found here is found by the tests alone."""


@dataclass(frozen=True, slots=True)
class Case:
    """Rollouts of one kind."""

    kind: Kind = ALIKE
    samples: int = 500
    """Connections of the canary in a step, whatever its weight."""
    looks: int = 5
    """In each step."""
    checks: tuple[SignalCheck, ...] = DEFAULT_CHECKS
    failures: float = 0.01
    """Share of connections that is reset whoever serves them; half as many fail otherwise."""
    failures_allowed: int = 1

    def spec(self) -> RolloutSpec:
        analysis = Analysis(
            every_s=EVERY_S, failures_allowed=self.failures_allowed, signals=self.checks
        )
        steps = tuple(Step("weight", weight, self.looks * EVERY_S) for weight in WEIGHTS)
        return RolloutSpec("stable", "canary", steps, analysis=analysis)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one of them ended."""

    phase: Phase
    step: int
    """The one it was caught in, from 1."""
    looks: int
    """Of that step, when it was caught."""
    canary: int
    """Connections that the canary had had in that step."""
    hurt: float
    """Share of the step's connections that the canary failed, or all of its own if it is slow."""
    reason: str = ""

    @property
    def caught(self) -> bool:
        return self.phase in {Phase.ROLLING_BACK, Phase.ROLLED_BACK}


def roll(case: Case, seed: int) -> Outcome:
    """Run one rollout to its end."""
    spec = case.spec()
    weather = Weather(np.random.default_rng(seed))
    tests = len(case.checks) * (len(spec.steps) + 1)
    progress, now_s, was_s = begin(spec, 0, 0.0), 0.0, 0.0
    step = recent = Window(NOTHING, NOTHING)
    while progress.phase not in {Phase.SUCCEEDED, Phase.ROLLING_BACK, Phase.ROLLED_BACK}:
        signals = Signals()
        if progress.look_at_s is not None and now_s >= progress.look_at_s:
            look = progress.looks + 1
            signals = Signals(
                look=tuple(
                    judge(
                        check,
                        step,
                        recent,
                        min_samples=spec.analysis.min_samples,
                        look=look,
                        tests=tests,
                        failures=spec.analysis.failures_allowed + 1,
                    )
                    for check in case.checks
                )
            )
            recent = Window(NOTHING, NOTHING)
        before = progress
        progress, wishes = advance(spec, before, signals, now_s)
        if progress.phase in {Phase.ROLLING_BACK, Phase.ROLLED_BACK}:
            return _caught(case, before, progress, step)
        if any(isinstance(wish, NewWindow) for wish in wishes):
            step = recent = Window(NOTHING, NOTHING)
        now_s, was_s = _next_s(spec, progress, now_s), now_s
        if now_s > was_s:
            came = _traffic(case, weather, progress.weight, (now_s - was_s) / EVERY_S)
            step, recent = (
                Window(together(window.stable, came.stable), together(window.canary, came.canary))
                for window in (step, recent)
            )
    return Outcome(progress.phase, 0, 0, 0, 0.0)


def _next_s(spec: RolloutSpec, progress: Progress, now_s: float) -> float:
    times = [one for one in (progress.look_at_s, due_s(spec, progress)) if one is not None]
    return max(now_s, min(times, default=now_s))


def _traffic(case: Case, weather: Weather, weight: int, intervals: float) -> Window:
    weather.change(case.failures)
    canary = case.samples / case.looks * intervals
    stable = canary * (100 - weight) / weight
    return Window(interval(weather, ALIKE, stable), interval(weather, case.kind, canary))


def _caught(case: Case, before: Progress, after: Progress, step: Window) -> Outcome:
    every = [side.opened + side.failed for side in (step.canary, step.stable)]
    failed = step.canary.failed + step.canary.resets + step.canary.silent
    hurt = every[0] if case.kind.slower > 1 else failed
    return Outcome(
        after.phase, before.step + 1, before.looks + 1, every[0], hurt / sum(every), after.reason
    )


def share_caught(case: Case, runs: int, seed: int = 1) -> tuple[float, list[Outcome]]:
    """Run so many; return the share that was rolled back, and what is known of those."""
    outcomes = [roll(case, seed * 1_000_000 + run) for run in range(runs)]
    caught = [outcome for outcome in outcomes if outcome.caught]
    return len(caught) / runs, caught
