"""A rollout as JSON: its names and units, where each step stands, and what is null."""

import pytest

from tenantproxy.admin.rollout_views import show_rollout, whole_rollout
from tenantproxy.model.findings import ASIDE
from tenantproxy.model.lifecycle import State
from tenantproxy.model.rollout import Phase
from tenantproxy.model.rollout_spec import Analysis, OutsideCheck, RolloutSpec, SignalCheck, Step
from tenantproxy.model.rollout_view import CheckView
from tests.admin.conftest import hold
from tests.support_control import WEB
from tests.support_rollouts import SPEC, running, view


def states(**fields):
    return [step["state"] for step in show_rollout(view(WEB, **fields))["steps"]]


def test_it_shows_where_it_is_and_why_under_the_words_of_the_document():
    shown = whole_rollout(running(WEB, 1_700_000_000.0))
    hold(shown, "Rollout")
    named = {key: shown[key] for key in ("tenant", "listener", "port", "from", "to", "state")}
    assert named == {
        "tenant": "acme",
        "listener": "web",
        "port": 21_000,
        "from": "web-v1",
        "to": "web-v2",
        "state": "running",
    }
    assert (shown["step"], shown["weight"], shown["looks"]) == (2, 25, 20)
    assert shown["reason"] == "step 2 of 4: 25% for 5m"
    assert shown["waits_for"] == "samples for first_byte_p99"
    assert shown["step_since"] == "2023-11-14T22:10:00.000Z"
    assert shown["step_until"] == "2023-11-14T22:15:00.000Z"
    assert shown["since"] == "2023-11-14T22:08:00.000Z"
    assert shown["rollback_until"] is None
    assert shown["preview"] == {"listener": "web.preview", "port": 21_005, "state": "open"}
    assert (shown["spec"]["from"], shown["spec"]["to"]) == ("web-v1", "web-v2")


def test_weights_are_percents_and_values_are_as_they_were_measured():
    shown = show_rollout(running(WEB, 0.0))
    assert shown["weight_seen"] == shown["canary"]["seen"] == 24.59
    assert shown["stable"]["seen"] == 75.41
    assert (shown["stable"]["weight"], shown["canary"]["weight"]) == (75, 25)
    assert (shown["canary"]["connections"], shown["canary"]["opened"]) == (98, 477)
    assert shown["canary"]["values"]["resets"] == 0.052
    assert shown["canary"]["values"]["first_byte_p99"] is None
    assert shown["stable"]["values"]["bytes_in_p50"] == 512.0


def test_what_was_not_seen_is_null():
    shown = whole_rollout(view(WEB))
    hold(shown, "Rollout")
    assert shown["weight_seen"] is None
    assert shown["preview"] is None
    assert shown["step_since"] is shown["step_until"] is None
    assert [one["result"] for one in shown["checks"]] == [None, None]


def test_steps_have_the_weight_that_holds_in_them_and_the_shortest_time():
    spec = RolloutSpec(
        "a",
        "b",
        (Step("experiment"), Step("weight", 5, 90.0), Step("pause")),
        analysis=Analysis(every_s=30.0),
    )
    steps = show_rollout(view(WEB, spec))["steps"]
    assert [(one["kind"], one["weight"], one["hold"]) for one in steps] == [
        ("experiment", 0, "30s"),
        ("weight", 5, "90s"),
        ("pause", 5, None),
    ]


def test_steps_behind_it_are_done_and_those_before_it_ahead():
    assert states() == ["ahead"] * 4
    assert states(phase=Phase.RUNNING, step=2) == ["done", "current", "ahead", "ahead"]
    assert states(phase=Phase.PAUSED, step=3) == ["done", "done", "current", "ahead"]
    assert states(phase=Phase.PROMOTING, step=4) == ["done"] * 4
    assert states(phase=Phase.PAUSED, step=4, weight=50) == ["done"] * 3 + ["current"]
    assert states(phase=Phase.PAUSED, step=4, weight=100) == ["done"] * 4
    assert states(phase=Phase.SUCCEEDED, step=4) == ["done"] * 4


@pytest.mark.parametrize(
    "phase", [Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.FAILED, Phase.ABORTED]
)
def test_the_step_in_which_it_ended_badly_is_where_it_stopped(phase):
    assert states(phase=phase, step=2) == ["done", "stopped", "ahead", "ahead"]
    assert states(phase=phase, step=0) == ["ahead"] * 4


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_its_word_in_the_shape(phase):
    hold(whole_rollout(view(WEB, phase=phase)), "Rollout")


@pytest.mark.parametrize("state", [*State, None])
def test_every_state_of_the_preview_has_its_word_in_the_shape(state):
    hold(whole_rollout(view(WEB, preview_listener="web.preview", preview_state=state)), "Rollout")


def test_a_check_says_which_signal_it_judges_whatever_it_is_called():
    analysis = Analysis(
        signals=(
            SignalCheck("slow", "first_byte", 0.99, max=0.25),
            SignalCheck("shape", "duration", over_stable=0.1, dry_run=True),
            SignalCheck("resets", "resets", max=0.01),
        ),
        outside=(OutsideCheck("qa", "webhook", url="http://qa/check"),),
    )
    spec = RolloutSpec("a", "b", (Step("weight", 5),), analysis=analysis)
    checks = (
        CheckView("slow", "passed", "fine", 0),
        CheckView("shape", "failed", "apart", 2, dry_run=True),
        CheckView("resets", None, "", 0),
        CheckView("qa", "inconclusive", "503", 0),
        CheckView("endpoints", "passed", "2 of 2 usable", 0),
    )
    shown = show_rollout(view(WEB, spec, checks=checks))["checks"]
    assert [one["signal"] for one in shown] == [
        "first_byte_p99",
        "duration_shape",
        "resets",
        None,
        None,
    ]
    assert shown[1] == {
        "name": "shape",
        "signal": "duration_shape",
        "result": "failed",
        "reason": "apart",
        "failures": 2,
        "dry_run": True,
    }


def test_findings_are_counted_by_check_and_result():
    totals = {("resets", "passed"): 11, ("resets", ASIDE): 2, ("qa", "inconclusive"): 1}
    shown = whole_rollout(view(WEB, checks_total=totals))
    hold(shown, "Rollout")
    nothing = {"passed": 0, "failed": 0, "no_data": 0, "inconclusive": 0, "would_fail": 0}
    assert shown["checks_total"] == {
        "resets": nothing | {"passed": 11, "would_fail": 2},
        "qa": nothing | {"inconclusive": 1},
    }


def test_a_dry_run_is_that_of_the_rollout():
    assert show_rollout(view(WEB))["dry_run"] is False
    spec = RolloutSpec("a", "b", SPEC.steps, dry_run=True)
    assert show_rollout(view(WEB, spec))["dry_run"] is True
