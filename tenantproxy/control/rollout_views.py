"""Rollouts as people and scrapers see them."""

from __future__ import annotations

from collections.abc import Iterator

from tenantproxy import clock
from tenantproxy.config.render import render_split, to_yaml
from tenantproxy.control.hands import Hands
from tenantproxy.control.rollout import Rollout
from tenantproxy.control.rollout_looks import ENDPOINTS
from tenantproxy.model.derive import preview_key
from tenantproxy.model.judgement import value_of
from tenantproxy.model.lifecycle import State
from tenantproxy.model.rollout import JUDGED, ON_ITS_WAY, Phase
from tenantproxy.model.rollout_spec import RolloutSpec, SignalCheck
from tenantproxy.model.rollout_turn import hold_end_s
from tenantproxy.model.rollout_view import SHOWN, CheckView, RolloutView, SideView
from tenantproxy.model.sides import Side
from tenantproxy.model.signal_names import parse_signal

_SHOWN = tuple(
    SignalCheck(name, *found) for name in SHOWN if (found := parse_signal(name)) is not None
)
_COMMIT = "# {canary} is stable now. The rollout may be taken out, or get its next `to`.\n"


def view_of(one: Rollout, hands: Hands) -> RolloutView:
    """Return a rollout as it is at this instant."""
    now_s = clock.monotonic_s()
    ahead_s = clock.wall_s() - now_s
    spec, progress, key = one.spec, one.progress, one.key
    listener = hands.listener(key)
    own = preview_key(key)
    preview = hands.listener(own) if one.split.preview else None
    window, seen, weight = one.windows.step(), one.windows.seen(), one.split.percent
    on = progress.phase in ON_ITS_WAY
    stable = SideView(
        spec.stable,
        100 - weight,
        None if seen is None else 1 - seen,
        sum(hands.live(key, spec.stable)),
        window.stable.opened,
        _values(spec, window.stable),
    )
    canary = SideView(
        spec.canary,
        weight,
        seen,
        sum(hands.live(one.windows.canary_key, spec.canary)),
        window.canary.opened,
        _values(spec, window.canary),
    )
    until_s, rollback_s = _until_s(one, now_s), _rollback_until_s(one, now_s)
    wanted = one.split.preview and spec.preview is not None
    return RolloutView(
        key=key,
        port=None if listener is None else listener.port,
        spec=spec,
        phase=progress.phase,
        reason=progress.reason,
        cause=progress.cause,
        since_s=progress.since_s + ahead_s,
        step=one.step,
        steps=len(spec.steps),
        step_since_s=progress.step_since_s + ahead_s if on else None,
        step_until_s=None if until_s is None else until_s + ahead_s,
        weight=weight,
        stable=stable,
        canary=canary,
        checks=tuple(_checks(one)),
        checks_total=dict(one.counts),
        looks=progress.looks,
        waits_for=_waits_for(one, hands),
        preview_listener=own.listener if wanted else None,
        preview_port=None if preview is None else preview.port,
        preview_state=None if preview is None else preview.state.value,
        rollback_until_s=None if rollback_s is None else rollback_s + ahead_s,
        commit=_commit(one, hands),
    )


def _values(spec: RolloutSpec, side: Side) -> dict[str, float | None]:
    return {check.name: value_of(check, side) for check in (*_SHOWN, *spec.analysis.signals)}


def _checks(one: Rollout) -> Iterator[CheckView]:
    found = {finding.check: finding for finding in one.progress.findings}
    failures = dict(one.progress.failures)
    names = [(check.name, check.dry_run) for check in one.spec.analysis.checks]
    for name, dry_run in (*names, (ENDPOINTS, False)):
        last = found.get(name)
        yield CheckView(
            name,
            None if last is None else last.result,
            "" if last is None else last.reason,
            failures.get(name, 0),
            dry_run=dry_run,
        )


def _until_s(one: Rollout, now_s: float) -> float | None:
    """Return when the step may end; once its hold is over that is the next look."""
    progress = one.progress
    if progress.phase not in JUDGED:
        return None
    end_s = hold_end_s(one.spec, progress)
    return end_s if end_s > now_s else progress.look_at_s


def _rollback_until_s(one: Rollout, now_s: float) -> float | None:
    progress = one.progress
    if progress.phase is not Phase.SUCCEEDED or progress.ended_s is None:
        return None
    until_s = progress.ended_s + one.spec.rollback_window_s
    return until_s if until_s > now_s else None


def _waits_for(one: Rollout, hands: Hands) -> str:
    progress, spec = one.progress, one.spec
    match progress.phase:
        case Phase.WAITING if progress.gate is None and spec.start == "manual":
            return f"`tenantproxy rollout start {one.key}`"
        case Phase.PAUSED:
            return f"`tenantproxy rollout resume {one.key}`"
        case Phase.ROLLING_BACK:
            left = sum(hands.live(one.key, spec.canary))
            return f"{left} connections of {spec.canary} to end"
        case _ if one.look and progress.gate is None:
            return f"answers for {', '.join(check.name for check in spec.analysis.outside)}"
        case Phase.RUNNING if progress.waits_for and (why := _no_preview(one, hands)):
            return f"{progress.waits_for}; its preview port, where they come from, {why}"
        case _:
            return progress.waits_for


def _no_preview(one: Rollout, hands: Hands) -> str:
    """Return why nobody reaches the canary in an experiment; nothing if that is not so."""
    if one.spec.steps[one.progress.step].kind != "experiment":
        return ""
    preview = hands.listener(preview_key(one.key))
    if preview is None:
        return "could not be given a number"
    return f"has failed: {preview.reason}" if preview.state is State.FAILED else ""


def _commit(one: Rollout, hands: Hands) -> str:
    """Return what to write into the file, as long as only the API's side says it."""
    key, listener = one.key, hands.listener(one.key)
    promoted = one.progress.phase is Phase.SUCCEEDED and one.split.before is not None
    if not promoted or listener is None or listener.split_source == "file":
        return ""
    if not hands.from_file(key):
        return ""
    split = {"split": render_split(hands.declared(key))}
    tenants = {key.tenant: {"listeners": {key.listener: split}}}
    return _COMMIT.format(canary=one.spec.canary) + to_yaml({"tenants": tenants})
