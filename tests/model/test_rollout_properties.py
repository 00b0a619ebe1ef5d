"""Whatever comes in: no weight above the step's, no move that the table lacks, and an end."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import get_args

from hypothesis import event, given, settings
from hypothesis import strategies as st

from tenantproxy.errors import Conflict
from tenantproxy.model.findings import RESULTS, Finding, GateAnswer
from tenantproxy.model.rollout import (
    ENDED,
    JUDGED,
    ON_ITS_WAY,
    Phase,
    Say,
    SetWeight,
    Signals,
    advance,
    begin,
    due_s,
)
from tenantproxy.model.rollout_phases import Command
from tenantproxy.model.rollout_spec import Analysis, Gates, RolloutSpec, Step
from tests.model.rollout_support import GATE, QA, RESETS, SLOW, Play, findings

holds = st.sampled_from([None, 0.0, 5.0, 60.0, 90.0])
weights = st.lists(st.integers(1, 100), min_size=1, max_size=4, unique=True).map(sorted)


@st.composite
def plans(draw):
    """Steps with rising weights, pauses anywhere, experiments before the first weight."""
    steps = [Step("experiment", 0, draw(holds)) for _ in range(draw(st.integers(0, 1)))]
    for one in draw(weights):
        steps += [Step("pause")] * draw(st.sampled_from([0, 0, 1]))
        steps.append(Step("weight", one, draw(holds)))
    return (*steps, *[Step("pause")] * draw(st.sampled_from([0, 0, 1])))


analyses = st.builds(
    Analysis,
    every_s=st.sampled_from([10.0, 60.0]),
    failures_allowed=st.integers(0, 2),
    inconclusive_allowed=st.integers(0, 2),
    signals=st.sampled_from([(), (RESETS,), (RESETS, replace(SLOW, dry_run=True))]),
    outside=st.sampled_from([(), (QA,)]),
)
gate = st.sampled_from([None, GATE])
specs = st.builds(
    RolloutSpec,
    st.just("v1"),
    st.just("v2"),
    plans(),
    start=st.sampled_from(["auto", "manual"]),
    preview=st.sampled_from(["auto", None]),
    analysis=analyses,
    gates=st.builds(Gates, gate, gate, gate, gate),
    no_traffic=st.sampled_from(["pass", "hold", "fail"]),
    on_failure=st.sampled_from(["rollback", "pause"]),
    canary_connections=st.sampled_from(["keep", "drain", "kill"]),
    deadline_s=st.sampled_from([0.0, 45.0, 600.0]),
    rollback_window_s=st.sampled_from([0.0, 3600.0]),
    dry_run=st.booleans(),
)

results = st.sampled_from(RESULTS)
looks = st.fixed_dictionaries({"resets": results, "first_byte_p99": results, "qa": results})
answers = st.builds(
    GateAnswer,
    st.sampled_from(["before_start", "before_step", "before_promotion", "after_end"]),
    st.sampled_from(["open", "open", "closed", "unreachable"]),
    st.just("because"),
)
happenings = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([0.0, 1.0, 30.0, 60.0, 1000.0])),
    st.tuples(st.just("due"), st.none()),
    st.tuples(st.just("look"), looks),
    st.tuples(st.just("answer"), st.sampled_from(["open", "open", "closed", "unreachable"])),
    st.tuples(st.just("gate"), answers),
    st.tuples(st.just("command"), st.sampled_from(get_args(Command))),
    st.tuples(st.just("connections"), st.integers(0, 1)),
)
stories = st.lists(happenings, max_size=40)

SAID = {
    Phase.WAITING: {"rollout_resumed", "rollout_gate"},
    Phase.RUNNING: {"rollout_started", "rollout_resumed"},
    Phase.PAUSED: {"rollout_paused"},
    Phase.PROMOTING: {"rollout_promoting"},
    Phase.SUCCEEDED: {"rollout_succeeded"},
    Phase.ROLLING_BACK: {"rollout_rolling_back"},
    Phase.ROLLED_BACK: {"rollout_rolled_back"},
    Phase.FAILED: {"rollout_failed"},
    Phase.ABORTED: {"rollout_aborted"},
}


def happens(play: Play, what, arg) -> None:
    """Let one thing happen to a rollout, in time or not, fitting or not."""
    progress = play.progress
    if what == "wait":
        play.tell(at_s=play.now_s + arg)
    elif what == "due":
        at_s = due_s(play.spec, progress)
        if at_s is not None:
            play.tell(at_s=max(at_s, play.now_s))
            assert play.progress is not progress or play.wishes, "it was due for nothing"
    elif what == "look":
        at_s = progress.look_at_s or play.now_s
        wanted = {check.name for check in play.spec.analysis.checks}
        of = {name: result for name, result in arg.items() if name in wanted}
        play.tell(at_s=max(at_s, play.now_s), look=findings(play.spec, **of))
    elif what == "answer" and progress.gate is not None:
        play.answer(arg)
    elif what == "gate":
        play.tell(gate=arg)
    elif what == "connections":
        play.tell(canary_connections=arg)
    elif what == "command":
        try:
            play.command(arg)
        except Conflict as refused:
            assert refused.hint
            play.wishes = ()


@given(specs, st.integers(0, 99), stories)
@settings(max_examples=400)
def test_weight_and_preview_and_events_fit_the_phase_whatever_happens(of, found, story):
    play = Play(of, found)
    for what, arg in story:
        before = play.progress
        play.wishes = ()
        happens(play, what, arg)
        now = play.progress
        wished = [wish.weight for wish in play.wishes if isinstance(wish, SetWeight)]
        said = {wish.event for wish in play.wishes if isinstance(wish, Say)}

        assert now.weight == (wished[-1] if wished else before.weight)
        assert all(was <= to for was, to in pairwise(wished))
        if now.phase in {Phase.RUNNING, Phase.PAUSED} and now.gate != "before_start":
            assert now.weight == of.weight_of(now.step)
            assert now.weight == 100 or now.step < len(of.steps)
        if now.phase in {Phase.PROMOTING, Phase.SUCCEEDED}:
            assert now.weight == 100
        if now.phase in {Phase.ROLLING_BACK, Phase.ROLLED_BACK}:
            assert now.weight == 0
        if before.phase in {Phase.ROLLING_BACK, Phase.ROLLED_BACK} and now.weight > 0:
            assert now.attempt > before.attempt
        if before.phase is not Phase.ROLLING_BACK and now.phase is Phase.ROLLING_BACK:
            assert isinstance(play.wishes[0], SetWeight)

        assert not (now.phase in ENDED and play.preview)
        if now.phase in ON_ITS_WAY and of.preview is not None:
            assert play.preview
        if now.phase is not before.phase:
            assert said & SAID[now.phase]
        if now.step != before.step and now.phase is Phase.RUNNING:
            assert "rollout_step" in said
        assert now.reason
        assert (now.look_at_s is not None) <= (now.phase in JUDGED)
        assert now.stuck_s >= 0.0


@given(specs, st.integers(0, 99), stories)
@settings(max_examples=200)
def test_before_it_is_due_a_timer_changes_nothing(of, found, story):
    play = Play(of, found)
    for what, arg in story:
        happens(play, what, arg)
    at_s = due_s(of, play.progress)
    if at_s is None:
        early_s = play.now_s + 1e6
    else:
        early_s = play.now_s + (at_s - play.now_s) / 2
        if early_s >= at_s:
            return
    # A look that is due is waited for: until then nothing changes.
    if play.progress.look_at_s is not None:
        early_s = min(early_s, play.progress.look_at_s - 0.001)
    if early_s >= play.now_s:
        assert advance(of, play.progress, Signals(), early_s) == (play.progress, ())
        assert advance(of, play.progress, Signals(), early_s)[0] is play.progress


@given(specs, st.integers(0, 99), stories)
@settings(max_examples=200)
def test_one_that_begins_again_never_gives_more_than_the_step_it_was_in(of, found, story):
    """The split found is the declared one, or one that a rollout has promoted."""
    play = Play(of, found)
    again = replace(of, start="auto", gates=Gates())
    for what, arg in story:
        killed = play.progress
        if killed.attempt:
            return  # what was rolled back before is not known any more
        if killed.phase is Phase.SUCCEEDED:
            assert begin(again, 100, 0.0).phase is Phase.SUCCEEDED
            return
        progress, wishes = advance(again, begin(again, found, 0.0), Signals(), 0.0)
        weights = [wish.weight for wish in wishes if isinstance(wish, SetWeight)]
        assert progress.phase in {Phase.RUNNING, Phase.PAUSED, Phase.PROMOTING, Phase.SUCCEEDED}
        assert weights or progress.weight == found
        # The first of them: with nothing to hold and nobody to look, steps pass in one turn.
        assert weights[:1] <= [of.weight_of(killed.step)]
        happens(play, what, arg)


def go_on(play: Play, result: str, answer: str, *, calls: int = 3000) -> int:
    """Do what a faithful caller does until nothing is due; return how often something was paused.

    Every look finds `result`, every gate answers `answer`, pauses of steps are resumed.
    """
    paused = 0
    for _ in range(calls):
        progress = play.progress
        due = due_s(play.spec, progress)
        look = progress.look_at_s
        if progress.phase is Phase.PAUSED:
            if progress.cause:
                paused += 1
                if paused > 3:
                    return paused
            play.command("resume")
        elif progress.phase is Phase.ROLLING_BACK:
            play.tell(canary_connections=0)
        elif progress.gate is not None and progress.ask_at_s is None:
            play.answer(answer)
        elif look is not None and (due is None or look <= due):
            names = [check.name for check in play.spec.analysis.checks]
            dry = {check.name for check in play.spec.analysis.checks if check.dry_run}
            found = tuple(Finding(name, result, "so it is", name in dry) for name in names)
            play.tell(at_s=max(look, play.now_s), look=found)
        elif due is not None:
            play.tell(at_s=max(due, play.now_s))
        elif progress.phase is Phase.WAITING:
            play.command("start")
        else:
            return paused
    raise AssertionError(f"no end: {play.progress}")


@given(specs, st.integers(0, 99))
def test_a_canary_that_always_passes_succeeds_and_its_weight_only_rises(of, found):
    play = Play(of, found)
    assert go_on(play, "passed", "open") == 0
    assert play.phase is Phase.SUCCEEDED
    assert play.weights == sorted(play.weights)
    assert play.weights[-1] == 100


@given(specs.filter(lambda of: any(not check.dry_run for check in of.analysis.checks)))
def test_a_canary_that_always_fails_is_rolled_back_in_the_first_step_that_looks(of):
    of = replace(of, dry_run=False, on_failure="rollback")
    play = Play(of)
    go_on(play, "failed", "open")
    assert play.phase is Phase.ROLLED_BACK
    first = next(step for step in of.steps if step.kind != "pause")
    assert max(play.weights) == first.weight
    assert play.weights[-1] == 0


@given(specs, st.integers(0, 99), stories, results, st.sampled_from(["open", "closed"]))
@settings(max_examples=300)
def test_whatever_happened_it_ends_or_waits_for_a_person(of, found, story, result, answer):
    if result == "no_data":
        of = replace(of, no_traffic="pass")
    if answer == "closed":
        of = replace(of, dry_run=False)
    play = Play(of, found)
    for what, arg in story:
        happens(play, what, arg)
    paused = go_on(play, result, answer)
    event(play.phase)
    assert play.phase in ENDED or paused > 3


@given(specs, st.integers(0, 99), stories)
@settings(max_examples=200)
def test_judges_that_cannot_be_reached_never_end_a_rollout(of, found, story):
    play = Play(of, found)
    for what, arg in story:
        if what not in {"command", "look", "gate", "answer"}:
            happens(play, what, arg)
    go_on(play, "inconclusive", "unreachable")
    assert play.phase not in {Phase.ROLLED_BACK, Phase.FAILED}
