"""A rollout goes through its steps by the clock and by looks, and begins where the split is."""

from dataclasses import replace

import pytest

from tenantproxy.model.rollout import (
    NewWindow,
    Phase,
    Promote,
    Say,
    SetPreview,
    SetWeight,
    Signals,
    advance,
    begin,
    due_s,
)
from tenantproxy.model.rollout_spec import Step
from tests.model.rollout_support import (
    PAUSE,
    QA,
    RESETS,
    Play,
    experiment,
    gated,
    playing,
    spec,
    weight,
)

RISING = (weight(5), weight(25), weight(50))


@pytest.mark.parametrize(
    ("found", "step"),
    [(0, 0), (3, 0), (5, 0), (24, 0), (25, 1), (30, 1), (49, 1), (50, 2), (99, 2)],
)
def test_it_begins_at_the_last_weight_that_is_not_above_the_one_found(found, step):
    play = Play(spec(*RISING), found)
    assert play.progress.step == step
    assert play.progress.weight == found
    play.start()
    assert play.weights == [(5, 25, 50)[step]]


def test_of_steps_with_one_weight_it_begins_at_the_first():
    of = spec(weight(5), PAUSE, weight(25), PAUSE, weight(25, 600.0), weight(50))
    assert begin(of, 30, 0.0).step == 2


def test_an_experiment_is_true_of_every_split_below_the_first_weight():
    play = playing(spec(experiment(), weight(5)), found=3)
    assert play.weights == [0]
    assert play.progress.reason == "step 1 of 2: experiment for 1m"


def test_a_canary_that_has_everything_has_succeeded():
    play = Play(spec(), 100)
    assert play.phase is Phase.SUCCEEDED
    assert play.progress.reason == "v2 has everything"
    assert (play.progress.weight, play.progress.step) == (100, 4)
    assert due_s(play.spec, play.progress) is None
    assert play.tell().wishes == ()


def test_it_starts_at_once_when_it_starts_by_itself():
    play = Play(spec(*RISING))
    assert play.phase is Phase.WAITING
    assert play.progress.reason == "starts at once"
    assert due_s(play.spec, play.progress) == play.now_s
    play.tell()
    assert play.phase is Phase.RUNNING
    assert play.wishes == (
        SetPreview(wanted=True),
        NewWindow(),
        SetWeight(5, "step 1 of 3: 5% for 1m"),
        Say("rollout_started", "from v1 to v2"),
        Say("rollout_step", "step 1 of 3: 5% for 1m"),
    )


def test_it_waits_for_the_command_when_that_starts_it():
    play = Play(spec(start="manual"))
    assert play.progress.reason == "waits for `rollout start`"
    assert due_s(play.spec, play.progress) is None
    assert play.wait(86_400.0).phase is Phase.WAITING
    assert play.command("start").phase is Phase.RUNNING


def test_there_is_no_preview_if_none_is_asked_for():
    play = playing(spec(weight(5), checks=(), preview=None)).wait(60.0)
    assert play.phase is Phase.SUCCEEDED
    assert not any(isinstance(wish, SetPreview) for wish in play.all)


def test_a_good_canary_goes_through_every_step():
    play = playing(spec(*RISING))
    reasons = [play.progress.reason]
    while play.phase is not Phase.SUCCEEDED:
        reasons.append(play.look().progress.reason)
    assert play.weights == [5, 25, 50, 100]
    assert reasons == [
        "step 1 of 3: 5% for 1m",
        "step 2 of 3: 25% for 1m",
        "step 3 of 3: 50% for 1m",
        "100% to v2: every step has passed",
        "v2 has everything",
    ]
    assert play.wishes == (
        Promote(),
        SetPreview(wanted=False),
        Say("rollout_succeeded", "v2 has everything"),
    )
    assert play.progress.ended_s == play.now_s
    assert due_s(play.spec, play.progress) is None


def test_a_step_lasts_its_hold_however_many_looks_pass():
    play = playing(spec(weight(5, 150.0), weight(25)))
    play.look().look()
    assert play.progress.looks == 2
    assert due_s(play.spec, play.progress) == 1150.0
    assert play.wait(29.0).progress.step == 0
    assert play.wait(1.0).progress.step == 1
    assert play.progress.looks == 0
    assert play.progress.look_at_s == 1150.0 + 60.0


def test_a_step_without_hold_lasts_one_look():
    play = playing(spec(Step("weight", 5), weight(25)))
    assert play.progress.reason == "step 1 of 2: 5% for 1m"
    assert play.look().progress.step == 1


def test_a_look_that_is_due_when_the_hold_ends_is_waited_for():
    play = playing(spec(weight(5, 120.0), weight(25)))
    play.look().wait(60.0)
    assert play.progress.step == 0
    assert play.progress.waits_for == "a look at the canary"
    assert play.progress.reason == "step 1 of 2: 5% for 2m; waits for a look at the canary"
    assert due_s(play.spec, play.progress) is None
    assert play.look().progress.step == 1
    assert play.progress.waits_for == ""


def test_a_hold_shorter_than_the_time_between_looks_waits_for_the_first():
    play = playing(spec(weight(5, 10.0), weight(25), deadline_s=20.0))
    assert play.wait(59.0).progress.waits_for == "a look at the canary"
    assert play.look().progress.step == 1


def test_without_checks_the_hold_decides_alone():
    play = playing(spec(*RISING, checks=()))
    assert play.progress.look_at_s is None
    assert play.wait(59.0).weights == [5]
    assert play.wait(1.0).weights == [5, 25]
    assert play.wait(119.0).phase is Phase.RUNNING
    assert play.wait(1.0).phase is Phase.SUCCEEDED
    assert play.events == ["rollout_promoting", "rollout_succeeded"]
    assert play.weights == [5, 25, 50, 100]


def test_steps_that_hold_nothing_and_check_nothing_pass_in_one_turn():
    play = playing(spec(weight(5, 0.0), weight(25, 0.0), checks=()))
    assert play.weights == [5, 25, 100]
    assert play.phase is Phase.SUCCEEDED


def test_a_pause_step_keeps_the_weight_until_it_is_resumed():
    play = playing(spec(weight(5), PAUSE, weight(50)))
    play.look()
    assert play.phase is Phase.PAUSED
    assert play.progress.reason == "step 2 of 3: pause until resumed"
    assert play.progress.cause == ""
    assert play.wishes == (Say("rollout_paused", "step 2 of 3: pause until resumed"),)
    assert play.weights == [5]
    assert play.wait(864_000.0).phase is Phase.PAUSED
    play.command("resume")
    assert play.phase is Phase.RUNNING
    assert play.weights == [5, 50]
    assert play.events == ["rollout_resumed", "rollout_step"]
    assert play.progress.look_at_s == play.now_s + 60.0


def test_a_pause_before_the_first_weight_gives_the_canary_nothing():
    play = playing(spec(PAUSE, weight(5)), found=3)
    assert play.phase is Phase.PAUSED
    assert play.events == ["rollout_started", "rollout_paused"]
    assert play.weights == [0]
    assert play.command("resume").weights == [0, 5]


def test_a_pause_behind_the_last_weight_is_before_the_promotion():
    play = playing(spec(weight(5), PAUSE, checks=())).wait(60.0)
    assert play.phase is Phase.PAUSED
    assert play.command("resume").phase is Phase.SUCCEEDED
    assert play.weights == [5, 100]


def test_two_pauses_are_resumed_one_by_one():
    play = playing(spec(weight(5), PAUSE, PAUSE, weight(50))).look()
    assert play.command("resume").phase is Phase.PAUSED
    assert play.progress.step == 2
    assert play.command("resume").progress.step == 3


def test_every_change_is_said_once_with_its_reason():
    play = playing(spec())
    play.look().look().look().command("resume")
    play.look().look()
    says = [wish for wish in play.all if isinstance(wish, Say)]
    assert [(one.event, one.reason) for one in says] == [
        ("rollout_started", "from v1 to v2"),
        ("rollout_step", "step 1 of 4: 5% for 2m"),
        ("rollout_step", "step 2 of 4: 25% for 1m"),
        ("rollout_paused", "step 3 of 4: pause until resumed"),
        ("rollout_resumed", "step 3 of 4: pause"),
        ("rollout_step", "step 4 of 4: 50% for 1m"),
        ("rollout_promoting", "100% to v2: every step has passed"),
        ("rollout_succeeded", "v2 has everything"),
    ]
    assert {one.level for one in says} == {"info"}


def test_a_call_that_changes_nothing_gives_back_the_same_object():
    play = playing(spec())
    same, wishes = advance(play.spec, play.progress, Signals(), play.now_s + 30.0)
    assert same is play.progress
    assert wishes == ()


def test_what_a_turn_wishes_comes_before_what_it_says():
    play = playing(gated("after_end", steps=(weight(5),), checks=())).wait(60.0)
    kinds = [isinstance(wish, Say) for wish in play.wishes]
    assert kinds == sorted(kinds)


def test_a_call_that_comes_late_takes_the_times_as_they_were():
    play = playing(spec(weight(5), weight(25), checks=()))
    play.tell(at_s=play.now_s + 500.0)
    assert play.progress.step == 1
    assert play.progress.step_since_s == play.now_s


def test_a_dry_run_takes_its_steps_and_promotes():
    play = playing(spec(*RISING, dry_run=True))
    while play.phase is not Phase.SUCCEEDED:
        play.look(resets="failed")
    assert play.weights == [5, 25, 50, 100]
    assert all("resets" in reason for reason in play.said("rollout_would_fail"))
    assert len(play.said("rollout_would_fail")) == 4


def test_another_attempt_is_told_apart():
    assert begin(spec(), 0, 0.0, attempt=2).attempt == 2
    assert begin(spec(), 100, 0.0, attempt=2).attempt == 2


def test_promoting_looks_once_and_waits_while_the_last_look_failed():
    play = playing(spec(weight(50)))
    play.look()
    assert play.phase is Phase.PROMOTING
    assert play.weights == [50, 100]
    assert due_s(play.spec, play.progress) == play.now_s + 60.0
    play.look(resets="failed")
    assert play.phase is Phase.PROMOTING
    assert play.progress.reason == "100% to v2; waits for check resets to pass"
    assert play.look().phase is Phase.SUCCEEDED


def test_while_promoting_want_of_samples_keeps_nothing_back():
    for no_traffic in ("hold", "fail", "pass"):
        play = playing(spec(weight(50), no_traffic=no_traffic)).look()
        assert play.look(resets="no_data").phase is Phase.SUCCEEDED


def test_a_step_that_gives_the_canary_everything_does_not_wait_for_stable():
    for no_traffic in ("hold", "fail", "pass"):
        play = playing(spec(weight(100), no_traffic=no_traffic))
        assert play.look(resets="no_data").phase is Phase.PROMOTING


def test_while_promoting_a_verdict_rolls_back():
    play = playing(spec(weight(50))).look()
    play.look(resets="failed").look(resets="failed")
    assert play.phase is Phase.ROLLED_BACK
    assert play.weights == [50, 100, 0]
    assert play.progress.cause == "check resets failed 2 times: so it is (100% to v2)"


def test_a_judge_outside_counts_as_a_check():
    play = playing(spec(weight(5), checks=(QA,)))
    assert play.progress.look_at_s is not None
    assert play.wait(600.0).phase is Phase.RUNNING
    assert play.look().phase is Phase.PROMOTING


def test_a_finding_of_a_check_that_nobody_wrote_counts_like_any():
    play = playing(spec(weight(5), checks=(RESETS,), allowed=0))
    play.look(endpoints="failed")
    assert play.phase is Phase.ROLLED_BACK
    assert play.progress.cause.startswith("check endpoints failed: so it is")


def test_a_spec_is_not_touched():
    of = spec()
    kept = replace(of)
    playing(of).look()
    assert of == kept
