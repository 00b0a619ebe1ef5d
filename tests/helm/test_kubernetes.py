"""Every object is one that Kubernetes 1.31 to 1.37 and the Prometheus operator would take."""

import json

import jsonschema
import kubernetes_validate
import pytest

from tests.helm.chart import parse

VERSIONS = [f"1.{minor}" for minor in range(31, 38)]

TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
SELECTOR = {
    "type": "object",
    "additionalProperties": False,
    "required": ["matchLabels"],
    "properties": {"matchLabels": TEXTS},
}
RELABELING = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "sourceLabels": {"type": "array", "items": {"type": "string"}},
        **{key: {"type": "string"} for key in ("separator", "targetLabel", "regex", "replacement")},
        "action": {"enum": ["replace", "keep", "drop", "labelmap", "labeldrop", "labelkeep"]},
    },
}
DURATION = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"}
ENDPOINT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["port", "path"],
    "properties": {
        "port": {"const": "metrics"},
        "path": {"const": "/metrics"},
        "interval": DURATION,
        "scrapeTimeout": DURATION,
        "relabelings": {"type": "array", "items": RELABELING},
        "metricRelabelings": {"type": "array", "items": RELABELING},
    },
}
RULE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["expr"],
    "oneOf": [{"required": ["alert"]}, {"required": ["record"]}],
    "properties": {
        **{key: {"type": "string", "minLength": 1} for key in ("alert", "record", "expr")},
        "for": DURATION,
        "keep_firing_for": DURATION,
        "labels": TEXTS,
        "annotations": TEXTS,
    },
}
GROUP = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "rules"],
    "properties": {
        "name": {"type": "string"},
        "interval": DURATION,
        "rules": {"type": "array", "minItems": 1, "items": RULE},
    },
}


def monitor(endpoints: str) -> dict:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["selector", endpoints],
        "properties": {
            "jobLabel": {"type": "string"},
            "selector": SELECTOR,
            endpoints: {"type": "array", "minItems": 1, "items": ENDPOINT},
        },
    }


# What the operator's own definitions say of the fields that the chart uses.
CUSTOM = {
    "ServiceMonitor": monitor("endpoints"),
    "PodMonitor": monitor("podMetricsEndpoints"),
    "PrometheusRule": {
        "type": "object",
        "additionalProperties": False,
        "required": ["groups"],
        "properties": {"groups": {"type": "array", "minItems": 1, "items": GROUP}},
    },
}


@pytest.fixture(scope="module")
def distinct(rendered) -> list[dict]:
    """Every object that is rendered from any file of `ci/`, each once."""
    every = [json.dumps(one, sort_keys=True) for objects in rendered.values() for one in objects]
    return [json.loads(text) for text in dict.fromkeys(every)]


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_object(distinct, version):
    for one in distinct:
        if one["kind"] not in CUSTOM:
            assert kubernetes_validate.validate(one, version, strict=True) == version


def test_the_check_finds_a_field_that_does_not_exist(manifests):
    text = manifests["default"].replace("enableServiceLinks:", "enableServiceLink:")
    with pytest.raises(kubernetes_validate.ValidationError, match="enableServiceLink"):
        for one in parse(text):
            kubernetes_validate.validate(one, "1.31", strict=True)


def test_custom_resources_have_the_fields_of_their_kinds(distinct):
    seen = set()
    for one in distinct:
        if one["kind"] in CUSTOM:
            seen.add(one["kind"])
            assert one["apiVersion"] == "monitoring.coreos.com/v1"
            jsonschema.validate(one["spec"], CUSTOM[one["kind"]])
    assert seen >= {"ServiceMonitor", "PodMonitor"}


def test_nothing_is_of_a_kind_that_is_not_checked(distinct):
    groups = {one["apiVersion"].partition("/")[0] for one in distinct if one["kind"] not in CUSTOM}
    assert groups == {"v1", "apps", "policy", "autoscaling", "networking.k8s.io"}
