"""The JSON schema: the document as other tools see it."""

import copy
import json
import re

import jsonschema
import pytest
import yaml
from hypothesis import given, settings

from tenantproxy.config.render import render_document
from tenantproxy.config.schema import json_schema, part_schemas
from tests.config.test_document import FULL
from tests.config.test_render import documents

SCHEMA = json_schema()
CHECK = jsonschema.Draft202012Validator(SCHEMA)


def test_it_is_a_schema_of_2020_12():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for schema in part_schemas().values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_the_example_of_the_contract_fits():
    example = yaml.safe_load(FULL)
    CHECK.validate(example)


@settings(max_examples=40, deadline=None)
@given(documents())
def test_what_is_rendered_fits(document):
    CHECK.validate(render_document(document))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("tenant",), {}),
        (("version",), 2),
        (("proxy", "database"), "sqlite:///x"),
        (("proxy", "relay"), "sendfile"),
        (("proxy", "workers"), 0),
        (("proxy", "shutdown", "drain"), 30),
        (("tenants", "Acme"), {}),
        (("tenants", "acme", "limits"), {"max_connections": 1}),
        (("tenants", "acme", "labels", "x"), 5),
        (("proxy", "dns", "servers"), ["dns.example"]),
        (("tenants", "acme", "upstreams", "web-v1", "warm"), 1001),
        (("tenants", "acme", "upstreams", "web-v1", "endpoints"), None),
        (("tenants", "acme", "upstreams", "web-v1", "discovery"), {"dns": "web:80"}),
        (("tenants", "acme", "upstreams", "named", "discovery"), {}),
        (("tenants", "acme", "upstreams", "named", "discovery"), {"dns": "a:1", "srv": "a"}),
        (("tenants", "acme", "upstreams", "web-v1", "panic"), 0.5),
        (("tenants", "acme", "upstreams", "web-v1", "panic"), "101%"),
        (("tenants", "acme", "upstreams", "web-v1", "health"), {}),
        (("tenants", "acme", "upstreams", "web-v1", "health", "tcp"), {}),
        (("tenants", "acme", "upstreams", "web-v1", "health", "http", "expect"), "200"),
        (("tenants", "acme", "upstreams", "web-v1", "health", "http", "path"), "a b"),
        (("tenants", "acme", "upstreams", "plain", "queue"), {"size": 1, "timeout": "1s"}),
        (("tenants", "acme", "upstreams", "plain", "tls"), {"key_file": "k"}),
        (("tenants", "acme", "upstreams", "web-v1", "tls", "server_name"), "a b"),
        (("tenants", "acme", "listeners", "web", "sticky"), {"cookie": "x"}),
        (("tenants", "acme", "upstreams", "web-v1", "endpoints"), []),
        (("tenants", "acme", "upstreams", "web-v1", "endpoints"), ["10.0.0.1"]),
        (("tenants", "acme", "upstreams", "web-v1", "endpoints"), [{"weight": 1}]),
        (("tenants", "acme", "listeners", "web", "drain"), 600),
        (("tenants", "acme", "listeners", "web", "split"), {}),
        (("tenants", "acme", "listeners", "web", "split"), {"A": 1}),
        (("tenants", "acme", "listeners", "web", "idle", "after"), "1h30m"),
        (("tenants", "acme", "listeners", "web", "x"), None),
        (("tenants", "acme", "listeners", "web", "rollout"), {}),
        (("proxy", "rollout_commands"), "yes"),
        (("tenants", "acme", "listeners", "web", "rollout", "preview"), None),  # it experiments
        (("tenants", "acme", "listeners", "web", "rollout", "steps"), []),
        (("tenants", "acme", "listeners", "web", "rollout", "rebalance"), "5%"),
        (("tenants", "acme", "listeners", "web", "rollout", "analysis", "checks"), [{}]),
    ],
)
def test_what_the_program_refuses_does_not_fit(path, value):
    example = copy.deepcopy(yaml.safe_load(FULL))
    at = example
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    assert not CHECK.is_valid(example)


def test_every_mapping_is_closed_and_every_key_described():
    for name, definition in {"document": SCHEMA, **SCHEMA["$defs"]}.items():
        assert definition["additionalProperties"] is False, name
        for key, part in definition["properties"].items():
            described = SCHEMA["$defs"].get(part.get("$ref", "").rpartition("/")[2], part)
            assert described.get("description"), f"{name}.{key}"
            assert "title" not in part


def test_patterns_are_those_that_every_engine_reads():
    """RE2, which Helm and Go use, knows no looking ahead or behind and no back-references."""
    patterns = re.findall(r'"pattern": ("(?:[^"\\\\]|\\\\.)*")', json.dumps(SCHEMA))
    assert len(patterns) > 20
    for pattern in map(json.loads, patterns):
        assert "(?" not in pattern
        assert re.search(r"\\[1-9]", pattern) is None


def test_defaults_are_written_as_in_a_document():
    listener = SCHEMA["$defs"]["ListenerDoc"]["properties"]
    assert listener["drain"]["default"] == "10m"
    assert SCHEMA["$defs"]["UpstreamDoc"]["properties"]["panic"]["default"] == "50%"
    assert SCHEMA["$defs"]["HttpCheckDoc"]["properties"]["expect"]["default"] == "200-399"
    proxy = SCHEMA["$defs"]["ProxyDoc"]["properties"]
    assert proxy["port_range"]["default"] == "20000-29999"
    assert proxy["workers"]["default"] == "auto"
    assert "default" not in proxy["admin"]
    rollout = SCHEMA["$defs"]["RolloutDoc"]["properties"]
    assert (rollout["deadline"]["default"], rollout["preview"]["default"]) == ("10m", "auto")
    assert SCHEMA["$defs"]["CheckDoc"]["properties"]["under"]["default"] is None
