"""Rollouts of the control side without sockets: real specs and views, invented progress."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from tenantproxy import clock
from tenantproxy.errors import Conflict, NotFound
from tenantproxy.model.rollout import ENDED, Command, Phase
from tenantproxy.model.rollout_spec import Analysis, RolloutSpec, SignalCheck, Step
from tenantproxy.model.rollout_view import SHOWN, CheckView, RolloutView, SideView
from tenantproxy.model.spec import ListenerKey

SPEC = RolloutSpec(
    "web-v1",
    "web-v2",
    (Step("weight", 5, 120.0), Step("weight", 25, 300.0), Step("pause"), Step("weight", 50)),
    start="manual",
    analysis=Analysis(
        every_s=10.0,
        signals=(
            SignalCheck("resets", "resets", over_stable=0.02),
            SignalCheck("first_byte_p99", "first_byte", 0.99, max=0.25),
        ),
    ),
)

_FITS: dict[Command, tuple[frozenset[Phase], Phase]] = {
    "start": (frozenset({Phase.WAITING, *ENDED} - {Phase.SUCCEEDED}), Phase.RUNNING),
    "pause": (frozenset({Phase.RUNNING}), Phase.PAUSED),
    "resume": (frozenset({Phase.PAUSED}), Phase.RUNNING),
    "promote": (frozenset({Phase.RUNNING, Phase.PAUSED}), Phase.PROMOTING),
    "abort": (frozenset({Phase.RUNNING, Phase.PAUSED, Phase.PROMOTING}), Phase.ROLLING_BACK),
    "rollback": (frozenset({Phase.SUCCEEDED}), Phase.ROLLING_BACK),
}


@dataclass
class Rollouts:
    """What a test says that rollouts do; `specs` are those of the listeners that have one."""

    views: dict[ListenerKey, RolloutView] = field(default_factory=dict)

    def follow(self, key: ListenerKey, spec: RolloutSpec | None) -> None:
        """Begin one, begin it anew if it is another, or drop it."""
        kept = self.views.get(key)
        if spec is None:
            self.views.pop(key, None)
        elif kept is None or kept.spec != spec:
            self.views[key] = view(key, spec)

    def one(self, key: ListenerKey) -> RolloutView:
        if key not in self.views:
            raise NotFound(f"listener {key} has no rollout")
        return self.views[key]

    def set(self, key: ListenerKey, **fields: Any) -> RolloutView:
        """Let it be so from now on."""
        self.views[key] = replace(self.one(key), **fields)
        return self.views[key]

    def command(self, key: ListenerKey, command: Command, *, dry_run: bool) -> RolloutView:
        before = self.one(key)
        fits, after = _FITS[command]
        if before.phase not in fits:
            raise Conflict(f"the rollout of {key} is {before.phase}", hint=f"no time to {command}")
        if dry_run:
            return before
        fields: dict[str, Any] = {"phase": after, "reason": f"asked to {command}"}
        if command == "start":
            fields |= {"step": 1, "weight": before.spec.weight_of(0)}
        return self.set(key, **fields, since_s=clock.wall_s())

    def all(self) -> Iterable[RolloutView]:
        return list(self.views.values())


def view(key: ListenerKey, spec: RolloutSpec = SPEC, **fields: Any) -> RolloutView:
    """Make a rollout that waits; fields may be others."""
    nothing = dict.fromkeys((*SHOWN, *(one.name for one in spec.analysis.signals)))
    made = RolloutView(
        key=key,
        port=21_000,
        spec=spec,
        phase=Phase.WAITING,
        reason="waits for `rollout start`",
        cause="",
        since_s=clock.wall_s(),
        step=0,
        steps=len(spec.steps),
        step_since_s=None,
        step_until_s=None,
        weight=0,
        stable=SideView(spec.stable, 100, None, 0, 0, nothing),
        canary=SideView(spec.canary, 0, None, 0, 0, nothing),
        checks=tuple(CheckView(one.name, None, "", 0) for one in spec.analysis.checks),
        checks_total={},
        looks=0,
        waits_for="",
        preview_listener=None,
        preview_port=None,
        preview_state=None,
        rollback_until_s=None,
        commit="",
    )
    return replace(made, **fields)


def running(key: ListenerKey, now_s: float, spec: RolloutSpec = SPEC, **fields: Any) -> RolloutView:
    """Make one that is in its second step for 200 of 300 seconds, with something of everything."""
    stable = {
        "connect_failures": 0.0,
        "resets": 0.001,
        "early_closes": 0.0,
        "connect_time_p50": 0.000085,
        "first_byte_p50": 0.0123,
        "first_byte_p99": 0.18,
        "duration_p50": 75.0,
        "bytes_in_p50": 512.0,
        "bytes_out_p50": 1_572_864.0,
    }
    canary = {**stable, "resets": 0.052, "first_byte_p99": None}
    resets = CheckView(
        "resets", "failed", "canary 5.2% of 480, stable 0.1% of 1440, may be 2% more", 1
    )
    first = CheckView("first_byte_p99", "no_data", "canary has 3 samples of 20", 0)
    more: dict[str, Any] = {
        "phase": Phase.RUNNING,
        "reason": "step 2 of 4: 25% for 5m",
        "since_s": now_s - 320,
        "step": 2,
        "step_since_s": now_s - 200,
        "step_until_s": now_s + 100,
        "weight": 25,
        "stable": SideView(spec.stable, 75, 0.7541, 310, 1463, stable),
        "canary": SideView(spec.canary, 25, 0.2459, 98, 477, canary),
        "checks": (resets, first),
        "checks_total": {("resets", "passed"): 11, ("resets", "failed"): 1},
        "looks": 20,
        "waits_for": "samples for first_byte_p99",
        "preview_listener": f"{key.listener}.preview",
        "preview_port": 21_005,
        "preview_state": "open",
    }
    return view(key, spec, **(more | fields))
