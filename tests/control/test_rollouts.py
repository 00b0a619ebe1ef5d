"""Rollouts from the declared state to their end, with the machine that decides."""

import asyncio

import pytest

from tenantproxy.control import rollout as runtime
from tenantproxy.control import rollout_looks, rollout_views
from tenantproxy.errors import Conflict, NotFound
from tenantproxy.model.findings import Finding
from tenantproxy.model.rollout import Phase
from tenantproxy.model.rollout_spec import Analysis, Gate, Gates, OutsideCheck, SignalCheck, Step
from tenantproxy.model.spec import ListenerKey, SplitMember
from tests.control.rollout_support import KEY, SPLIT, plan, web, weights
from tests.control.support import until

MANUAL = {"start": "manual", "preview": None}
GATE = Gate("http://127.0.0.1/")


@pytest.fixture(autouse=True)
def verdicts(monkeypatch):
    """What signal checks say, by their name; else that they passed."""
    said = {}

    def judge(check, step, recent, **numbers):
        return Finding(check.name, said.get(check.name, "passed"), "as told", check.dry_run)

    monkeypatch.setattr(rollout_looks, "judge", judge)
    monkeypatch.setattr(rollout_views, "value_of", lambda check, side: None)
    return said


def checked(*steps, **more):
    resets = SignalCheck("resets", "resets", max=0.01)
    more.setdefault("preview", None)
    return plan(*steps, analysis=Analysis(every_s=0.03, signals=(resets,)), **more)


def carried(scene):
    return [one and one.weight for _, one in scene.hands.of("carry")]


async def test_a_good_canary_takes_every_step_and_is_promoted(scene):
    scene.put(web(checked()))
    assert carried(scene) == [5]
    await until(lambda: scene.phase() is Phase.SUCCEEDED)
    assert carried(scene) == [5, 50, 100, None]
    assert weights(scene.hands.declared(KEY)) == {"v1": 0, "v2": 100}
    assert scene.said() == [
        "rollout_started",
        "rollout_step",
        "rollout_step",
        "rollout_promoting",
        "rollout_succeeded",
    ]
    assert scene.one().counts["resets", "passed"] >= 3


async def test_a_bad_canary_gets_nothing_any_more(scene, verdicts):
    scene.put(web(checked()))
    verdicts["resets"] = "failed"
    await until(lambda: scene.phase() is Phase.ROLLED_BACK)
    assert carried(scene) == [5, 0]
    assert "rollout_check_failed" in scene.said()
    await asyncio.sleep(0.1)
    assert carried(scene) == [5, 0]
    assert scene.hands.declared(KEY) == SPLIT


async def test_orders_of_a_rollback_are_out_in_the_turn_of_the_verdict(scene, verdicts):
    scene.hands.lives[KEY, "v2"] = (3,)
    scene.put(web(checked(canary_connections="drain")))
    verdicts["resets"] = "failed"
    one, turns = scene.one(), []
    advance = runtime.advance

    def watched(*args):
        progress, wishes = advance(*args)
        if progress.phase is Phase.ROLLING_BACK and not turns:
            asyncio.get_running_loop().call_soon(lambda: turns.append(list(scene.hands.did)))
        return progress, wishes

    runtime.advance = watched
    try:
        await until(lambda: turns)
    finally:
        runtime.advance = advance
    assert [did[0] for did in turns[0]][-2:] == ["carry", "end"]
    assert one.split.carried.weight == 0


async def test_a_rollback_waits_until_the_canary_has_no_connections(scene):
    scene.hands.lives[KEY, "v2"] = (3,)
    scene.put(web(plan(Step("pause"), canary_connections="kill", preview=None)))
    scene.rollouts.command(KEY, "abort")
    await asyncio.sleep(0.3)
    assert scene.phase() is Phase.ROLLING_BACK
    scene.hands.lives[KEY, "v2"] = (0,)
    await until(lambda: scene.phase() is Phase.ABORTED)


async def test_one_that_waits_for_a_person_owns_nothing(scene):
    scene.put(web(plan(**MANUAL)))
    assert scene.phase() is Phase.WAITING
    assert scene.rollouts.owner(KEY) is None
    scene.rollouts.command(KEY, "start")
    assert carried(scene) == [5]
    assert scene.rollouts.owner(KEY).startswith("the rollout from v1 to v2 is running (step 1 of 2")
    scene.rollouts.command(KEY, "abort")
    assert scene.rollouts.owner(KEY) is None
    assert scene.rollouts.owner(ListenerKey("acme", "other")) is None


async def test_a_preview_is_there_from_the_start_to_the_end(scene):
    scene.put(web(plan(Step("pause"), start="manual")))
    assert scene.hands.did == []
    scene.rollouts.command(KEY, "start")
    assert scene.hands.carried[KEY].preview == "auto"
    scene.rollouts.command(KEY, "promote")
    await until(lambda: scene.phase() is Phase.SUCCEEDED)
    assert scene.hands.carried[KEY] is None


async def test_rolling_back_after_success_restores_the_split(scene):
    scene.put(web(plan(preview=None)))
    scene.rollouts.command(KEY, "promote")
    await until(lambda: scene.phase() is Phase.SUCCEEDED)
    scene.rollouts.command(KEY, "rollback")
    assert scene.phase() is Phase.ROLLED_BACK
    assert scene.hands.declared(KEY) == SPLIT
    assert scene.hands.carried[KEY].weight == 0


async def test_a_canary_that_has_everything_has_succeeded(scene):
    scene.put(web(plan(), (SplitMember("v2", 1),)))
    assert scene.phase() is Phase.SUCCEEDED
    assert scene.hands.did == []


async def test_a_gate_holds_the_start_and_moves_nobody(scene):
    scene.judges.says["before_start"] = "closed"
    scene.put(web(plan(gates=Gates(before_start=GATE))))
    await until(lambda: "rollout_gate" in scene.said() and len(scene.judges.asked) > 1)
    assert carried(scene) == [None]
    scene.judges.says["before_start"] = "open"
    await until(lambda: scene.phase() is not Phase.WAITING)
    assert carried(scene)[:2] == [None, 5]


async def test_judges_outside_are_waited_for(scene):
    outside = Analysis(every_s=0.02, signals=(), outside=(OutsideCheck("qa", "webhook"),))
    scene.judges.says["qa"] = "failed"
    scene.put(web(plan(analysis=outside, preview=None)))
    await until(lambda: scene.phase() is Phase.ROLLED_BACK)
    assert scene.one().counts["qa", "failed"] == 2


# Following the declared state ---------------------------------------------------------


async def test_another_plan_begins_anew_without_a_detour(scene):
    scene.put(web(plan(Step("weight", 50, 60.0), preview=None)))
    scene.hands.did.clear()
    scene.put(web(plan(Step("weight", 10, 60.0), preview=None)))
    assert carried(scene) == [10]
    assert scene.said()[-3:] == ["rollout_aborted", "rollout_started", "rollout_step"]
    assert scene.hands.of("count") == [[KEY, ()], [KEY, ("v1", "v2")]]


async def test_another_plan_that_waits_lets_the_declared_split_be(scene):
    scene.put(web(plan(Step("weight", 50, 60.0), preview=None)))
    scene.put(web(plan(Step("weight", 10, 60.0), **MANUAL)))
    assert carried(scene) == [50, None]


async def test_counts_of_checks_go_on_with_another_plan(scene):
    scene.put(web(checked(Step("weight", 5, 60.0))))
    await until(lambda: scene.one().counts["resets", "passed"])
    scene.put(web(checked(Step("weight", 6, 60.0))))
    assert scene.one().counts["resets", "passed"] >= 1


async def test_a_plan_that_is_removed_gives_the_declared_split_back(scene):
    scene.put(web(plan(Step("weight", 50, 60.0))))
    scene.put(web(None))
    assert carried(scene) == [50, None]
    assert (scene.last().event, scene.last().reason) == ("rollout_aborted", "the plan was removed")
    with pytest.raises(NotFound):
        scene.view()
    scene.put(web(None, (SplitMember("v1", 1),)))


async def test_a_listener_that_goes_takes_its_rollout_with_it(scene):
    scene.put(web(plan(Step("weight", 50, 60.0), preview=None)))
    scene.hands.did.clear()
    scene.put(None)
    assert scene.hands.did == [("carry", KEY, None), ("count", KEY, ())]
    assert scene.last().reason == "the listener is gone"
    assert scene.rollouts.views() == []


async def test_one_that_has_ended_goes_without_a_word(scene):
    scene.put(web(plan(**MANUAL)))
    scene.put(web(None))
    assert scene.said() == []


async def test_other_changes_of_the_listener_are_nothing_to_it(scene):
    scene.put(web(plan(Step("weight", 50, 60.0), preview=None)))
    one, said = scene.one(), scene.said()
    scene.put(web(plan(Step("weight", 50, 60.0), preview=None)))
    assert scene.one() is one
    assert scene.said() == said


async def test_the_bug_of_one_does_not_keep_others_from_beginning(scene, monkeypatch):
    begin = runtime.begin

    def broken(spec, *args, **more):
        if spec.deadline_s == 1.0:
            raise ZeroDivisionError
        return begin(spec, *args, **more)

    monkeypatch.setattr(runtime, "begin", broken)
    scene.put(web(plan(deadline_s=1.0)))
    assert scene.last().event == "internal_error"
    assert scene.last().object == "listener/web"
    other = ListenerKey("acme", "api")
    scene.put(web(plan(), name="api"), other)
    assert scene.phase(other) is Phase.RUNNING


# Looking and commanding -----------------------------------------------------------------


async def test_they_are_shown_by_name_and_by_tenant(scene):
    other = ListenerKey("acme", "api")
    scene.put(web(plan(**MANUAL)))
    scene.put(web(plan(**MANUAL), name="api"), other)
    assert [view.key for view in scene.rollouts.views()] == [other, KEY]
    assert [view.key for view in scene.rollouts.views("acme")] == [other, KEY]
    assert scene.rollouts.views("globex") == []


async def test_snapshots_may_be_taken_by_another_thread_while_listeners_go(scene):
    other = ListenerKey("acme", "api")
    scene.put(web(plan(**MANUAL)))
    scene.put(web(plan(**MANUAL), name="api"), other)
    shown = scene.rollouts.snapshots()
    scene.put(web(plan(**MANUAL), name="new"), ListenerKey("acme", "new"))
    views = await asyncio.to_thread(list, shown)
    assert [view.key for view in views] == [KEY, other]


async def test_a_listener_without_a_rollout_has_none_to_command(scene):
    with pytest.raises(NotFound, match="listener acme/web has no rollout"):
        scene.rollouts.command(KEY, "start")


async def test_a_command_that_does_not_fit_is_refused(scene):
    scene.put(web(plan(**MANUAL)))
    with pytest.raises(Conflict):
        scene.rollouts.command(KEY, "resume")
    assert scene.phase() is Phase.WAITING


async def test_a_command_that_is_only_tried_changes_nothing(scene):
    scene.put(web(plan(**MANUAL)))
    before = scene.one().progress
    scene.rollouts.command(KEY, "start", dry_run=True)
    assert scene.one().progress is before
    assert (scene.hands.did, scene.said()) == ([], [])
    with pytest.raises(Conflict):
        scene.rollouts.command(KEY, "resume", dry_run=True)
