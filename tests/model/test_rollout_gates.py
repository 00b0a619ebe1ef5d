"""Gates: nothing goes on before they open, and who cannot be reached has not said no."""

import pytest

from tenantproxy.model.findings import GateAnswer
from tenantproxy.model.rollout import AskGate, Phase, Say, SetPreview, SetWeight, due_s
from tests.model.rollout_support import PAUSE, Play, experiment, gated, playing, spec, weight

TWO = (weight(5), weight(50))


def test_a_gate_before_the_start_is_asked_before_anything_is_moved():
    play = playing(gated("before_start"))
    assert play.phase is Phase.WAITING
    assert play.deeds == [SetPreview(wanted=True), AskGate("before_start")]
    assert play.events == ["rollout_gate"]
    assert play.progress.reason == "to be started; waits for gate before_start"
    assert due_s(play.spec, play.progress) is None
    play.answer("open")
    assert play.phase is Phase.RUNNING
    assert play.weights == [5]
    assert play.events == ["rollout_gate", "rollout_started", "rollout_step"]


def test_a_gate_that_says_no_is_asked_again_and_told_once():
    play = playing(gated("before_start"))
    play.answer("closed", reason="not on a friday")
    assert play.wishes == (
        Say("rollout_gate", "gate before_start: closed: not on a friday", "warning"),
    )
    assert play.progress.waits_for == "gate before_start: closed: not on a friday"
    assert play.weights == []
    assert due_s(play.spec, play.progress) == play.now_s + 60.0
    assert play.wait(60.0).wishes == (AskGate("before_start"),)
    assert play.answer("closed", reason="not on a friday").wishes == ()
    play.wait(60.0).answer("closed", reason="nor today")
    assert play.events == ["rollout_gate"]
    assert play.wait(60.0).answer().phase is Phase.RUNNING


def test_a_gate_that_says_no_until_the_deadline_fails_what_has_not_started():
    play = playing(gated("before_start", "after_end", deadline_s=150.0))
    play.answer("closed").wait(60.0).answer("closed").wait(60.0).answer("closed")
    assert due_s(play.spec, play.progress) == 1150.0
    play.wait(30.0)
    assert play.phase is Phase.FAILED
    assert play.progress.cause == (
        "no progress for 2m30s: waits for gate before_start: closed: because"
    )
    assert play.progress.ended_s == play.now_s
    assert play.deeds == [SetPreview(wanted=False), AskGate("after_end")]
    assert play.wishes[-1].level == "error"
    assert play.weights == []


def test_an_answer_that_is_on_its_way_is_waited_for_beyond_the_deadline():
    play = playing(gated("before_start", deadline_s=30.0))
    assert play.wait(100.0).phase is Phase.WAITING
    assert play.answer("open").phase is Phase.RUNNING
    play = playing(gated("before_start", deadline_s=30.0)).wait(100.0)
    assert play.answer("closed").phase is Phase.FAILED


@pytest.mark.parametrize(
    ("steps", "gate"), [(TWO, "before_step"), ((weight(5),), "before_promotion")]
)
def test_a_gate_behind_a_step_is_asked_when_all_else_is_as_it_should_be(steps, gate):
    play = playing(gated("before_step", "before_promotion", steps=steps))
    play.look(resets="failed")
    assert play.progress.gate is None
    play.look()
    assert play.deeds == [AskGate(gate)]
    assert play.phase is Phase.RUNNING
    assert play.weights == [5]
    assert play.progress.reason == f"step 1 of {len(steps)}: 5% for 1m; waits for gate {gate}"
    play.answer()
    assert play.weights == [5, 100 if gate == "before_promotion" else 50]


def test_no_gate_is_asked_before_the_first_step_unless_it_is_that_of_the_start():
    assert playing(gated("before_step", "before_promotion")).weights == [5]


def test_a_gate_is_asked_behind_a_pause_and_behind_an_experiment():
    play = playing(gated("before_step", steps=(experiment(), PAUSE, weight(5)), checks=()))
    play.wait(60.0)
    assert play.progress.gate == "before_step"
    assert play.answer().phase is Phase.PAUSED
    play.command("resume")
    assert play.phase is Phase.RUNNING
    assert play.progress.reason == "step 2 of 3: pause; waits for gate before_step"
    assert play.answer().weights == [0, 5]


def test_looks_go_on_while_a_gate_is_asked_and_a_failure_withdraws_the_question():
    play = playing(gated("before_step", steps=TWO)).look()
    assert play.progress.gate == "before_step"
    play.look()
    assert play.progress.gate == "before_step"
    assert play.wishes == ()
    play.look(resets="failed")
    assert play.progress.gate is None
    assert play.progress.waits_for == "check resets to pass"
    before = play.progress
    assert play.answer("open", "before_step").progress is before
    assert play.look().deeds == [AskGate("before_step")]
    assert play.look(resets="failed").phase is Phase.ROLLED_BACK


def test_a_look_that_is_due_does_not_withdraw_the_question():
    play = playing(gated("before_step", steps=TWO)).look().wait(90.0)
    assert play.progress.gate == "before_step"
    assert play.wishes == ()
    assert play.answer().progress.step == 1


def test_a_promotion_that_was_let_through_is_not_asked_for_again():
    play = playing(gated("before_promotion", steps=(weight(5),))).look().answer()
    assert play.phase is Phase.PROMOTING
    assert play.look().phase is Phase.SUCCEEDED


def test_a_gate_that_says_no_until_the_deadline_is_a_verdict_on_a_step():
    play = playing(gated("before_step", steps=TWO, checks=(), deadline_s=90.0)).wait(60.0)
    play.answer("closed").wait(60.0).answer("closed").wait(30.0)
    assert play.phase is Phase.ROLLED_BACK
    assert play.weights == [5, 0]
    assert "waits for gate before_step: closed" in play.progress.cause


def test_in_a_dry_run_a_gate_that_stays_closed_is_told_at_the_deadline_and_stays_closed():
    play = playing(gated("before_step", steps=TWO, checks=(), deadline_s=90.0, dry_run=True))
    play.wait(60.0).answer("closed").wait(60.0).answer("closed").wait(30.0)
    assert play.events == ["rollout_would_fail"]
    assert play.phase is Phase.RUNNING
    assert play.wait(30.0).wishes == (AskGate("before_step"),)
    assert play.answer("closed").wishes == ()
    assert play.wait(60.0).answer("open").progress.step == 1


def test_in_a_dry_run_a_gate_before_the_start_stays_closed_too():
    play = playing(gated("before_start", deadline_s=30.0, dry_run=True))
    play.answer("closed").wait(60.0)
    assert play.phase is Phase.WAITING
    assert play.events == ["rollout_would_fail"]
    assert play.answer("open").phase is Phase.RUNNING


def test_a_gate_out_of_reach_pauses_when_it_is_so_once_more_than_allowed_in_a_row():
    play = playing(gated("before_step", steps=TWO, checks=(), unreached=1)).wait(60.0)
    play.answer("unreachable")
    assert play.wishes == (
        Say("rollout_inconclusive", "gate before_step: out of reach: because", "warning"),
    )
    assert play.progress.waits_for == "gate before_step: out of reach: because"
    play.wait(60.0).answer("unreachable")
    assert play.phase is Phase.PAUSED
    assert play.progress.cause == "gate before_step was out of reach 2 times in a row: because"
    assert play.weights == [5]
    play.command("resume")
    assert play.deeds == [AskGate("before_step")]
    assert play.answer("unreachable").phase is Phase.RUNNING
    assert play.wait(60.0).answer("open").progress.step == 1


def test_a_no_in_between_begins_the_row_anew():
    play = playing(gated("before_step", steps=TWO, checks=(), unreached=1)).wait(60.0)
    for answer in ("unreachable", "closed", "unreachable"):
        play.answer(answer).wait(60.0)
    assert play.phase is Phase.RUNNING
    assert dict(play.progress.inconclusive) == {"gate before_step": 1}


@pytest.mark.parametrize("gate", ["before_start", "before_step"])
def test_a_gate_out_of_reach_until_the_deadline_pauses_and_never_fails_the_canary(gate):
    play = playing(gated(gate, steps=TWO, checks=(), deadline_s=90.0))
    if gate == "before_step":
        play.wait(60.0)
    play.answer("unreachable").wait(60.0).answer("unreachable").wait(30.0)
    assert play.phase is Phase.PAUSED
    assert "no progress for 1m30s: waits for gate" in play.progress.cause


def test_what_was_paused_before_its_start_asks_again_when_it_is_resumed():
    play = playing(gated("before_start", unreached=0))
    play.answer("unreachable")
    assert play.phase is Phase.PAUSED
    assert play.preview
    assert due_s(play.spec, play.progress) is None
    before = play.progress
    assert play.answer("open", "before_start").progress is before
    play.wait(1000.0).command("resume")
    assert play.phase is Phase.WAITING
    assert play.wishes == (
        AskGate("before_start"),
        Say("rollout_resumed", "to be started; waits for gate before_start"),
    )
    assert play.answer("open").weights == [5]


def test_an_answer_of_a_gate_that_is_not_asked_changes_nothing():
    play = playing(gated("before_step", "before_promotion", steps=TWO, checks=()))
    for gate in ("before_start", "before_step", "before_promotion", "after_end"):
        before = play.progress
        assert play.tell(gate=GateAnswer(gate, "open", "late")).progress is before
    play.wait(60.0).answer("closed")
    before = play.progress
    assert play.answer("open").progress is before, "it has answered this question before"


@pytest.mark.parametrize("command", ["pause", "promote", "abort"])
def test_a_command_withdraws_the_question(command):
    play = playing(gated("before_step", steps=TWO, checks=())).wait(60.0)
    play.command(command)
    before = play.progress
    assert play.answer("open", "before_step").progress is before


def ended(how, **others):
    """A rollout that came to this end, and whose gate is told of it."""
    of = gated("after_end", steps=TWO, **others)
    if how is Phase.FAILED:
        of = gated("before_start", "after_end", steps=TWO, deadline_s=0.0)
    play = playing(of)
    if how is Phase.SUCCEEDED:
        play.look().look().look()
    elif how is Phase.ROLLED_BACK:
        play.look(resets="failed").look(resets="failed")
    elif how is Phase.ABORTED:
        play.command("abort")
    else:
        play.answer("closed")
    assert play.phase is how
    return play


ENDS = [Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.ABORTED, Phase.FAILED]


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("answer", ["open", "closed"])
def test_a_gate_is_told_of_every_end_and_decides_nothing(how, answer):
    play = ended(how)
    assert AskGate("after_end") in play.deeds
    play.answer(answer)
    assert play.phase is how
    assert play.wishes == (Say("rollout_gate", f"gate after_end: {answer}: because"),)
    assert due_s(play.spec, play.progress) is None


@pytest.mark.parametrize("how", ENDS)
def test_a_gate_that_cannot_be_told_of_the_end_is_asked_three_times_more(how):
    play = ended(how)
    for _ in range(3):
        play.answer("unreachable")
        assert due_s(play.spec, play.progress) == play.now_s + 60.0
        assert play.wait(60.0).wishes == (AskGate("after_end"),)
    play.answer("unreachable")
    assert due_s(play.spec, play.progress) is None
    assert play.phase is how
    assert play.wait(1000.0).wishes == ()


def test_who_starts_again_waits_for_nobody_who_is_told_of_the_end():
    play = ended(Phase.ABORTED)
    play.command("start")
    assert play.phase is Phase.RUNNING
    before = play.progress
    assert play.answer("closed", "after_end").progress is before


def test_there_is_no_gate_where_none_is_written():
    play = playing(spec(*TWO, checks=())).wait(120.0)
    assert play.phase is Phase.SUCCEEDED
    assert not any(isinstance(wish, AskGate) for wish in play.all)
    assert Play(spec()).progress.gate is None


def test_a_failed_start_has_wished_for_no_weight():
    play = ended(Phase.FAILED)
    assert not any(isinstance(wish, SetWeight) for wish in play.all)
    assert not play.preview
