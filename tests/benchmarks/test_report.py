"""Tables: numbers, ratios, verdicts, and what was not measured."""

import pytest

from benchmarks import report
from benchmarks.results import Family, Metric, Sample, Spread, Target, Workload

RATE = Metric(
    "per_second",
    "requests/s",
    more_is_better=True,
    ratio=True,
    targets=(Target("tenantproxy", 0.9),),
)
MACHINE = {"kernel": "6.1", "python": "3.11.7", "rounds": "5", "seconds": "2", "haproxy": "2.6.12"}
OPEN = Metric("open_s", "open, s", targets=(Target("tenantproxy", 0.2, "value"),))


def measured(ours: float, theirs: float = 1000.0) -> Workload:
    return Workload(
        "w",
        "A workload",
        (RATE,),
        [
            Sample("tenantproxy", 0, {"per_second": ours}, ("a note",)),
            Sample("haproxy", 0, {"per_second": theirs}),
        ],
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(12345.6, "12,346"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.0123, "0.012"),
     (0, "0.00"), (float("inf"), "never")],
)  # fmt: skip
def test_numbers_have_three_digits(value, text):
    assert report.number(value) == text


def test_a_ratio_shows_its_ends_unless_there_was_one_round():
    assert report.ratio(Spread(1.0, 0.9, 1.1)) == "1.00 (0.90-1.10)"
    assert report.ratio(Spread(1.0, 1.0, 1.0)) == "1.00"


@pytest.mark.parametrize(
    ("ours", "said"), [(950.0, "ok, >= 0.9"), (900.0, "ok, >= 0.9"), (890.0, "MISSED, >= 0.9")]
)
def test_a_ratio_is_held_against_its_target(ours, said):
    assert report.verdict(measured(ours), RATE, "tenantproxy") == said
    assert report.verdict(measured(ours), RATE, "haproxy") == ""


@pytest.mark.parametrize(("value", "said"), [(0.19, "ok, <= 0.2"), (0.21, "MISSED, <= 0.2")])
def test_a_value_is_held_against_its_target(value, said):
    workload = Workload("w", "W", (OPEN,), [Sample("tenantproxy", 0, {"open_s": value})])

    assert report.verdict(workload, OPEN, "tenantproxy") == said


def test_the_baseline_comes_first_and_notes_last():
    head, rows = report.rows(measured(950.0))

    assert head == ["", "requests/s", "of HAProxy's", "notes"]
    assert rows == [
        ["HAProxy", "1,000", "", ""],
        ["tenantproxy", "950", "0.95 [ok, >= 0.9]", "a note"],
    ]


def test_a_failed_run_leaves_a_hole_and_its_reason():
    workload = measured(950.0)
    workload.samples.append(Sample("envoy", 0, {}, ("failed: it ended",)))

    assert report.rows(workload)[1][-1] == ["Envoy", "", "", "failed: it ended"]


def test_points_of_a_line_share_a_table_for_each_metric():
    points = [
        Workload(f"l-{x}", f"{x} listeners", (OPEN,), [Sample("haproxy", 0, {"open_s": x})], x=x)
        for x in (1, 10)
    ]

    assert list(report.tables(Family("growth", False, points))) == [
        ("open, s", ["", "1 listeners", "10 listeners"], [["HAProxy", "1.00", "10.0"]])
    ]


@pytest.mark.parametrize("write", [report.text, report.markdown])
def test_what_was_not_measured_is_named_with_the_reason(write):
    family = Family(
        "requests", False, [measured(950.0)], {"traefik": "it is not installed"}, MACHINE
    )

    assert "Not measured: traefik: it is not installed." in write(family)


def test_quick_tables_say_so():
    assert "quick: it says little" in report.text(
        Family("requests", True, [measured(1.0)], machine=MACHINE)
    )


def test_markdown_has_as_many_cells_in_every_line():
    lines = report.markdown(
        Family("requests", False, [measured(950.0)], machine=MACHINE)
    ).splitlines()

    assert {line.count("|") for line in lines if line.startswith("|")} == {5}


def test_everything_with_a_target_stands_in_one_table():
    opened = Workload("o", "Opening", (OPEN,), [Sample("tenantproxy", 0, {"open_s": 0.25})])
    family = Family("f", False, [measured(950.0), opened])

    assert report.targets([family]).splitlines()[2:] == [
        "| A workload: requests/s, of HAProxy | tenantproxy | 0.95 | >= 0.9 | ok |",
        "| Opening: open, s | tenantproxy | 0.25 | <= 0.2 | MISSED |",
    ]


def test_a_target_of_what_was_not_measured_is_left_out():
    nobody = Workload("o", "Opening", (OPEN,), [Sample("envoy", 0, {"open_s": 0.25})])

    assert len(report.targets([Family("f", False, [nobody])]).splitlines()) == 2


@pytest.mark.parametrize("write", [report.text, report.markdown])
def test_versions_and_the_length_of_runs_are_said(write):
    family = Family("requests", False, [measured(950.0)], machine=MACHINE)

    said = "Linux 6.1, Python 3.11.7, HAProxy 2.6.12; up to 5 rounds of 2 s."
    assert said in write(family).splitlines()
