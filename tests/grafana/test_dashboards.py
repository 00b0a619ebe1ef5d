"""The committed dashboards: as generated, valid for Grafana, and each panel says what it is."""

import json
import re
from pathlib import Path
from typing import get_args

import jsonschema
import pytest

from grafana import queries
from grafana.__main__ import generated
from grafana.states import ENDPOINTS, PHASES, RESULTS
from tenantproxy.metrics.names import METRICS
from tenantproxy.model import findings
from tenantproxy.model.rollout import Phase
from tenantproxy.model.views import EndpointState

SCHEMAS = Path(__file__).with_name("schema")
UIDS = {
    "fleet.json": "tenantproxy-fleet",
    "tenant.json": "tenantproxy-tenant",
    "canary.json": "tenantproxy-canary",
    "idle-and-wake.json": "tenantproxy-idle",
}
PROMETHEUS_LABELS = {"instance", "job", "le", "__name__"}
BOARDS = queries.boards()


def schema(name: str) -> dict:
    found = json.loads((SCHEMAS / f"{name}.json").read_text())
    if name == "dashboard":
        # Open in Grafana's own schema (kinds/dashboard): data sources "just spread their query into
        # the base object". Types in TypeScript cannot say so.
        found["definitions"]["AnnotationQuery"]["additionalProperties"] = True
    return found


def panels():
    return [
        pytest.param(file, panel, id=f"{file}: {panel['title']}")
        for file, board in BOARDS.items()
        for panel in board["panels"]
        if panel["type"] != "row"
    ]


def test_to_generate_them_again_changes_nothing():
    for path, text in generated().items():
        assert path.read_text() == text, f"{path.name}: run make docs"
    assert {path.name for path in generated() if path.suffix == ".json"} == set(BOARDS)


def test_their_uids_are_those_that_people_have_bookmarked():
    assert {file: board["uid"] for file, board in BOARDS.items()} == UIDS


@pytest.mark.parametrize("file", BOARDS)
def test_a_dashboard_is_valid_by_grafanas_schema(file):
    jsonschema.validate({"dashboard": BOARDS[file]}, schema("dashboard"))


def test_the_schema_notices_a_wrong_word():
    board = json.loads(json.dumps(BOARDS["fleet.json"]))
    board["refesh"] = "5s"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"dashboard": board}, schema("dashboard"))


@pytest.mark.parametrize(("file", "panel"), panels())
def test_a_panel_is_valid_by_the_schema_of_its_kind(file, panel):
    kind = schema(panel["type"].replace("-", ""))
    part = {"options": panel.get("options", {})}
    if "custom" in kind["definitions"]["Part"]["properties"]:
        part["custom"] = panel["fieldConfig"]["defaults"].get("custom", {})
    # What is left out has a default, which types in TypeScript do not tell.
    for definition in kind["definitions"].values():
        definition.pop("required", None)
    jsonschema.validate(part, kind)


@pytest.mark.parametrize(("file", "panel"), panels())
def test_a_panel_says_what_it_shows_and_in_what_unit(file, panel):
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]


@pytest.mark.parametrize("file", BOARDS)
def test_panels_have_numbers_of_their_own_and_do_not_overlap(file):
    found = BOARDS[file]["panels"]
    assert len({panel["id"] for panel in found}) == len(found)
    taken = set()
    for panel in found:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("file", BOARDS)
def test_everything_asks_the_chosen_data_source(file):
    board = BOARDS[file]
    assert set(sources(board)) == {"${datasource}"}
    assert board["templating"]["list"][0]["type"] == "datasource"


def test_links_between_dashboards_lead_to_dashboards():
    for file, board in BOARDS.items():
        linked = {re.fullmatch(r"/d/([^?]+)\?.*", link["url"])[1] for link in board["links"]}
        assert linked == set(UIDS.values()) - {board["uid"]}, file
    text = "".join(json.dumps(board["panels"]) for board in BOARDS.values())
    assert set(re.findall(r'"/d/([^/?"]+)\?', text)) == {UIDS["tenant.json"], UIDS["canary.json"]}


def test_links_take_the_data_source_along_and_never_all_tenants_to_one():
    for board in BOARDS.values():
        several = {v["name"] for v in board["templating"]["list"] if v.get("includeAll")}
        for url in re.findall(r'"url": "(/d/[^"]+)"', json.dumps(board)):
            assert "${datasource:queryparam}" in url
            assert not several & set(re.findall(r"\$\{(\w+):queryparam\}", url))


def test_a_rate_is_never_taken_over_a_fixed_time():
    for asked in queries.of_boards():
        for time in re.findall(r"(?:rate|increase)\([^\[]*\[([^\]]+)\]", asked.expr):
            assert time in {"$__rate_interval", "$__range"}, asked


def sources(part):
    """Yield the uid of every data source that is named in there."""
    if isinstance(part, dict):
        if "datasource" in part:
            yield part["datasource"]["uid"]
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from sources(one)


VARIABLES = {
    "__rate_interval": "1m",
    "__interval": "15s",
    "__range": "1h",
    "tenant": "acme",
    "listener": "web",
}


def test_queries_name_only_metrics_that_exist_with_labels_that_these_have():
    known = {name: {*m.labels, *PROMETHEUS_LABELS} for m in METRICS for name in m.sample_names}
    for asked in queries.of_boards():
        expr = asked.with_values(VARIABLES)
        named = queries.metrics(expr)
        assert named, asked
        assert named <= set(known), asked
        assert queries.labels(expr) <= set().union(*(known[name] for name in named)), asked


def test_every_variable_that_is_used_is_there():
    own = {"__rate_interval", "__interval", "__range", "__data", "__url_time_range", "__all"}
    for file, board in BOARDS.items():
        used = set(re.findall(r"\$\{?([a-z_]+)", json.dumps(board)))
        there = {variable["name"] for variable in board["templating"]["list"]}
        assert used - own <= there, file


def test_every_state_of_an_endpoint_has_a_colour_of_its_own_in_its_panel():
    assert set(ENDPOINTS) == set(get_args(EndpointState))
    assert len(set(ENDPOINTS.values())) == len(ENDPOINTS)
    panel = next(p for p in BOARDS["tenant.json"]["panels"] if p["title"] == "Endpoints by state")
    assert {
        one["matcher"]["options"]: one["properties"][0]["value"]
        for one in panel["fieldConfig"]["overrides"]
    } == {state: {"mode": "fixed", "fixedColor": colour} for state, colour in ENDPOINTS.items()}


def test_every_state_of_a_rollout_has_a_number_and_a_colour_of_its_own():
    assert [word for word, _ in PHASES.values()] == list(Phase)
    assert len({colour for _, colour in PHASES.values()}) == len(Phase)
    for title in ("State", "States of the rollout"):
        panel = next(p for p in BOARDS["canary.json"]["panels"] if p["title"] == title)
        expr = panel["targets"][0]["expr"]
        numbers = re.findall(r'state="(\w+)"} \* (\d+)', expr)
        assert {number: state for state, number in numbers} == {
            number: word for number, (word, _) in PHASES.items()
        }


def test_every_result_of_a_check_has_a_colour_of_its_own():
    assert set(RESULTS) == {*findings.RESULTS, findings.ASIDE}
    assert len(set(RESULTS.values())) == len(RESULTS)
