"""The JSON shape of a rollout: how far it is, both sides beside each other, what judges said."""

from __future__ import annotations

from tenantproxy.admin.views import Json, show_time
from tenantproxy.config.render import render_rollout
from tenantproxy.config.units import format_duration
from tenantproxy.model.findings import ASIDE, RESULTS
from tenantproxy.model.rollout import Phase
from tenantproxy.model.rollout_spec import RolloutSpec, SignalCheck
from tenantproxy.model.rollout_view import RolloutView, SideView
from tenantproxy.model.signal_names import SIGNAL_NAMES, parse_signal

_NAMES = {parse_signal(name): name for name in SIGNAL_NAMES}
_ON_A_STEP = (Phase.RUNNING, Phase.PAUSED)
_THROUGH = (Phase.PROMOTING, Phase.SUCCEEDED)


def show_rollout(view: RolloutView) -> Json:
    """Return a rollout; weights and shares of connections are percents, values as measured."""
    spec = view.spec
    return {
        "tenant": view.key.tenant,
        "listener": view.key.listener,
        "port": view.port,
        "from": spec.stable,
        "to": spec.canary,
        "state": view.phase.value,
        "reason": view.reason,
        "cause": view.cause,
        "since": show_time(view.since_s),
        "step": view.step,
        "steps": _steps(view),
        "step_since": show_time(view.step_since_s),
        "step_until": show_time(view.step_until_s),
        "weight": view.weight,
        "weight_seen": _percent(view.canary.seen),
        "stable": _side(view.stable),
        "canary": _side(view.canary),
        "checks": _checks(view),
        "checks_total": _totals(view),
        "looks": view.looks,
        "waits_for": view.waits_for,
        "preview": _preview(view),
        "rollback_until": show_time(view.rollback_until_s),
        "commit": view.commit,
        "dry_run": spec.dry_run,
    }


def whole_rollout(view: RolloutView) -> Json:
    """Return a rollout and, as `spec`, what may be put back."""
    return {**show_rollout(view), "spec": render_rollout(view.spec)}


def _steps(view: RolloutView) -> list[Json]:
    return [
        {
            "kind": step.kind,
            "weight": view.spec.weight_of(index),
            "hold": None if step.kind == "pause" else format_duration(view.spec.hold_of(index)),
            "state": _state_of(view, index + 1),
        }
        for index, step in enumerate(view.spec.steps)
    ]


def _state_of(view: RolloutView, number: int) -> str:
    """Return where a step stands; `stopped` is the one in which it ended without success."""
    if _is_through(view) or number < view.step:
        return "done"
    if number > view.step:
        return "ahead"
    return "current" if view.phase in _ON_A_STEP else "stopped"


def _is_through(view: RolloutView) -> bool:
    """Tell whether all steps are done; a pause at 100 % may be one after the last of them."""
    last = view.spec.weight_of(view.steps - 1)
    beyond = view.phase is Phase.PAUSED and view.weight > last
    return beyond or view.phase in _THROUGH


def _side(side: SideView) -> Json:
    return {
        "upstream": side.upstream,
        "weight": side.weight,
        "seen": _percent(side.seen),
        "connections": side.connections,
        "opened": side.opened,
        "values": dict(side.values),
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)


def _checks(view: RolloutView) -> list[Json]:
    signals = _signals(view.spec)
    return [
        {
            "name": check.name,
            "signal": signals.get(check.name),
            "result": check.result,
            "reason": check.reason,
            "failures": check.failures,
            "dry_run": check.dry_run,
        }
        for check in view.checks
    ]


def _signals(spec: RolloutSpec) -> dict[str, str]:
    """Return check -> the signal it judges, for those of the proxy's own."""
    return {
        check.name: _NAMES[check.signal, check.quantile]
        for check in spec.analysis.checks
        if isinstance(check, SignalCheck)
    }


def _totals(view: RolloutView) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (check, result), count in view.checks_total.items():
        counts = found.setdefault(check, dict.fromkeys((*RESULTS, _ASIDE), 0))
        counts[_ASIDE if result == ASIDE else result] = count
    return found


_ASIDE = ASIDE.replace(" ", "_")


def _preview(view: RolloutView) -> Json | None:
    if view.preview_listener is None:
        return None
    return {
        "listener": view.preview_listener,
        "port": view.preview_port,
        "state": view.preview_state,
    }
