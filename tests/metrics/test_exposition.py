"""Our fast printer says the same as prometheus_client's, and promtool likes it."""

import shutil
import subprocess

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tenantproxy.metrics.collector import Collector, snapshot
from tenantproxy.metrics.exposition import _LINES_A_CHUNK, render
from tests.metrics.test_collector import busy
from tests.support_control import WEB, many


def ours(control, *, openmetrics=False):
    return b"".join(render(snapshot(control).samples(), openmetrics=openmetrics)).decode()


def flat(families):
    """Every sample, without the order of labels; times of activity to the second."""
    return sorted(
        (
            s.name,
            sorted(s.labels.items()),
            round(s.value) if "activity" in s.name else float(s.value),
        )
        for family in families
        for s in family.samples
    )


def test_the_text_is_what_prometheus_client_would_print(control):
    registry = CollectorRegistry()
    registry.register(Collector(busy(control)))
    theirs, mine = generate_latest(registry).decode(), ours(control)
    assert flat(parse_text(mine)) == flat(parse_text(theirs))
    assert heads(mine) == heads(theirs)


def heads(text):
    return [line for line in text.splitlines() if line.startswith("#")]


def test_openmetrics_has_the_same_samples_and_a_strict_parser_takes_it(control):
    mine = ours(busy(control), openmetrics=True)
    assert flat(parse_openmetrics(mine)) == flat(parse_text(ours(control)))
    assert mine.endswith("# EOF\n")


def test_openmetrics_names_families_as_prometheus_client_would_unless_a_name_is_taken(control):
    registry = CollectorRegistry()
    registry.register(Collector(control))
    mine = set(heads(ours(control, openmetrics=True)))
    differs = set(heads(generate_openmetrics(registry).decode())) - mine
    assert {line.split()[2] for line in differs} == {
        "tenantproxy_listener_connections",
        "tenantproxy_upstream_connections",
    }


def test_a_count_beyond_what_a_double_holds_stays_exact(control):
    busy(control)
    assert f'direction="out"}} {2**60 + 1}\n' in ours(control)


def test_what_an_operator_may_write_freely_is_escaped(control):
    control.policy_actions['a "quoted"\\\nname', "sleep"] = 1
    found = [
        sample.labels["policy"]
        for family in parse_text(ours(control))
        for sample in family.samples
        if "policy" in sample.labels
    ]
    assert found == ['a "quoted"\\\nname']


def test_a_family_stays_together_over_many_chunks():
    control = many(1, 1500)
    seen: list[str] = []
    for line in ours(control).splitlines():
        if line.startswith("# TYPE"):
            seen.append(line.split()[2])
        elif not line.startswith("#"):
            assert line.startswith(seen[-1])
    assert len(seen) == len(set(seen))


def test_no_piece_is_large():
    pieces = render(snapshot(many(1, 1500)).samples(), openmetrics=False)
    assert max(piece.count(b"\n") for piece in pieces) <= _LINES_A_CHUNK


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (Debian: prometheus) is missing")
@pytest.mark.parametrize("everything", [True, False])
def test_promtool_finds_nothing(control, everything):
    text = ours(busy(control) if everything else control)
    said = subprocess.run(
        ["promtool", "check", "metrics"],
        check=False,
        input=text,
        text=True,
        capture_output=True,
        timeout=30,
    )
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


async def test_a_total_never_goes_down_from_scrape_to_scrape(control):
    busy(control)
    before = {(n, v): x for n, v, x in snapshot(control).samples() if n.endswith("_total")}
    await control.close(WEB)
    after = {(n, v): x for n, v, x in snapshot(control).samples() if n.endswith("_total")}
    assert all(after[key] >= value for key, value in before.items())
