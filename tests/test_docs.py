"""What docs/ and README.md say is so: generated parts, links, keys, commands, file names."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tenantproxy.cli.main import COMMANDS
from tenantproxy.config.check_models import AnalysisDoc
from tenantproxy.config.document import parse_document, parse_listener, parse_rollout
from tenantproxy.config.models import ListenerDoc, UpstreamDoc
from tenantproxy.config.proxy_models import ProxyDoc
from tenantproxy.config.rollout_models import RolloutDoc
from tenantproxy.config.schema import part_schemas
from tenantproxy.model.findings import Subject
from tenantproxy.model.rollout_spec import DEFAULT_CHECKS
from tenantproxy.model.signal_names import SIGNAL_NAMES
from tools.docs import generated

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "helm" / "tenantproxy" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
README = (ROOT / "README.md").read_text()
ROLLOUTS = (ROOT / "docs" / "configuration.md").read_text().partition("\n## Rollouts")
ROLLOUTS = ROLLOUTS[1] + ROLLOUTS[2]


@pytest.mark.parametrize("path", generated(), ids=lambda path: path.name)
def test_generated_parts_are_up_to_date(path):
    assert path.read_text() == generated()[path], "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith(("http://", "https://", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_are_named_exist(page):
    for verb in re.findall(r"`tenantproxy ([a-z]+)", page.read_text()):
        assert verb in COMMANDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page):
    for name in re.findall(
        r"`((?:control|dataplane|model|tenantproxy)/[a-z_/]+\.py)`", page.read_text()
    ):
        assert (ROOT / name).exists() or (ROOT / "tenantproxy" / name).exists(), name


@pytest.mark.parametrize(
    ("title", "model"),
    [
        ("`proxy`: ", ProxyDoc),
        ("`upstreams.NAME`:", UpstreamDoc),
        ("`listeners.NAME`:", ListenerDoc),
    ],
)
def test_the_table_of_keys_is_that_of_the_document(title, model):
    table = README.partition(f"\n{title}")[2].partition("|---|---|---|\n")[2].partition("\n\n")[0]
    assert {row.split("`")[1] for row in table.splitlines()} == set(model.model_fields)


@pytest.mark.parametrize(
    ("title", "model"),
    [
        ("## Rollouts", RolloutDoc),
        ("### What is judged", AnalysisDoc),
    ],
)
def test_the_page_on_rollouts_has_every_key_and_default(title, model):
    section = ROLLOUTS.partition(title)[2]
    table = section.partition("|---|---|---|\n")[2].partition("\n\n")[0]
    rows = {row.split("`")[1]: row.split("|")[2].strip() for row in table.splitlines()}
    schema = part_schemas()["rollout"]
    keys = schema if model is RolloutDoc else schema["$defs"][model.__name__]
    assert rows.keys() == keys["properties"].keys()
    for key, part in keys["properties"].items():
        if rows[key].startswith("`"):
            shown = yaml.safe_load(rows[key].strip("`"))
            assert part["default"] == shown, key
        else:
            assert key in keys.get("required", ()) or rows[key].startswith("see"), key


def test_the_examples_of_rollouts_are_valid():
    plan = {"from": "web-v1", "to": "web-v2", "steps": [{"weight": 5}]}
    blocks = [
        yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", ROLLOUTS, re.DOTALL)
    ]
    keys = [key for block in blocks for key in block]
    assert sorted(keys) == ["checks", "checks", "gates", "listeners", "tenants"]
    for block in blocks:
        if "listeners" in block:
            assert parse_listener("acme", "web", block["listeners"]["web"]).rollout is not None
        elif "checks" in block:
            parse_rollout("acme", "web", {**plan, "analysis": block})
        elif "gates" in block:
            gates = parse_rollout("acme", "web", {**plan, **block}).gates
            assert all(getattr(gates, name) for name in type(gates).__slots__)
    defaults = parse_rollout("acme", "web", {**plan, "analysis": blocks[keys.index("checks")]})
    assert defaults.analysis.signals == DEFAULT_CHECKS


def test_every_signal_of_rollouts_is_told():
    for signal in {name.rpartition("_p")[0] or name for name in SIGNAL_NAMES}:
        assert f"`{signal}" in ROLLOUTS or signal.endswith("_shape"), signal


def test_the_body_of_a_webhook_is_what_is_sent():
    (text,) = re.findall(r"```json\n(.*?)```", ROLLOUTS, re.DOTALL)
    assert json.loads(text).keys() - {"check"} == set(Subject.__slots__)


def test_the_document_of_the_tour_is_valid():
    documents = re.findall(r"<<'END'\n(version: 1\n.*?)^END$", README, re.MULTILINE | re.DOTALL)
    assert documents
    for text in documents:
        parse_document(text)


def test_every_target_of_the_makefile_that_is_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"`?make ([a-z-]+)`", page.read_text())) <= targets
    assert {"demo", "test", "test-full", "help"} <= targets


def test_ci_runs_what_people_run_and_nothing_else():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == ["exec make test"]
