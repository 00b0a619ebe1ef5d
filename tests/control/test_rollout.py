"""What a rollout does with the wishes of its machine, whatever that decides."""

import asyncio

import pytest

from tenantproxy.control import rebalance, rollout_looks
from tenantproxy.errors import Conflict
from tenantproxy.model.derive import Carried
from tenantproxy.model.findings import Finding, GateAnswer
from tenantproxy.model.rollout import (
    AskGate,
    EndCanary,
    NewWindow,
    Phase,
    Promote,
    Restore,
    Say,
    SetPreview,
    SetWeight,
)
from tenantproxy.model.rollout_spec import Analysis, Gate, Gates, OutsideCheck, Step
from tenantproxy.model.sides import Side
from tenantproxy.model.spec import SplitMember
from tests.control.rollout_support import KEY, PREVIEW, SPLIT, plan, soon, web, weights
from tests.control.support import until

OUTSIDE = Analysis(signals=(), outside=(OutsideCheck("qa", "webhook"),))
GATES = Gates(before_step=Gate("http://127.0.0.1/"), after_end=Gate("http://127.0.0.1/"))


def running(scene, machine, *wishes, spec=None, weight=5, **fields):
    """A rollout that runs its first step."""
    machine.then(
        NewWindow(), SetWeight(weight, "step 1"), *wishes,
        phase=Phase.RUNNING, weight=weight, **fields,
    )  # fmt: skip
    scene.put(web(spec or plan(preview=None)))
    assert scene.phase() is Phase.RUNNING
    return scene.one()


def does(scene, machine, *wishes, **fields):
    """Let the machine answer a command with this."""
    scene.hands.did.clear()
    machine.then(*wishes, **fields)
    scene.rollouts.command(KEY, "pause")


# Weights ---------------------------------------------------------------------------


async def test_weight_and_preview_go_out_as_one_and_before_all_else(scene, machine):
    running(scene, machine, SetPreview(wanted=True), spec=plan(preview=20_005))
    carry, count = scene.hands.did
    assert carry[:2] == ("carry", KEY)
    carried = carry[2]
    assert (carried.stable, carried.canary) == ("v1", "v2")
    assert (carried.weight, carried.preview) == (5, 20_005)
    assert count == ("count", KEY, ("v1", "v2"))


async def test_the_same_is_not_carried_twice(scene, machine):
    running(scene, machine)
    does(scene, machine, SetWeight(5, "again"))
    assert scene.hands.did == []


async def test_salt_is_that_of_the_attempt_and_of_no_other_rollout(scene, machine):
    one = running(scene, machine)
    first = one.split.carried.salt
    assert first.startswith("v1>v2#0:")
    does(scene, machine, SetWeight(50, "step 2"))
    assert one.split.carried.salt == first
    does(scene, machine, SetWeight(5, "anew"), attempt=1)
    second = one.split.carried.salt
    assert second == first.replace("#0", "#1")
    machine.then(SetWeight(5, "step 1"), phase=Phase.RUNNING, weight=5)
    scene.put(web(plan(preview=None, deadline_s=1.0)))
    assert scene.one().split.carried.salt not in (first, second)


async def test_nobody_moves_while_only_the_preview_is_there(scene, machine):
    machine.then(SetPreview(wanted=True), AskGate("before_start"), gate="before_start")
    scene.put(web(plan()))
    assert scene.hands.of("carry") == [[KEY, Carried("v1", "v2", None, "auto")]]
    machine.then(SetPreview(wanted=False), phase=Phase.FAILED)
    scene.rollouts.command(KEY, "abort")
    assert scene.hands.carried[KEY] is None


async def test_the_canary_stays_at_nothing_after_a_rollback(scene, machine):
    running(scene, machine, SetPreview(wanted=True), spec=plan())
    does(scene, machine, SetWeight(0, "bad"), phase=Phase.ROLLING_BACK, weight=0)
    does(scene, machine, SetPreview(wanted=False), phase=Phase.ROLLED_BACK)
    carried = scene.hands.carried[KEY]
    assert (carried.weight, carried.preview) == (0, None)
    scene.put(web(plan(), (SplitMember("v1", 7), SplitMember("v2", 3))))
    assert scene.hands.carried[KEY] is None
    assert scene.one().split.percent == 30


async def test_a_promotion_declares_the_split_and_carries_nothing_more(scene, machine):
    running(scene, machine, weight=100)
    does(scene, machine, Promote(), SetPreview(wanted=False), phase=Phase.SUCCEEDED)
    assert scene.hands.names()[:2] == ["declare", "carry"]
    assert weights(scene.hands.declared(KEY)) == {"v1": 0, "v2": 100}
    assert scene.hands.carried[KEY] is None


async def test_what_was_declared_before_the_promotion_comes_back(scene, machine):
    running(scene, machine, weight=100)
    does(scene, machine, Promote(), phase=Phase.SUCCEEDED)
    does(scene, machine, SetWeight(0, "back"), Restore(), phase=Phase.ROLLED_BACK, weight=0)
    assert scene.hands.names()[:2] == ["carry", "declare"]
    assert scene.hands.declared(KEY) == SPLIT
    assert scene.hands.carried[KEY].weight == 0


async def test_what_somebody_declared_after_the_promotion_is_not_undone(scene, machine):
    running(scene, machine, weight=100)
    does(scene, machine, Promote(), phase=Phase.SUCCEEDED)
    other = (SplitMember("v1", 0), SplitMember("v3", 20), SplitMember("v2", 80))
    scene.put(web(plan(preview=None), other))
    does(scene, machine, SetWeight(0, "back"), Restore(), phase=Phase.ROLLED_BACK, weight=0)
    assert weights(scene.hands.declared(KEY)) == {"v1": 80, "v3": 20, "v2": 0}


async def test_a_split_that_changes_meanwhile_leaves_the_pair_alone(scene, machine):
    running(scene, machine)
    scene.hands.did.clear()
    scene.put(web(plan(preview=None), (SplitMember("v1", 1), SplitMember("v2", 1))))
    assert scene.hands.did == []
    assert scene.last().event == "rollout_keeps_split"
    assert scene.one().split.carried.weight == 5


async def test_one_that_waits_begins_by_the_split_that_came(scene, machine):
    scene.put(web(plan()))
    assert scene.one().progress.weight == 0
    scene.put(web(plan(), (SplitMember("v1", 3), SplitMember("v2", 1))))
    assert scene.one().progress.weight == 25


async def test_one_that_ended_begins_by_the_split_that_is_declared_now(scene, machine):
    running(scene, machine)
    does(scene, machine, SetWeight(0, "bad"), phase=Phase.ROLLED_BACK, weight=0)
    scene.rollouts.command(KEY, "start")
    assert scene.one().progress.attempt == 0  # the machine begins again from what is carried
    scene.put(web(plan(preview=None), (SplitMember("v1", 3), SplitMember("v2", 1))))
    scene.rollouts.command(KEY, "start")
    assert (scene.one().progress.weight, scene.one().progress.attempt) == (25, 1)


async def test_one_that_finds_everything_done_is_not_begun_again(scene, machine):
    machine.first = {"phase": Phase.SUCCEEDED}
    scene.put(web(plan(), (SplitMember("v2", 1),)))
    machine.answers.append(Conflict("it has succeeded"))
    with pytest.raises(Conflict):
        scene.rollouts.command(KEY, "start")
    assert scene.phase() is Phase.SUCCEEDED


# Counting --------------------------------------------------------------------------


async def test_signals_are_counted_while_it_is_on_its_way(scene, machine):
    running(scene, machine)
    does(scene, machine, phase=Phase.ROLLING_BACK)
    assert scene.hands.of("count") == []
    does(scene, machine, phase=Phase.ROLLED_BACK)
    assert scene.hands.of("count") == [[KEY, ()]]


async def test_in_an_experiment_the_preview_is_the_side_of_the_canary(scene, machine):
    steps = (Step("experiment", 0, 1.0), Step("weight", 5, 1.0))
    one = running(scene, machine, SetPreview(wanted=True), spec=plan(*steps), weight=0)
    assert scene.hands.of("count") == [[KEY, ("v1", "v2")], [PREVIEW, ("v2",)]]
    scene.hands.sides[PREVIEW, "v2"] = Side(opened=3)
    assert one.windows.step().canary.opened == 3
    does(scene, machine, NewWindow(), SetWeight(5, "step 2"), step=1, weight=5)
    assert scene.hands.of("count") == [[PREVIEW, ()]]
    assert one.windows.canary_key == KEY


async def test_what_the_verdict_saw_stays_to_be_seen(scene, machine):
    one = running(scene, machine)
    scene.hands.sides[KEY, "v2"] = Side(opened=9)
    does(scene, machine, SetWeight(0, "bad"), phase=Phase.ROLLING_BACK, weight=0)
    scene.hands.sides[KEY, "v2"] = Side(opened=20)
    assert one.windows.step().canary.opened == 9


# Ending connections -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "ended"),
    [
        ("keep", []),
        ("drain", [[KEY, "v2", "drain", 600.0, None]]),
        ("kill", [[KEY, "v2", "kill", 0.0, None]]),
    ],
)
async def test_connections_of_the_canary_end_as_they_shall(scene, machine, how, ended):
    running(scene, machine)
    does(scene, machine, SetWeight(0, "bad"), EndCanary(how), phase=Phase.ROLLING_BACK)
    assert scene.hands.of("end") == ended
    assert scene.hands.names()[0] == "carry"


async def test_while_it_rolls_back_it_looks_whether_they_have_ended(scene, machine):
    scene.hands.lives[KEY, "v2"] = (2, 1)
    running(scene, machine)
    does(scene, machine, phase=Phase.ROLLING_BACK)
    calls = len(machine.calls)
    await until(lambda: len(machine.calls) >= calls + 2)
    assert machine.calls[-1].canary_connections == 3


async def test_at_100_percent_the_canary_is_judged_beside_stable_of_the_step_before(scene, machine):
    sides = scene.hands.sides
    running(scene, machine, NewWindow(), weight=50)
    sides[KEY, "v1"], sides[KEY, "v2"] = Side(opened=70), Side(opened=60)
    does(scene, machine, NewWindow(), SetWeight(100, ""), phase=Phase.PROMOTING, weight=100)
    sides[KEY, "v2"] = Side(opened=90)
    step, _ = scene.one().windows.look()
    assert (step.stable.opened, step.canary.opened) == (70, 30)


async def test_long_connections_are_moved_while_steps_go_on(scene, machine, monkeypatch):
    monkeypatch.setattr(rebalance, "EVERY_S", 0.02)
    scene.hands.lives = {(KEY, "v1"): (90,), (KEY, "v2"): (10,)}
    spec = plan(preview=None, rebalance_per_s=10.0)
    running(scene, machine, spec=spec, weight=50)
    await until(lambda: scene.hands.of("end"))
    key, upstream, mode, _, _ = scene.hands.of("end")[0]
    assert (key, upstream, mode) == (KEY, "v1", "rebalance")
    does(scene, machine, phase=Phase.PAUSED)
    scene.hands.did.clear()
    await asyncio.sleep(0.1)
    assert scene.hands.of("end") == []


async def test_after_success_the_rest_follows_until_stable_has_none(scene, machine, monkeypatch):
    monkeypatch.setattr(rebalance, "EVERY_S", 0.02)
    scene.hands.lives = {(KEY, "v1"): (50,), (KEY, "v2"): (50,)}
    running(scene, machine, spec=plan(preview=None, rebalance_per_s=1.0), weight=50)
    does(scene, machine, Promote(), phase=Phase.SUCCEEDED, weight=100)
    scene.hands.did.clear()
    await until(lambda: scene.hands.of("end"))
    assert scene.hands.of("end")[0][:3] == [KEY, "v1", "rebalance"]
    scene.hands.lives[KEY, "v1"] = (0,)
    await until(lambda: scene.one()._timer is None)


async def test_after_success_nobody_is_moved_once_the_split_is_another(scene, machine, monkeypatch):
    monkeypatch.setattr(rebalance, "EVERY_S", 0.02)
    scene.hands.lives = {(KEY, "v1"): (50,), (KEY, "v2"): (50,)}
    spec = plan(preview=None, rebalance_per_s=1.0)
    running(scene, machine, spec=spec, weight=50)
    does(scene, machine, Promote(), phase=Phase.SUCCEEDED, weight=100)
    scene.put(web(spec, (SplitMember("v1", 50), SplitMember("v2", 50))))
    scene.hands.did.clear()
    await asyncio.sleep(0.1)
    assert scene.hands.of("end") == []


# The clock ---------------------------------------------------------------------------


async def test_it_is_asked_again_when_it_is_due_and_not_before(scene, machine):
    at_s = soon(0.1)
    machine.due = lambda progress: at_s if progress.weight == 5 else None
    running(scene, machine)
    calls = len(machine.calls)
    await asyncio.sleep(0.01)
    assert len(machine.calls) == calls
    machine.then(weight=6)
    await until(lambda: scene.one().progress.weight == 6)
    assert len(machine.calls) == calls + 1
    assert soon() >= at_s - 0.002


async def test_a_machine_that_is_always_due_does_not_spin(scene, machine):
    machine.due = lambda progress: soon(-1.0)
    running(scene, machine)
    await asyncio.sleep(0.1)
    assert len(machine.calls) < 15


async def test_nothing_is_timed_that_waits_for_a_person(scene, machine):
    scene.put(web(plan()))
    assert scene.one()._timer is None


# Looks -------------------------------------------------------------------------------


async def test_a_look_is_made_when_it_is_due_and_judged_in_the_same_turn(scene, machine):
    scene.hands.usable = (0, 2)
    one = running(scene, machine, look_at_s=soon(0.05))
    machine.then(SetWeight(0, "bad"), phase=Phase.ROLLED_BACK, look_at_s=None)
    await until(lambda: scene.phase() is Phase.ROLLED_BACK)
    [look] = [signals.look for signals in machine.calls if signals.look is not None]
    assert [(finding.check, finding.result) for finding in look] == [("endpoints", "failed")]
    assert one.counts["endpoints", "failed"] == 1


async def test_a_look_waits_for_all_judges_and_there_are_never_two(scene, machine):
    scene.judges.go.clear()
    running(scene, machine, spec=plan(preview=None, analysis=OUTSIDE), look_at_s=soon())
    machine.due = lambda progress: soon(0.01)
    await until(lambda: scene.judges.asked)
    await until(lambda: len(machine.calls) > 5)
    [(name, about)] = scene.judges.asked
    assert name == "qa"
    assert (about.tenant, about.listener, about.stable, about.canary) == ("acme", "web", "v1", "v2")
    assert (about.state, about.step, about.steps, about.weight) == ("running", 1, 2, 5)
    assert all(signals.look is None for signals in machine.calls)
    machine.answers.clear()
    machine.then(look_at_s=None)
    scene.judges.go.set()
    await until(lambda: scene.one().counts["qa", "passed"])
    [look] = [signals.look for signals in machine.calls if signals.look is not None]
    assert [finding.check for finding in look] == ["endpoints", "qa"]


async def test_nobody_hurries_while_judges_are_waited_for(scene, machine):
    scene.judges.go.clear()
    machine.due = lambda progress: soon(-1.0)
    running(scene, machine, spec=plan(preview=None, analysis=OUTSIDE), look_at_s=soon())
    await until(lambda: scene.judges.asked)
    calls = len(machine.calls)
    await asyncio.sleep(0.1)
    assert len(machine.calls) == calls
    assert scene.one()._timer is None


async def test_answers_that_come_after_the_step_are_dropped(scene, machine):
    scene.judges.go.clear()
    one = running(scene, machine, spec=plan(preview=None, analysis=OUTSIDE), look_at_s=soon())
    await until(lambda: scene.judges.asked)
    does(scene, machine, SetWeight(50, "step 2"), step=1, weight=50, look_at_s=None)
    scene.judges.go.set()
    await until(lambda: not len(scene.background))
    assert all(signals.look is None for signals in machine.calls)
    assert one.counts["qa", "passed"] == 0


# Gates -------------------------------------------------------------------------------


async def test_what_a_gate_says_goes_to_the_machine(scene, machine):
    scene.judges.says["before_step"] = "closed"
    running(scene, machine, AskGate("before_step"), spec=plan(preview=None, gates=GATES))
    await until(lambda: any(signals.gate for signals in machine.calls))
    assert machine.calls[-1].gate == GateAnswer("before_step", "closed", "as told")


async def test_a_gate_that_is_not_there_is_not_asked(scene, machine):
    running(scene, machine, AskGate("before_promotion"), spec=plan(gates=GATES))
    await asyncio.sleep(0.02)
    assert scene.judges.asked == []


# Events ------------------------------------------------------------------------------


async def test_events_say_where_it_is(scene, machine):
    running(scene, machine, Say("rollout_step", "step 1 of 2: 5%", "warning"))
    event = scene.last()
    assert (event.event, event.reason) == ("rollout_step", "step 1 of 2: 5%")
    assert (event.tenant, event.object) == ("acme", "listener/web")
    assert event.details == {
        "step": 1,
        "weight": 5,
        "state": "running",
        "stable": "v1",
        "canary": "v2",
    }


@pytest.mark.parametrize(
    ("fields", "step"),
    [
        ({"phase": Phase.WAITING, "step": 1}, 0),
        ({"phase": Phase.PAUSED, "step": 0, "gate": "before_start"}, 0),
        ({"phase": Phase.FAILED, "step": 0}, 0),
        ({"phase": Phase.RUNNING, "step": 1}, 2),
        ({"phase": Phase.PROMOTING, "step": 2}, 2),
        ({"phase": Phase.SUCCEEDED, "step": 2}, 2),
    ],
)
async def test_steps_are_counted_from_one_when_it_has_begun(scene, machine, fields, step):
    machine.then(**fields)
    scene.put(web(plan()))
    assert scene.one().step == step


async def test_another_attempt_is_before_its_first_step_again(scene, machine):
    one = running(scene, machine)
    assert one.step == 1
    does(scene, machine, phase=Phase.WAITING, attempt=1)
    assert one.step == 0


# Bugs --------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.PROMOTING, Phase.ROLLING_BACK])
async def test_a_bug_pauses_the_rollout_and_a_person_goes_on(scene, machine, phase):
    one = running(scene, machine)
    does(scene, machine, phase=phase)
    machine.answers.append(ValueError("a bug"))
    machine.due = lambda progress: soon()
    one._arm()
    await until(lambda: scene.phase() is Phase.PAUSED)
    assert scene.said()[-2:] == ["internal_error", "rollout_paused"]
    assert "a bug" in one.progress.cause
    calls = len(machine.calls)
    await asyncio.sleep(0.05)
    assert len(machine.calls) == calls
    machine.then(phase=Phase.RUNNING)
    scene.rollouts.command(KEY, "resume")
    await until(lambda: len(machine.calls) > calls + 2)


async def test_a_bug_while_it_waits_leaves_it_waiting_for_a_person(scene, machine):
    machine.answers.append(ValueError("a bug"))
    machine.due = lambda progress: soon()
    scene.put(web(plan()))
    assert scene.phase() is Phase.WAITING
    assert "a bug" in scene.one().progress.reason
    assert scene.one()._timer is None
    scene.put(web(plan(), (SplitMember("v1", 3), SplitMember("v2", 1))))
    assert scene.one()._timer is not None


async def test_a_bug_after_the_end_changes_nothing(scene, machine):
    running(scene, machine)
    does(scene, machine, phase=Phase.SUCCEEDED)
    machine.answers.append(ValueError("a bug"))
    scene.one().wake()
    assert scene.phase() is Phase.SUCCEEDED
    assert scene.last().event == "internal_error"


async def test_a_command_whose_deed_fails_says_so_and_pauses(scene, machine):
    running(scene, machine)
    scene.hands.raises["carry"] = OSError("no hands")
    machine.then(SetWeight(50, "step 2"), weight=50)
    with pytest.raises(OSError, match="no hands"):
        scene.rollouts.command(KEY, "promote")
    assert scene.phase() is Phase.PAUSED


async def test_a_command_that_does_not_fit_changes_nothing(scene, machine):
    one = running(scene, machine)
    before = one.progress
    machine.answers.append(Conflict("does not fit"))
    with pytest.raises(Conflict):
        scene.rollouts.command(KEY, "rollback")
    assert one.progress is before


async def test_the_bug_of_a_judge_says_nothing_of_the_canary(scene, machine, monkeypatch):
    scene.judges.says["qa"] = RuntimeError("a bug")
    running(scene, machine, spec=plan(preview=None, analysis=OUTSIDE), look_at_s=soon())
    machine.answers.append(({"look_at_s": None},))
    await until(lambda: scene.one().counts["qa", "inconclusive"])
    assert scene.phase() is Phase.RUNNING


async def test_a_bug_in_a_finding_of_ours_pauses(scene, machine, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(rollout_looks, "seen_findings", broken)
    running(scene, machine, look_at_s=soon())
    await until(lambda: scene.phase() is Phase.PAUSED)


# The end ---------------------------------------------------------------------------


async def test_closing_says_nothing_and_leaves_weights_as_they_are(scene, machine):
    scene.judges.go.clear()
    spec = plan(preview=None, analysis=OUTSIDE, gates=GATES)
    running(scene, machine, AskGate("before_step"), spec=spec, look_at_s=soon())
    await until(lambda: len(scene.judges.asked) == 2)
    said, scene.hands.did = scene.said(), []
    await scene.rollouts.close()
    assert not len(scene.background)
    assert scene.said() == said
    assert scene.hands.did == []
    assert scene.one()._timer is None


async def test_who_wants_to_know_the_end_is_told_when_the_plan_is_removed(scene, machine):
    running(scene, machine, spec=plan(preview=None, gates=GATES))
    scene.put(web(None))
    assert scene.hands.carried[KEY] is None
    assert scene.hands.did[-1] == ("count", KEY, ())
    await until(lambda: scene.judges.asked)
    [(name, about)] = scene.judges.asked
    assert (name, about.state, about.reason) == ("after_end", "aborted", "the plan was removed")
    await until(lambda: scene.last().event == "rollout_gate")


async def test_findings_go_to_the_machine_as_they_are(scene, machine):
    running(scene, machine, look_at_s=soon())
    machine.then(look_at_s=None)
    await until(lambda: any(signals.look for signals in machine.calls))
    assert machine.calls[-1].look == (
        Finding("endpoints", "passed", "1 of 1 endpoints of v2 can be used"),
    )
