"""What findings do: failures are forgiven as often as is allowed, who could not judge is apart."""

from dataclasses import replace

import pytest

from tenantproxy.model.rollout import EndCanary, Phase, Say, SetWeight, due_s
from tests.model.rollout_support import (
    PAUSE,
    QA,
    RESETS,
    SLOW,
    Play,
    findings,
    gated,
    playing,
    spec,
    weight,
)

LONG = (weight(5, 600.0), weight(50))


def test_one_failure_is_forgiven_and_the_second_of_the_same_check_is_the_verdict():
    play = playing(spec(*LONG))
    play.look(resets="failed")
    assert play.phase is Phase.RUNNING
    assert play.wishes == (Say("rollout_check_failed", "check resets failed: so it is", "warning"),)
    play.look(first_byte_p99="failed").look()
    assert play.phase is Phase.RUNNING
    assert dict(play.progress.failures) == {"resets": 1, "first_byte_p99": 1}
    play.look(resets="failed")
    assert play.phase is Phase.ROLLED_BACK
    assert play.progress.cause == (
        "check resets failed 2 times: so it is (step 1 of 2: 5% for 10m)"
    )


def test_when_nothing_is_forgiven_the_first_failure_is_the_verdict():
    play = playing(spec(*LONG, allowed=0)).look(resets="failed", first_byte_p99="failed")
    assert play.phase is Phase.ROLLED_BACK
    assert play.progress.cause == (
        "check resets failed: so it is; check first_byte_p99 failed: so it is"
        " (step 1 of 2: 5% for 10m)"
    )


def test_failures_are_forgotten_at_the_next_step():
    play = playing(spec(weight(5), weight(25), weight(50)))
    play.look(resets="failed")
    assert play.progress.step == 0
    play.look()
    assert play.progress.step == 1
    assert play.progress.failures == ()
    assert play.look(resets="failed").phase is Phase.RUNNING


def test_a_step_does_not_end_on_a_look_that_failed():
    play = playing(spec(weight(5), weight(50)))
    play.look(resets="failed")
    assert play.progress.waits_for == "check resets to pass"
    assert play.progress.reason == "step 1 of 2: 5% for 1m; waits for check resets to pass"
    assert play.wait(59.0).progress.step == 0
    assert play.look().progress.step == 1


def test_a_step_does_not_end_before_all_that_failed_has_passed():
    play = playing(spec(weight(5), weight(50), allowed=2))
    play.look(resets="failed", first_byte_p99="failed")
    assert play.progress.waits_for == "checks resets, first_byte_p99 to pass"
    play.look(first_byte_p99="failed")
    assert play.progress.waits_for == "check first_byte_p99 to pass"
    assert play.look().progress.step == 1


@pytest.mark.parametrize("found", ["failed", "inconclusive", "no_data"])
def test_what_a_look_found_within_the_hold_is_outweighed_by_the_last_one(found):
    play = playing(spec(weight(5, 120.0), weight(50), no_traffic="fail"))
    assert play.look(resets=found).progress.waits_for == ""
    assert play.look().progress.step == 1


def test_a_check_that_runs_dry_only_says_what_it_would_have_done():
    of = spec(weight(5, 240.0), weight(50), checks=(replace(RESETS, dry_run=True), SLOW))
    play = playing(of)
    play.look(resets="failed")
    assert play.wishes == ()
    play.look(resets="failed")
    assert play.wishes == (
        Say("rollout_would_fail", "dry run: check resets failed 2 times: so it is", "warning"),
    )
    play.look(resets="failed")
    assert play.wishes == ()
    assert dict(play.progress.failures) == {"resets": 3}
    assert play.look(resets="failed").progress.step == 1


def test_a_check_that_runs_dry_holds_nothing_back_whatever_it_finds():
    for found in ("failed", "inconclusive", "no_data"):
        of = spec(weight(5), weight(50), checks=(replace(RESETS, dry_run=True), SLOW))
        assert playing(of).look(resets=found).progress.step == 1


def test_a_check_that_runs_dry_and_is_out_of_reach_is_told_once_and_never_pauses():
    of = spec(*LONG, checks=(replace(QA, dry_run=True),), unreached=1)
    play = playing(of)
    for _ in range(6):
        play.look(qa="inconclusive")
    assert play.phase is Phase.RUNNING
    assert len(play.said("rollout_inconclusive")) == 1


def test_a_judge_out_of_reach_pauses_when_it_is_so_once_more_than_allowed_in_a_row():
    play = playing(spec(*LONG, checks=(QA,), unreached=2))
    play.look(qa="inconclusive")
    assert play.wishes == (Say("rollout_inconclusive", "check qa: so it is", "warning"),)
    play.look(qa="inconclusive")
    assert play.phase is Phase.RUNNING
    play.look(qa="inconclusive")
    assert play.phase is Phase.PAUSED
    assert play.progress.cause == "check qa could not judge 3 times in a row: so it is"
    assert play.progress.reason == play.progress.cause
    assert play.events == ["rollout_inconclusive", "rollout_paused"]
    assert play.wishes[-1].level == "warning"
    assert play.weights == [5]


@pytest.mark.parametrize("between", ["passed", "failed", "no_data"])
def test_any_answer_in_between_begins_the_row_anew(between):
    play = playing(spec(*LONG, checks=(QA,), unreached=1))
    for found in ("inconclusive", between, "inconclusive"):
        play.look(qa=found)
    assert play.phase is Phase.RUNNING
    assert dict(play.progress.inconclusive) == {"qa": 1}


def test_a_row_goes_on_over_a_step():
    play = playing(spec(weight(5), weight(50), checks=(RESETS, QA), unreached=1, every_s=60.0))
    play.look(qa="inconclusive")
    assert play.progress.waits_for == "an answer of check qa"
    assert play.look(qa="inconclusive").phase is Phase.PAUSED


def test_resuming_begins_the_row_anew_and_looks_before_it_goes_on():
    play = playing(spec(weight(5), weight(50), checks=(QA,), unreached=0))
    play.look(qa="inconclusive")
    assert play.phase is Phase.PAUSED
    play.wait(500.0).command("resume")
    assert play.progress.inconclusive == ()
    assert play.progress.cause == ""
    assert play.progress.waits_for == "a look at the canary"
    assert play.progress.look_at_s == play.now_s + 60.0
    assert play.look().progress.step == 1


def test_a_verdict_comes_before_a_judge_out_of_reach():
    play = playing(spec(*LONG, checks=(RESETS, QA), unreached=0, allowed=0))
    play.look(resets="failed", qa="inconclusive")
    assert play.phase is Phase.ROLLED_BACK


def test_in_a_dry_run_a_judge_out_of_reach_pauses_all_the_same():
    play = playing(spec(*LONG, checks=(RESETS, QA), unreached=0, allowed=0, dry_run=True))
    play.look(resets="failed", qa="inconclusive")
    assert play.phase is Phase.PAUSED
    assert play.said("rollout_would_fail")


def test_with_too_few_samples_a_step_waits_for_them_by_default():
    play = playing(spec(weight(5), weight(50), deadline_s=60.0))
    play.look(resets="no_data", first_byte_p99="no_data")
    assert play.progress.waits_for == "samples of resets, first_byte_p99"
    for _ in range(100):
        play.look(resets="no_data")
    assert play.phase is Phase.RUNNING
    assert play.progress.waits_for == "samples of resets"
    assert play.progress.stuck_s == 0.0
    assert due_s(play.spec, play.progress) is None
    assert play.look().progress.step == 1


def test_with_too_few_samples_a_step_passes_if_that_is_asked_for():
    play = playing(spec(weight(5), weight(50), no_traffic="pass"))
    assert play.look(resets="no_data").progress.step == 1


def test_with_too_few_samples_at_the_end_of_its_hold_a_step_fails_if_that_is_asked_for():
    play = playing(spec(weight(5, 120.0), weight(50), no_traffic="fail"))
    play.look(resets="no_data")
    assert play.phase is Phase.RUNNING
    play.look(resets="no_data")
    assert play.phase is Phase.ROLLED_BACK
    assert play.progress.cause == "too few samples of resets (step 1 of 2: 5% for 2m)"


def test_in_a_dry_run_want_of_samples_is_said_once_and_the_step_passes():
    play = playing(gated("before_step", no_traffic="fail", dry_run=True))
    play.look().look(resets="no_data")
    assert play.events == ["rollout_would_fail"]
    assert play.progress.gate == "before_step"
    assert play.look(resets="no_data").wishes == ()
    assert play.answer().progress.step == 1


def test_in_a_dry_run_a_verdict_is_said_once_in_a_step_and_holds_nothing_back_any_more():
    play = playing(spec(weight(5, 180.0), weight(50), dry_run=True))
    play.look(resets="failed")
    assert play.events == ["rollout_check_failed"]
    play.look(resets="failed")
    assert play.events == ["rollout_check_failed", "rollout_would_fail"]
    assert play.progress.would_fail
    play.look(resets="failed", first_byte_p99="inconclusive")
    assert play.progress.step == 1
    assert not play.progress.would_fail


def test_a_verdict_gives_weight_0_before_any_other_deed():
    of = spec(*LONG, allowed=0, canary_connections="kill")
    play = playing(of).look(resets="failed")
    assert play.deeds == [SetWeight(0, play.progress.cause), EndCanary("kill")]
    assert play.events == ["rollout_check_failed", "rollout_rolling_back"]


def test_a_verdict_may_pause_instead_and_resuming_forgives():
    play = playing(spec(*LONG, on_failure="pause"))
    play.look(resets="failed").look(resets="failed")
    assert play.phase is Phase.PAUSED
    assert play.progress.cause.startswith("check resets failed 2 times")
    assert play.weights == [5]
    play.wait(100.0).command("resume")
    assert play.progress.failures == ()
    assert play.look(resets="failed").phase is Phase.RUNNING
    assert play.look(resets="failed").phase is Phase.PAUSED


def test_after_a_pause_for_want_of_samples_a_new_look_decides():
    play = playing(spec(weight(5), weight(50), no_traffic="fail", on_failure="pause"))
    assert play.look(resets="no_data").phase is Phase.PAUSED
    assert play.command("resume").phase is Phase.RUNNING
    assert play.look().progress.step == 1


def test_a_look_before_its_time_changes_nothing():
    play = playing(spec(*LONG, allowed=0))
    before = play.progress
    play.tell(at_s=play.now_s + 59.9, look=findings(play.spec, resets="failed"))
    assert play.progress is before
    assert play.wishes == ()


def test_a_look_of_the_step_before_changes_nothing():
    play = playing(spec(weight(5), weight(50), allowed=0)).look()
    before = play.progress
    play.tell(look=findings(play.spec, resets="failed"))
    assert play.progress is before


@pytest.mark.parametrize("to", ["paused", "ended", "waiting", "pause step"])
def test_a_look_when_nobody_looks_changes_nothing(to):
    of = spec(weight(5), PAUSE, weight(50), allowed=0, start="manual")
    play = Play(of)
    if to != "waiting":
        play.start()
    if to == "paused":
        play.command("pause")
    elif to == "ended":
        play.command("abort")
    elif to == "pause step":
        play.look()
    before = play.progress
    play.tell(at_s=play.now_s + 1000.0, look=findings(of, resets="failed"))
    assert play.progress is before


def test_looks_keep_their_times_but_are_never_made_up_for():
    play = playing(spec(*LONG))
    play.tell(at_s=1075.0, look=findings(play.spec))
    assert play.progress.look_at_s == 1120.0
    play.tell(at_s=1300.0, look=findings(play.spec))
    assert play.progress.look_at_s == 1360.0
    assert play.progress.looks == 2


def test_a_reason_that_begins_with_the_name_of_its_check_says_it_once():
    play = playing(spec(*LONG)).look(resets="failed")
    assert play.said("rollout_check_failed") == ["check resets failed: so it is"]
