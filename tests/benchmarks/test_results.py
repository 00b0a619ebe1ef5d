"""Medians, ratios by pairs, spread, notes and JSON."""

import pytest

from benchmarks.results import Family, Metric, Sample, Spread, Target, Workload

CPU = Metric("cpu_us", "CPU us", ratio=True, targets=(Target("tenantproxy", 1.1),))


def workload(*samples: Sample) -> Workload:
    return Workload("w", "A workload", (CPU,), list(samples))


def cpu(peer: str, number: int, value: float, *notes: str) -> Sample:
    return Sample(peer, number, {"cpu_us": value}, notes)


def test_a_spread_is_the_middle_and_the_ends():
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert Spread.of([]) is None


def test_a_ratio_is_made_of_pairs_of_one_round():
    # HAProxy drifts from 10 to 20; each pair is alike, which medians of all would hide.
    measured = workload(
        *(cpu("haproxy", n, 10.0 + 5 * n) for n in range(3)),
        *(cpu("tenantproxy", n, 11.0 + 5.5 * n) for n in range(3)),
    )

    assert measured.ratio("tenantproxy", "cpu_us", "haproxy") == Spread(*[pytest.approx(1.1)] * 3)


def test_a_round_without_its_pair_makes_no_ratio():
    measured = workload(
        cpu("haproxy", 0, 10.0), cpu("tenantproxy", 0, 20.0), cpu("tenantproxy", 1, 99.0)
    )

    assert measured.ratio("tenantproxy", "cpu_us", "haproxy") == Spread(2.0, 2.0, 2.0)
    assert measured.ratio("nginx", "cpu_us", "haproxy") is None


def test_notes_say_in_how_many_rounds():
    measured = workload(cpu("haproxy", 0, 1.0, "always"), cpu("haproxy", 1, 1.0, "always", "once"))

    assert measured.notes("haproxy") == ["always", "once (1 of 2 rounds)"]


def test_json_brings_back_what_was_kept(tmp_path):
    family = Family("requests", False, [workload(cpu("haproxy", 0, 1.5, "a note"))])
    family.workloads[0].samples.append(Sample("envoy", 0, {"cpu_us": float("inf")}))
    family.skipped["traefik"] = "not installed"

    assert Family.from_json(family.keep(tmp_path).read_text()) == family


def test_quick_results_stand_apart(tmp_path):
    assert Family("requests", True).keep(tmp_path) == tmp_path / "quick" / "requests.json"
    assert Family("requests", False).keep(tmp_path) == tmp_path / "requests.json"


def test_numbers_are_kept_with_five_digits(tmp_path):
    family = Family("requests", False, [workload(cpu("haproxy", 0, 123456.789))])

    kept = Family.from_json(family.to_json())

    assert kept.workloads[0].samples[0].values == {"cpu_us": 123460.0}
