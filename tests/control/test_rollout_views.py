"""A view tells all that there is to see of a rollout."""

from dataclasses import replace

import pytest
import yaml

from tenantproxy import clock
from tenantproxy.control import rollout_views
from tenantproxy.model.findings import Finding
from tenantproxy.model.lifecycle import State
from tenantproxy.model.rollout import AskGate, NewWindow, Phase, Promote, SetPreview, SetWeight
from tenantproxy.model.rollout_spec import (
    Analysis,
    OutsideCheck,
    SignalCheck,
    Step,
)
from tenantproxy.model.rollout_view import SHOWN, CheckView
from tenantproxy.model.sides import Side
from tenantproxy.model.spec import SplitMember
from tests.control.rollout_support import KEY, PREVIEW, plan, soon, web
from tests.control.support import until

SLOW = SignalCheck("slow", "first_byte", 0.99, max=1.0, dry_run=True)
QA = OutsideCheck("qa", "webhook")
STEPS = (Step("weight", 5, 60.0), Step("weight", 50, 60.0))


@pytest.fixture(autouse=True)
def values(monkeypatch):
    """Values that tell check and side."""
    monkeypatch.setattr(
        rollout_views, "value_of", lambda check, side: (check.signal, check.quantile, side.opened)
    )


def running(scene, machine, *wishes, spec=None, **fields):
    fields = {"phase": Phase.RUNNING, "weight": 5, **fields}
    machine.then(NewWindow(), SetWeight(5, "step 1"), *wishes, **fields)
    scene.put(web(spec or plan(*STEPS, preview=None)))


def near(there, here):
    return there == pytest.approx(here, abs=5.0)


async def test_both_sides_stand_beside_each_other(scene, machine):
    spec = plan(*STEPS, preview=None, analysis=Analysis(signals=(SLOW,)))
    running(scene, machine, spec=spec)
    scene.hands.sides = {(KEY, "v1"): Side(opened=57), (KEY, "v2"): Side(opened=3)}
    scene.hands.lives = {(KEY, "v1"): (4, 3), (KEY, "v2"): (1, 0)}
    view = scene.view()
    assert (view.key, view.port, view.spec) == (KEY, 20_001, spec)
    stable, canary = view.stable, view.canary
    assert (stable.upstream, stable.weight, stable.connections, stable.opened) == ("v1", 95, 7, 57)
    assert (canary.upstream, canary.weight, canary.connections, canary.opened) == ("v2", 5, 1, 3)
    assert stable.seen == pytest.approx(0.95)
    assert canary.seen == pytest.approx(0.05)
    assert list(canary.values) == [*SHOWN, "slow"]
    assert canary.values["first_byte_p99"] == ("first_byte", 0.99, 3)
    assert stable.values["slow"] == ("first_byte", 0.99, 57)


async def test_before_the_first_step_nothing_was_seen(scene, machine):
    scene.put(web(plan(*STEPS, start="manual"), (SplitMember("v1", 3), SplitMember("v2", 1))))
    view = scene.view()
    assert (view.phase, view.step, view.steps, view.weight) == (Phase.WAITING, 0, 2, 25)
    assert (view.stable.seen, view.canary.seen, view.canary.opened) == (None, None, 0)
    assert (view.step_since_s, view.step_until_s, view.rollback_until_s) == (None, None, None)
    assert view.waits_for == "`tenantproxy rollout start acme/web`"
    assert (view.preview_listener, view.preview_port, view.preview_state) == (None, None, None)
    assert view.commit == ""


async def test_times_are_those_of_the_wall_clock(scene, machine):
    running(scene, machine, step_since_s=soon(-10.0), since_s=soon(-30.0), look_at_s=soon(5.0))
    view, now_s = scene.view(), clock.wall_s()
    assert near(view.since_s, now_s - 30.0)
    assert near(view.step_since_s, now_s - 10.0)
    assert near(view.step_until_s, now_s + 50.0)


async def test_a_step_whose_hold_is_over_may_end_at_the_next_look(scene, machine):
    running(scene, machine, step_since_s=soon(-100.0), look_at_s=soon(40.0), waits_for="samples")
    view = scene.view()
    assert near(view.step_until_s, clock.wall_s() + 40.0)
    assert view.waits_for == "samples"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"phase": Phase.PAUSED}, "`tenantproxy rollout resume acme/web`"),
        ({"phase": Phase.ROLLING_BACK}, "4 connections of v2 to end"),
        (
            {"phase": Phase.WAITING, "gate": "before_start", "waits_for": "gate before_start"},
            "gate before_start",
        ),
        ({"phase": Phase.ABORTED}, ""),
    ],
)
async def test_it_says_what_it_waits_for(scene, machine, fields, said):
    running(scene, machine, AskGate("before_start"), **fields)
    scene.hands.lives[KEY, "v2"] = (3, 1)
    view = scene.view()
    assert view.waits_for == said
    assert view.step_until_s is None


async def test_it_says_whose_answers_it_waits_for(scene, machine):
    scene.judges.go.clear()
    spec = plan(*STEPS, analysis=Analysis(signals=(), outside=(QA,)), preview=None)
    running(scene, machine, spec=spec, look_at_s=soon())
    await until(lambda: scene.judges.asked)
    assert scene.view().waits_for == "answers for qa"


async def test_every_check_is_shown_with_what_it_found(scene, machine):
    spec = plan(*STEPS, analysis=Analysis(signals=(SLOW,), outside=(QA,)), preview=None)
    finding = Finding("slow", "failed", "slow: 2s", dry_run=True)
    running(scene, machine, spec=spec, findings=(finding,), failures=(("slow", 2),), looks=3)
    view = scene.view()
    assert view.checks == (
        CheckView("slow", "failed", "slow: 2s", 2, dry_run=True),
        CheckView("qa", None, "", 0),
        CheckView("endpoints", None, "", 0),
    )
    assert view.looks == 3
    assert view.checks_total["slow", "would fail"] == 0
    assert view.checks_total is not scene.one().counts


async def test_a_preview_is_shown_with_its_port(scene, machine):
    running(scene, machine, SetPreview(wanted=True), spec=plan(*STEPS))
    view = scene.view()
    assert (view.preview_listener, view.preview_port) == ("web.preview", 20_002)
    assert view.preview_state == "asleep"


async def test_a_preview_that_could_not_be_had_has_no_port(scene, machine):
    running(scene, machine, SetPreview(wanted=True), spec=plan(*STEPS))
    scene.hands.carried.clear()
    view = scene.view()
    assert (view.preview_listener, view.preview_port) == ("web.preview", None)
    assert view.preview_state is None


@pytest.mark.parametrize(
    ("preview", "said"),
    [
        ({"state": State.ASLEEP}, "samples"),
        (
            {"state": State.FAILED, "reason": "port 20002 is in use"},
            "samples; its preview port, where they come from, has failed: port 20002 is in use",
        ),
        (None, "samples; its preview port, where they come from, could not be given a number"),
    ],
)
async def test_an_experiment_that_nobody_can_reach_says_so(scene, machine, preview, said):
    spec = plan(Step("experiment", 0, 60.0), *STEPS)
    running(scene, machine, SetPreview(preview is not None), spec=spec, waits_for="samples")
    shown = scene.hands.listener
    scene.hands.listener = lambda key: (
        replace(shown(key), **preview) if key == PREVIEW and preview else shown(key)
    )
    assert scene.view().waits_for == said


async def test_in_an_experiment_connections_are_those_of_the_preview(scene, machine):
    spec = plan(Step("experiment", 0, 60.0), *STEPS)
    running(scene, machine, SetPreview(wanted=True), spec=spec)
    scene.hands.lives = {(KEY, "v2"): (9,), (scene.one().windows.canary_key, "v2"): (2,)}
    assert scene.view().canary.connections == 2


async def promoted(scene, machine, **fields):
    fields = {"phase": Phase.SUCCEEDED, "weight": 100, **fields}
    running(scene, machine, spec=plan(*STEPS, preview=None, rollback_window_s=100.0))
    machine.then(Promote(), **fields)
    scene.rollouts.command(KEY, "promote")
    return scene.view()


async def test_after_success_it_says_what_to_commit(scene, machine):
    view = await promoted(scene, machine)
    assert view.commit.startswith("# v2 is stable now.")
    assert yaml.safe_load(view.commit) == {
        "tenants": {"acme": {"listeners": {"web": {"split": {"v1": 0, "v2": 100}}}}}
    }


async def test_nothing_is_to_be_committed_of_what_no_file_holds(scene, machine):
    scene.hands.in_file = False
    assert (await promoted(scene, machine)).commit == ""


async def test_nothing_is_to_be_committed_once_the_file_says_it(scene, machine):
    await promoted(scene, machine)
    scene.hands.did.clear()  # the split is the file's now
    assert scene.view().commit == ""
    scene.hands.listeners.clear()
    scene.hands.declared = lambda key: ()
    assert scene.view().commit == ""
    assert scene.view().port is None


async def test_a_rollback_is_possible_until_its_window_ends(scene, machine):
    view = await promoted(scene, machine, ended_s=soon(-10.0))
    assert near(view.rollback_until_s, clock.wall_s() + 90.0)


async def test_a_rollback_window_that_is_over_is_none(scene, machine):
    assert (await promoted(scene, machine, ended_s=soon(-101.0))).rollback_until_s is None


async def test_causes_and_reasons_are_passed_on(scene, machine):
    running(scene, machine, phase=Phase.ROLLED_BACK, reason="why", cause="what")
    view = scene.view()
    assert (view.phase, view.reason, view.cause) == (Phase.ROLLED_BACK, "why", "what")


def test_all_that_is_shown_is_a_signal():
    assert [check.name for check in rollout_views._SHOWN] == list(SHOWN)
