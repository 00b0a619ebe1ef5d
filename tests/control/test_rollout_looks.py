"""A look asks everybody, and nobody's failure is the canary's."""

import asyncio

import pytest

from tenantproxy.control import rollout_looks
from tenantproxy.control.rollout_looks import (
    asked_findings,
    asked_gate,
    count,
    no_counts,
    seen_findings,
)
from tenantproxy.control.rollout_windows import Windows
from tenantproxy.model.findings import Finding
from tenantproxy.model.rollout_spec import Analysis, Gate, OutsideCheck, SignalCheck, Step
from tests.control.rollout_support import KEY, FakeHands, FakeJudges, plan

RESETS = SignalCheck("resets", "resets", max=0.01)
QA = OutsideCheck("qa", "webhook", url="http://127.0.0.1/")


@pytest.fixture
def judged(monkeypatch):
    """What `judge` was asked."""
    asked = []

    def judge(check, step, recent, **numbers):
        asked.append((check, numbers))
        return Finding(check.name, "passed", "as told")

    monkeypatch.setattr(rollout_looks, "judge", judge)
    return asked


def look(spec, usable=(1, 1)):
    hands = FakeHands()
    hands.usable = usable
    return seen_findings(hands, KEY, spec, Windows(hands, KEY, "v1", "v2"), 3)


def test_every_signal_is_judged_with_the_chance_of_the_whole_rollout(judged):
    slow = SignalCheck("first_byte_p99", "first_byte", 0.99, max=1.0)
    steps = (Step("weight", 5), Step("pause"), Step("weight", 50))
    found = look(plan(*steps, analysis=Analysis(min_samples=7, signals=(RESETS, slow))))
    assert [one.check for one in found] == ["resets", "first_byte_p99", "endpoints"]
    # Two checks at two weights and at 100 %.
    expected = {"min_samples": 7, "look": 3, "tests": 6, "failures": 2}
    assert [numbers for _, numbers in judged] == [expected] * 2


@pytest.mark.parametrize(
    ("allowed", "deadline_s", "failures"),
    [(0, 600.0, 1), (4, 600.0, 5), (100, 600.0, 10), (4, 30.0, 1)],
)
def test_a_look_may_be_wrong_as_often_as_looks_have_to_fail(judged, allowed, deadline_s, failures):
    analysis = Analysis(every_s=60.0, failures_allowed=allowed, signals=(RESETS,))
    look(plan(Step("weight", 5), analysis=analysis, deadline_s=deadline_s))
    assert judged[0][1]["failures"] == failures


@pytest.mark.parametrize(
    ("usable", "result", "reason"),
    [
        (None, "passed", "v2 is asleep: nobody uses it"),
        ((0, 0), "failed", "v2 has no endpoints"),
        ((0, 3), "failed", "0 of 3 endpoints of v2 can be used"),
        ((1, 3), "passed", "1 of 3 endpoints of v2 can be used"),
    ],
)
def test_a_canary_needs_an_endpoint_that_can_be_used(usable, result, reason):
    [finding] = look(plan(), usable)
    assert finding == Finding("endpoints", result, reason)


async def test_judges_are_asked_at_once_and_one_that_raises_could_not_judge():
    judges, shadow = FakeJudges(), OutsideCheck("shadow", "command", dry_run=True)
    judges.says["shadow"] = RuntimeError("no")
    judges.go.clear()
    asking = asked_findings(judges, (QA, shadow), None)
    task = asyncio.ensure_future(asking)
    await asyncio.sleep(0.01)
    assert [name for name, _ in judges.asked] == ["qa", "shadow"]
    judges.go.set()
    assert await task == (
        Finding("qa", "passed", "as told"),
        Finding("shadow", "inconclusive", "could not be asked: RuntimeError('no')", dry_run=True),
    )


async def test_a_judge_that_never_answers_could_not_judge(monkeypatch):
    monkeypatch.setattr(rollout_looks, "_BEYOND_S", 0.0)
    judges = FakeJudges()
    judges.go.clear()
    [finding] = await asked_findings(judges, (OutsideCheck("qa", "webhook", timeout_s=0.01),), None)
    assert finding.result == "inconclusive"


async def test_a_gate_that_raises_could_not_be_reached():
    judges = FakeJudges()
    judges.says["before_step"] = RuntimeError("no")
    said = await asked_gate(judges, "before_step", Gate("http://127.0.0.1/"), None)
    assert (said.answer, said.reason) == ("unreachable", "could not be asked: RuntimeError('no')")


def test_every_check_has_a_count_before_anything_was_found():
    shadow = OutsideCheck("shadow", "command", dry_run=True)
    spec = plan(analysis=Analysis(signals=(RESETS,), outside=(shadow,)))
    counts = no_counts(spec, {("resets", "passed"): 4, ("gone", "passed"): 2})
    assert counts.pop(("resets", "passed")) == 4
    assert set(counts.values()) == {0}
    assert set(counts) == {
        ("resets", "failed"),
        ("resets", "no_data"),
        ("resets", "inconclusive"),
        *(("shadow", one) for one in ("passed", "failed", "no_data", "inconclusive")),
        ("shadow", "would fail"),
        *(("endpoints", one) for one in ("passed", "failed", "no_data", "inconclusive")),
    }


def test_a_failure_that_is_only_said_is_counted_apart():
    counts = {}
    count(plan(), counts, [Finding("a", "failed", ""), Finding("a", "failed", "", dry_run=True)])
    count(plan(dry_run=True), counts, [Finding("a", "failed", ""), Finding("a", "passed", "")])
    assert counts == {("a", "failed"): 1, ("a", "would fail"): 2, ("a", "passed"): 1}
