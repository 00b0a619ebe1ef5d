"""Alerts and records: what promtool says, what each alert tells, and its page."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from grafana import queries
from tenantproxy.metrics.names import METRICS
from tests.grafana.test_dashboards import VARIABLES

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).with_name("alerts.yaml")
ALERTS = {rule["alert"]: rule for rule in queries.rules() if "alert" in rule}
RECORDS = {rule["record"] for rule in queries.rules() if "record" in rule}

promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool (Debian: prometheus) is missing"
)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["promtool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@promtool
def test_promtool_likes_the_rules_and_the_example_configuration():
    for arguments in (
        ("check", "rules", queries.RULES),
        ("check", "config", ROOT / "grafana" / "prometheus.yaml"),
    ):
        done = run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


@promtool
def test_alerts_fire_when_they_should_and_end():
    done = run("test", "rules", CASES)
    assert done.returncode == 0, done.stdout + done.stderr


@promtool
@pytest.mark.parametrize("name", ALERTS)
@pytest.mark.parametrize("broken", ["never", "always"])
def test_the_cases_notice_an_alert_that_is_broken(tmp_path, name, broken):
    text = yaml.safe_load(queries.RULES.read_text())
    for group in text["groups"]:
        for rule in group["rules"]:
            if rule.get("alert") == name:
                always = f"group without (__nothing__) ({_side(rule['expr'])}) >= 0"
                rule["expr"] = "vector(1) > 2" if broken == "never" else always
                rule.pop("for", None)
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(text))
    cases = yaml.safe_load(CASES.read_text())
    cases["rule_files"] = ["rules.yaml"]
    mine = (case for case in cases["tests"] if name in str(case["alert_rule_test"]))
    cases["tests"] = list(mine)
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(cases))
    done = run("test", "rules", tmp_path / "cases.yaml")
    assert done.returncode == 1, "its cases pass without it"
    assert "FAILED" in done.stdout + done.stderr


def _side(expr: str) -> str:
    return next(queries.without_comparisons(expr))


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_shown_to_stay_quiet_to_fire_and_to_end(name):
    cases = [
        bool(moment.get("exp_alerts"))
        for case in yaml.safe_load(CASES.read_text())["tests"]
        for moment in case["alert_rule_test"]
        if moment["alertname"] == name
    ]
    assert cases[0] is False
    assert True in cases
    assert cases[-1] is False


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_and_what_to_do(name):
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert notes["runbook_url"] == f"docs/runbooks/{name}.md"
    assert notes["summary"].endswith(".")
    assert notes["description"].endswith(".")


def test_each_alert_has_its_page_and_no_page_is_left_over():
    folder = ROOT / "docs" / "runbooks"
    pages = {path.stem for path in folder.glob("*.md")} - {"README"}
    assert pages == set(ALERTS)
    index = (folder / "README.md").read_text()
    for name, rule in ALERTS.items():
        text = (folder / f"{name}.md").read_text()
        assert text.startswith(f"# {name}\n")
        for part in ("**Means.**", "**Look.**", "**Do.**", "**Ends**"):
            assert part in text, f"{name}: {part}"
        assert f"| [{name}]({name}.md) | {rule['labels']['severity']} |" in index


def test_rules_name_only_metrics_and_records_that_exist():
    known = {name for metric in METRICS for name in metric.sample_names}
    for asked in queries.of_rules():
        assert queries.metrics(asked.expr) <= known | RECORDS | {"up"}, asked


def test_every_metric_is_looked_at_by_a_dashboard_or_a_rule():
    asked = [one.with_values(VARIABLES) for one in queries.of_boards()]
    asked += [one.expr for one in queries.of_rules()]
    seen = set().union(*map(queries.metrics, asked))
    for metric in METRICS:
        assert seen & set(metric.sample_names), f"nobody looks at {metric.name}"


def test_pages_name_only_metrics_that_exist():
    known = {name for metric in METRICS for name in (metric.name, *metric.sample_names)}
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("grafana/**/*.md")]
    pages += [*ROOT.glob("helm/**/*.md"), *ROOT.glob("helm/**/NOTES.txt")]
    pages += [*ROOT.glob("helm/**/values.yaml"), *ROOT.glob("policies/*.yaml")]
    for page in pages:
        for name in re.findall(r"\btenantproxy_[a-z_]+[a-z]\b", page.read_text()):
            assert name in known, f"{page.name}: {name}"
