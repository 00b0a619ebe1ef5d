"""Rollbacks, pauses and the deadline: what each of them wishes, and which time counts."""

import pytest

from tenantproxy.model.lifecycle import IllegalMove
from tenantproxy.model.rollout import EndCanary, NewWindow, Phase, Say, SetPreview, SetWeight, due_s
from tenantproxy.model.rollout_turn import LONGEST_END_S, Turn
from tests.model.rollout_support import QA, RESETS, Play, playing, spec, weight

TWO = (weight(5), weight(50))


def bad(**others):
    """A rollout whose verdict has just come."""
    return playing(spec(*TWO, allowed=0, **others)).look(resets="failed")


def test_with_connections_kept_a_rollback_is_done_at_once():
    play = bad()
    assert play.phase is Phase.ROLLED_BACK
    assert play.deeds == [SetWeight(0, play.progress.cause), SetPreview(wanted=False)]
    assert play.events == ["rollout_check_failed", "rollout_rolling_back", "rollout_rolled_back"]
    assert [wish.level for wish in play.wishes if isinstance(wish, Say)] == [
        "warning",
        "error",
        "warning",
    ]
    assert play.progress.weight == 0
    assert play.progress.reason == play.progress.cause
    assert play.progress.ended_s == play.now_s


@pytest.mark.parametrize("how", ["drain", "kill"])
def test_else_it_lasts_until_the_canary_has_no_connections(how):
    play = bad(canary_connections=how)
    assert play.phase is Phase.ROLLING_BACK
    assert play.deeds == [SetWeight(0, play.progress.cause), EndCanary(how)]
    assert play.preview
    assert due_s(play.spec, play.progress) == play.now_s + LONGEST_END_S
    assert play.tell(canary_connections=1).phase is Phase.ROLLING_BACK
    assert play.tell().phase is Phase.ROLLING_BACK, "nobody has counted"
    assert play.tell(canary_connections=0).phase is Phase.ROLLED_BACK
    assert play.deeds == [SetPreview(wanted=False)]
    assert play.progress.ends_as is None


def test_a_rollback_does_not_wait_for_ever():
    play = bad(canary_connections="drain")
    play.tell(at_s=play.now_s + LONGEST_END_S - 1.0, canary_connections=1)
    assert play.phase is Phase.ROLLING_BACK
    assert play.wait(1.0).phase is Phase.ROLLED_BACK


def test_an_abort_ends_as_aborted_when_the_connections_have_ended():
    play = playing(spec(*TWO, canary_connections="drain")).command("abort")
    assert play.phase is Phase.ROLLING_BACK
    assert play.deeds[0] == SetWeight(0, "aborted by command in step 1 of 2: 5% for 1m")
    assert play.tell(canary_connections=0).phase is Phase.ABORTED
    assert play.events == ["rollout_aborted"]
    assert play.progress.cause == "aborted by command in step 1 of 2: 5% for 1m"


def test_a_promotion_counts_anew():
    play = playing(spec(weight(5))).look()
    assert play.deeds == [NewWindow(), SetWeight(100, "100% to v2: every step has passed")]


def test_no_progress_until_the_deadline_is_a_verdict():
    play = playing(spec(*TWO, allowed=9, deadline_s=150.0))
    play.look(resets="failed").look(resets="failed").look(resets="failed")
    assert due_s(play.spec, play.progress) == 1060.0 + 150.0
    play.wait(30.0)
    assert play.phase is Phase.ROLLED_BACK
    assert play.progress.cause == "no progress for 2m30s: waits for check resets to pass"


def test_within_the_hold_no_time_counts_for_the_deadline():
    play = playing(spec(weight(5, 600.0), weight(50), allowed=99, deadline_s=60.0))
    for _ in range(9):
        play.look(resets="failed")
    assert play.phase is Phase.RUNNING
    assert play.look().progress.step == 1


def test_a_judge_out_of_reach_until_the_deadline_pauses_and_never_fails_the_canary():
    play = playing(spec(*TWO, checks=(RESETS, QA), unreached=99, deadline_s=90.0))
    play.look(qa="inconclusive").look(qa="inconclusive").wait(30.0)
    assert play.phase is Phase.PAUSED
    assert play.progress.cause == "no progress for 1m30s: waits for an answer of check qa"
    play.command("resume")
    assert play.progress.stuck_s == 0.0
    assert play.look().progress.step == 1


def test_want_of_samples_does_not_count_for_the_deadline_but_what_is_beside_it_does():
    play = playing(spec(*TWO, allowed=9, deadline_s=90.0))
    play.look(resets="failed", first_byte_p99="no_data")
    assert play.progress.stuck_at_s == 1060.0
    play.look(first_byte_p99="no_data")
    assert (play.progress.stuck_s, play.progress.stuck_at_s) == (60.0, None)
    for _ in range(10):
        play.look(first_byte_p99="no_data")
    play.look(resets="failed")
    assert play.phase is Phase.RUNNING
    assert due_s(play.spec, play.progress) == play.now_s + 30.0
    assert play.wait(30.0).phase is Phase.ROLLED_BACK


def test_a_pause_does_not_count_for_the_deadline():
    play = playing(spec(*TWO, allowed=9, deadline_s=90.0))
    play.look(resets="failed").wait(50.0).command("pause")
    assert play.progress.stuck_s == 50.0
    play.wait(1000.0).command("resume")
    assert play.phase is Phase.RUNNING
    play.look(resets="failed")
    assert due_s(play.spec, play.progress) == play.now_s + 40.0


def test_the_deadline_begins_anew_with_each_step():
    play = playing(spec(weight(5), weight(25), weight(50), allowed=9, deadline_s=90.0))
    play.look(resets="failed").look()
    assert play.progress.step == 1
    assert (play.progress.stuck_s, play.progress.stuck_at_s) == (0.0, None)


def test_in_a_dry_run_the_deadline_is_said_and_the_step_passes():
    play = playing(spec(*TWO, allowed=9, deadline_s=90.0, dry_run=True))
    play.look(resets="failed").look(resets="failed").wait(30.0)
    assert play.progress.step == 1
    assert play.events == ["rollout_would_fail", "rollout_step"]
    assert play.wishes[-2].reason == "no progress for 1m30s: waits for check resets to pass"


def test_the_deadline_may_pause_instead_and_resuming_gives_a_new_one():
    play = playing(spec(*TWO, allowed=9, deadline_s=30.0, on_failure="pause"))
    play.look(resets="failed").wait(30.0)
    assert play.phase is Phase.PAUSED
    play.command("resume").look(resets="failed")
    assert play.phase is Phase.RUNNING
    assert play.wait(30.0).phase is Phase.PAUSED


def test_promoting_has_a_deadline_too():
    play = playing(spec(weight(50), allowed=9, deadline_s=90.0)).look()
    play.look(resets="failed").look(resets="failed").wait(30.0)
    assert play.phase is Phase.ROLLED_BACK
    assert play.weights == [50, 100, 0]


def test_a_move_that_the_table_lacks_is_a_bug_and_changes_nothing():
    play = Play(spec())
    turn = Turn(play.spec, play.progress, play.now_s)
    with pytest.raises(IllegalMove, match="rollout: waiting -> succeeded"):
        turn.enter(Phase.SUCCEEDED, "")
    assert turn.progress is play.progress
    assert turn.wishes == ()
