"""What docs/ and README.md say is so: generated parts, links, keys, commands, file names."""

import re
from pathlib import Path

import pytest

from tenantproxy.cli.main import COMMANDS
from tenantproxy.config.document import parse_document
from tenantproxy.config.models import ListenerDoc, UpstreamDoc
from tenantproxy.config.proxy_models import ProxyDoc
from tools.docs import generated

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "helm" / "tenantproxy" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
README = (ROOT / "README.md").read_text()


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
