"""Commands fit a phase or are refused with a way out; none of them jumps a move of the table."""

import re
from typing import get_args

import pytest

from tenantproxy.errors import Conflict
from tenantproxy.model.rollout import (
    EndCanary,
    NewWindow,
    Phase,
    Restore,
    Say,
    SetPreview,
    SetWeight,
    due_s,
)
from tenantproxy.model.rollout_commands import POSSIBLE
from tenantproxy.model.rollout_phases import MOVES, Command
from tests.model.rollout_support import PAUSE, Play, gated, playing, spec, weight

TWO = (weight(5), weight(50))
COMMANDS = get_args(Command)


def at(phase):
    """A rollout that came into this phase in the shortest way."""
    of = spec(*TWO, start="manual", canary_connections="drain")
    if phase is Phase.FAILED:
        of = gated("before_start", steps=TWO, deadline_s=0.0)
        return playing(of).answer("closed")
    play = Play(of)
    if phase is Phase.WAITING:
        return play
    play.start()
    if phase is Phase.PAUSED:
        play.command("pause")
    elif phase is Phase.PROMOTING:
        play.command("promote")
    elif phase is Phase.SUCCEEDED:
        play.command("promote").look()
    elif phase in {Phase.ROLLING_BACK, Phase.ABORTED}:
        play.command("abort")
    elif phase is Phase.ROLLED_BACK:
        play.look(resets="failed").look(resets="failed")
    if phase in {Phase.ABORTED, Phase.ROLLED_BACK}:
        play.tell(canary_connections=0)
    return play


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_a_move_of_the_table_or_is_refused(phase, command):
    play = at(phase)
    assert play.phase is phase
    before = play.progress
    if command in POSSIBLE[phase]:
        play.command(command)
        after = play.phase
        assert after in MOVES[phase] or any(after in MOVES[over] for over in MOVES[phase])
        assert play.events
    else:
        with pytest.raises(Conflict) as refused:
            play.command(command)
        assert play.progress is before
        assert phase.replace("_", " ") in str(refused.value) or "succeeded" in str(refused.value)
        assert refused.value.hint


@pytest.mark.parametrize(
    ("phase", "command", "text", "hint"),
    [
        (Phase.RUNNING, "resume", "is running and cannot be resumed", "pause, promote, abort"),
        (Phase.PAUSED, "pause", "is paused and cannot be paused", "resume, promote, abort"),
        (Phase.WAITING, "promote", "is waiting and cannot be promoted", "start, abort"),
        (Phase.SUCCEEDED, "start", "has succeeded and cannot be started", "rollback goes back"),
        (Phase.ROLLING_BACK, "abort", "is rolling back and cannot be aborted", "start it again"),
        (Phase.ABORTED, "rollback", "is aborted and cannot be rolled back", "possible now: start"),
    ],
)
def test_a_refusal_says_what_it_is_and_what_can_be_done(phase, command, text, hint):
    with pytest.raises(Conflict, match=text) as refused:
        at(phase).command(command)
    assert hint in refused.value.hint


def test_a_pause_keeps_the_weight_and_nobody_looks():
    play = playing(spec(weight(25, 120.0), weight(50)))
    play.wait(50.0).command("pause")
    assert play.progress.reason == "paused by command in step 1 of 2: 25% for 2m"
    assert play.progress.cause == ""
    assert play.wishes == (Say("rollout_paused", play.progress.reason),)
    assert play.progress.look_at_s is None
    assert due_s(play.spec, play.progress) is None
    assert play.weights == [25]


def test_resuming_goes_on_with_the_hold_where_it_was():
    play = playing(spec(weight(25, 120.0), weight(50), checks=()))
    play.wait(50.0).command("pause").wait(5000.0).command("resume")
    assert play.progress.reason == "step 1 of 2: 25% for 2m"
    assert due_s(play.spec, play.progress) == play.now_s + 70.0
    assert play.wait(69.0).progress.step == 0
    assert play.wait(1.0).progress.step == 1


def test_what_failed_before_a_pause_is_not_forgiven_by_resuming():
    play = playing(spec(weight(25, 600.0), weight(50)))
    play.look(resets="failed").command("pause").command("resume")
    assert play.progress.look_at_s == play.now_s + 60.0
    assert play.look(resets="failed").phase is Phase.ROLLED_BACK


def test_what_happened_in_a_pause_is_looked_at_before_the_next_step():
    play = playing(spec(weight(25, 90.0), weight(50)))
    play.look().command("pause").wait(1000.0).command("resume").wait(30.0)
    assert play.progress.step == 0
    assert play.progress.waits_for == "a look at the canary"
    assert play.look().progress.step == 1


def test_promoting_leaves_out_gates_and_steps():
    play = playing(gated("before_step", "before_promotion"))
    play.command("promote")
    assert play.phase is Phase.PROMOTING
    assert play.deeds == [NewWindow(), SetWeight(100, "100% to v2: promoted by command")]
    assert play.progress.step == 4


def test_a_pause_step_and_a_paused_promotion_can_be_promoted():
    play = playing(spec(weight(5), PAUSE, weight(50))).look()
    assert play.command("promote").phase is Phase.PROMOTING
    assert play.command("pause").phase is Phase.PAUSED
    assert play.progress.reason == "paused by command in 100% to v2"
    play.command("resume")
    assert play.phase is Phase.PROMOTING
    assert play.weights == [5, 100]
    assert play.look().phase is Phase.SUCCEEDED


def test_promoting_what_was_paused_for_a_cause_forgets_the_cause():
    play = playing(spec(*TWO, unreached=0)).look(resets="inconclusive")
    assert play.command("promote").progress.cause == ""
    assert play.progress.inconclusive == ()


def test_what_waits_is_aborted_without_moving_anything():
    play = Play(spec(start="manual")).command("abort")
    assert play.phase is Phase.ABORTED
    assert play.weights == []
    assert play.progress.cause == "aborted by command before it started"
    assert play.events == ["rollout_aborted"]


def test_what_asks_the_gate_of_its_start_is_aborted_as_if_it_were_running():
    play = playing(gated("before_start")).command("abort")
    assert play.phase is Phase.ABORTED
    assert play.weights == [0]
    assert not play.preview


def test_what_was_started_and_waits_for_its_gate_is_not_started_twice():
    play = playing(gated("before_start", start="manual"))
    with pytest.raises(Conflict, match="waits for gate before_start") as refused:
        play.command("start")
    assert "abort" in refused.value.hint


@pytest.mark.parametrize("phase", [Phase.ROLLED_BACK, Phase.ABORTED])
def test_what_ended_without_success_starts_from_the_beginning(phase):
    play = at(phase)
    play.all.clear()
    play.command("start")
    assert play.phase is Phase.RUNNING
    assert play.progress.attempt == 1
    assert (play.progress.cause, play.progress.ended_s, play.progress.failures) == ("", None, ())
    assert play.weights == [5]
    assert play.preview
    assert play.said("rollout_started") == ["from v1 to v2, attempt 2"]


def test_what_failed_to_start_starts_where_the_split_is():
    of = gated("before_start", steps=TWO, deadline_s=0.0)
    play = Play(of, found=50).start().answer("closed")
    assert play.phase is Phase.FAILED
    play.command("start")
    assert play.phase is Phase.WAITING
    assert play.answer("open").weights == [50]


def test_what_starts_again_gives_no_more_than_the_first_step():
    play = playing(spec(*TWO)).look().command("abort").command("start")
    assert play.weights == [5, 50, 0, 5]


def test_a_rollback_after_success_gives_weight_0_and_restores():
    play = at(Phase.SUCCEEDED)
    play.wait(3600.0).command("rollback")
    assert play.phase is Phase.ROLLING_BACK
    cause = "rolled back by command 1h after success"
    assert play.deeds == [SetWeight(0, cause), Restore(), EndCanary("drain")]
    assert play.wishes[-1] == Say("rollout_rolling_back", cause, "warning")
    assert play.tell(canary_connections=0).phase is Phase.ROLLED_BACK
    assert play.progress.cause == cause


def test_a_rollback_with_connections_kept_is_done_at_once():
    play = playing(spec(*TWO)).command("promote").look().command("rollback")
    assert play.phase is Phase.ROLLED_BACK
    assert play.deeds == [
        SetWeight(0, play.progress.cause),
        Restore(),
        SetPreview(wanted=False),
    ]


def test_a_rollback_after_its_window_is_refused():
    play = at(Phase.SUCCEEDED).wait(3600.5)
    with pytest.raises(Conflict, match="succeeded 1h ago and could be rolled back for 1h"):
        play.command("rollback")
    assert play.phase is Phase.SUCCEEDED


def test_what_found_the_canary_with_everything_has_nothing_to_go_back_to():
    play = Play(spec(), 100)
    with pytest.raises(Conflict, match=re.escape("found v2 with everything")):
        play.command("rollback")
