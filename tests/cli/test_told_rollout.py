"""What is told of a rollout in each state, from the answer of the API."""

from dataclasses import replace

import pytest
from rich.text import Text

from tenantproxy.admin.rollout_views import show_rollout, whole_rollout
from tenantproxy.cli.told_rollout import plan, told_rollout, told_rollout_shortly, where
from tenantproxy.model.rollout import Phase
from tenantproxy.model.rollout_spec import RolloutSpec, SignalCheck, Step
from tenantproxy.model.rollout_view import CheckView
from tests.support_control import WEB
from tests.support_rollouts import SPEC, running, view

NOW_S = 1_000_000.0


def item(**fields):
    return whole_rollout(running(WEB, NOW_S, **fields))


def rows(shown, title):
    """The rows of the section with this title; the one without is after the head line."""
    found = [s for s in told_rollout(shown, NOW_S) if s.title.startswith(title)]
    return [tuple(str(cell) for cell in row) for row in found[-1 if title else 1].rows]


def head(shown):
    return dict(rows(shown, ""))


def titles(shown):
    return [section.title for section in told_rollout(shown, NOW_S)]


def test_the_first_line_says_who_from_what_to_what_and_where():
    assert [str(cell) for cell in told_rollout(item(), NOW_S)[0].rows[0]] == [
        "acme/web",
        "web-v1 -> web-v2",
        "running",
        "step 2 of 4: 25% for 5m",
    ]


def test_one_that_runs_says_when_the_next_step_may_come_and_what_it_waits_for():
    assert head(item()) == {
        "Why:": "step 2 of 4: 25% for 5m",
        "Since:": "5m20s in this state",
        "Next:": "in 1m40s at the earliest",
        "Waits for:": "samples for first_byte_p99",
        "Weight:": "25% wanted, 24.6% seen",
        "Port:": "21000",
        "Preview:": "21005 (acme/web.preview, open)",
    }


def test_a_preview_that_has_failed_says_where_the_reason_is():
    told = head(item(preview_state="failed"))["Preview:"]
    assert told == "21005 (acme/web.preview, failed): `describe listener acme/web.preview` says why"


def test_told_shortly_a_rollout_whose_checks_pass_has_steps_in_a_row_and_only_judged_values():
    passed = CheckView("resets", "passed", "canary 0% of 480, at most 1%", 0)
    shown = told_rollout_shortly(item(checks=(passed,)), NOW_S)
    assert [section.title for section in shown] == ["", "", "Both sides since the step began"]
    told = {str(row[0]): str(row[1]) for row in shown[1].rows}
    steps = told.pop("Steps:").replace("\N{NO-BREAK SPACE}", " ")
    assert steps == "[x] 5%  [>] 25%  [ ] pause  [ ] 50%  [ ] 100%"
    assert list(told) == ["Why:", "Next:", "Waits for:", "Weight:"]
    assert [str(row[0]) for row in shown[2].rows] == [
        "",
        "weight",
        "seen",
        "connections now",
        "opened",
        "resets",
    ]


def test_a_step_whose_time_is_over_goes_on_as_soon_as_it_may():
    told = head(item(step_until_s=NOW_S - 5, waits_for=""))
    assert told["Next:"] == "as soon as nothing holds it back"
    assert "Waits for:" not in told


def test_one_that_is_paused_says_who_ends_that_and_why_it_is():
    cause = "judge qa is out of reach"
    told = head(item(phase=Phase.PAUSED, reason="paused", cause=cause, waits_for=""))
    assert told["Next:"] == "`rollout resume acme/web`, `promote` or `abort`"
    assert told["Cause:"] == cause
    told = head(item(phase=Phase.PAUSED, waits_for="`tenantproxy rollout resume acme/web`"))
    assert "Next:" not in told
    assert told["Waits for:"] == "`tenantproxy rollout resume acme/web`"


def test_a_cause_that_is_the_reason_is_said_once():
    assert "Cause:" not in head(item(reason="asked to", cause="asked to"))


def test_one_that_waits_for_a_command_names_it_and_one_that_waits_for_a_gate_does_not():
    assert head(whole_rollout(view(WEB)))["Next:"] == "`rollout start acme/web`"
    gate = whole_rollout(view(WEB, waits_for="gate before_start: closed: not yet"))
    assert "Next:" not in head(gate)
    assert head(gate)["Waits for:"] == "gate before_start: closed: not yet"


def test_after_success_the_way_back_and_what_to_commit_are_told():
    commit = "tenants:\n  acme:\n    listeners: {}\n"
    fields = {"phase": Phase.SUCCEEDED, "step": 4, "step_until_s": None, "commit": commit}
    shown = item(**fields, rollback_until_s=NOW_S + 3000)
    assert head(shown)["Rollback:"] == "`rollout rollback acme/web` for 50m more"
    assert rows(shown, "To commit") == [
        ("tenants:",),
        ("  acme:",),
        ("    listeners: {}",),
    ]
    assert "Rollback:" not in head(item())
    assert not [title for title in titles(item()) if title.startswith("To commit")]


def test_a_dry_run_is_told():
    assert "Dry run:" not in head(item())
    assert head(item(spec=replace(SPEC, dry_run=True)))["Dry run:"]


def test_steps_are_marked_and_the_present_one_says_how_long_it_is_on():
    assert rows(item(), "Steps") == [
        ("[x]", "1", "5% for 2m", ""),
        ("[>]", "2", "25% for 5m", "3m20s of it gone"),
        ("[ ]", "3", "pause until resumed", ""),
        ("[ ]", "4", "50% for 10s", ""),
        ("[ ]", "", "100%, promotion", ""),
    ]


@pytest.mark.parametrize(
    ("phase", "marks"),
    [
        (Phase.PROMOTING, ["[x]"] * 4 + ["[>]"]),
        (Phase.SUCCEEDED, ["[x]"] * 5),
        (Phase.ROLLED_BACK, ["[x]", "[!]", "[ ]", "[ ]", "[ ]"]),
    ],
)
def test_the_end_is_marked_as_it_came(phase, marks):
    step = 2 if phase is Phase.ROLLED_BACK else 4
    assert [row[0] for row in rows(item(phase=phase, step=step), "Steps")] == marks


def test_where_it_is_is_said_for_every_state():
    assert where(whole_rollout(view(WEB))) == "before step 1 of 4"
    assert where(item(phase=Phase.PAUSED, step=3)) == "step 3 of 4: pause until resumed"
    assert where(item(phase=Phase.PROMOTING, step=4)) == "all of 4 steps done"
    assert where(item(phase=Phase.ROLLED_BACK)) == "step 2 of 4: 25% for 5m"


def test_an_experiment_has_no_weight():
    assert plan({"kind": "experiment", "weight": 0, "hold": "5m"}) == "experiment for 5m"


def test_both_sides_stand_beside_each_other_in_their_units_with_what_is_asked_of_them():
    sides = {row[0]: row[1:] for row in rows(item(), "Both sides")}
    assert sides[""] == ("web-v1 (stable)", "web-v2 (canary)", "")
    assert sides["weight"] == ("75%", "25%", "")
    assert sides["seen"] == ("75.4%", "24.6%", "")
    assert sides["connections now"] == ("310", "98", "")
    assert sides["opened"] == ("1463", "477", "")
    assert sides["resets"] == ("0.1%", "5.2%", "at most 2% over stable")
    assert sides["first_byte_p99"] == ("180ms", "-", "at most 250ms")
    assert sides["bytes_out_p50"] == ("1.5MiB", "1.5MiB", "")


def test_a_check_with_a_name_of_its_own_has_the_unit_of_its_signal():
    slow = SignalCheck("slow", "first_byte", 0.99, max=0.25, over_stable=0.5)
    spec = replace(SPEC, analysis=replace(SPEC.analysis, signals=(slow,)))
    made = running(WEB, NOW_S, spec, checks=(CheckView("slow", "passed", "fine", 0),))
    made = replace(made, canary=replace(made.canary, values={"slow": 0.0123}))
    sides = {row[0]: row[1:] for row in rows(whole_rollout(made), "Both sides")}
    assert sides["slow"] == ("-", "12.3ms", "at most 250ms, at most 50% over stable")


def test_a_value_that_failed_stands_out():
    sides = next(s for s in told_rollout(item(), NOW_S) if s.title.startswith("Both"))
    found = {str(row[0]): row[2] for row in sides.rows}
    assert isinstance(found["resets"], Text)
    assert found["resets"].style == "red"
    assert found["early_closes"].style == ""


def test_checks_say_what_they_found_last_how_often_they_failed_and_why():
    shown = item()
    assert "Checks (20 looks in this step)" in titles(shown)
    assert rows(shown, "Checks") == [
        (
            "failed",
            "resets",
            "1 failure",
            "canary 5.2% of 480, stable 0.1% of 1440, may be 2% more",
        ),
        ("no_data", "first_byte_p99", "", "canary has 3 samples of 20"),
    ]


def test_a_check_that_only_says_is_marked_and_one_that_was_not_looked_at_is_empty():
    checks = (CheckView("qa", "failed", "404", 2, dry_run=True), CheckView("late", None, "", 0))
    assert rows(item(checks=checks), "Checks") == [
        ("failed", "qa", "2 failures", "dry run: 404"),
        ("-", "late", "", "-"),
    ]


def test_without_checks_there_is_no_section_of_them():
    spec = RolloutSpec("a", "b", (Step("weight", 5),))
    shown = item(spec=spec, checks=(), step=1)
    assert not [title for title in titles(shown) if title.startswith("Checks")]


def test_an_item_of_a_list_has_no_spec_and_is_told_all_the_same():
    assert told_rollout(show_rollout(running(WEB, NOW_S)), NOW_S)
