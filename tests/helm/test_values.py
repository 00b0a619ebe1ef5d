"""The schema and the tables are made from values.yaml; this is how."""

import json

import jsonschema
import pytest
import yaml

from tests.helm.chart import CHART, CI_FILES
from tools.chart import schema, table, values

TEXT = """\
# -- Names things.
name: ""

# Sizes ---------------------------------------------------------------

# A remark that describes nothing.
size:
  # -- How many,
  # at most.
  # @schema {maximum: 9}
  most: 3
  # -- Which | ones.
  # @schema {enum: [some, "all"]}
  which: some
# -- Anything.
free: {}
# -- Anything, with something in it.
# @schema {additionalProperties: true}
filled: {a: 1}
# -- As in the document.
# @schema {document: ProxyDoc.workers}
workers: auto
"""


def made():
    return json.loads(schema(TEXT))["properties"]


def test_a_type_is_that_of_the_default_and_more_stands_in_the_comment():
    assert made()["name"] == {"description": "Names things.", "type": "string"}
    assert made()["size"]["properties"]["most"] == {
        "description": "How many, at most.",
        "type": "integer",
        "minimum": 0,
        "maximum": 9,
    }
    assert made()["size"]["properties"]["which"] == {
        "description": "Which | ones.",
        "enum": ["some", "all"],
    }


def test_a_mapping_is_closed_unless_it_is_empty_or_says_that_it_is_free():
    assert json.loads(schema(TEXT))["additionalProperties"] is False
    assert made()["size"]["additionalProperties"] is False
    assert "additionalProperties" not in made()["free"]
    assert made()["filled"]["additionalProperties"] is True


def test_a_key_of_the_document_has_the_schema_of_the_document():
    assert made()["workers"]["anyOf"][0] == {"const": "auto"}


def test_the_table_has_a_row_for_each_value_that_is_set_as_a_whole():
    assert table(TEXT).splitlines() == [
        "### Names",
        "",
        "| value | default | |",
        "|---|---|---|",
        '| `name` | `""` | Names things. |',
        "",
        "### Sizes",
        "",
        "| value | default | |",
        "|---|---|---|",
        "| `size.most` | `3` | How many, at most. |",
        '| `size.which` | `"some"` | Which \\| ones. |',
        "| `free` | `{}` | Anything. |",
        '| `filled` | `{"a": 1}` | Anything, with something in it. |',
        '| `workers` | `"auto"` | As in the document. |',
    ]


@pytest.mark.parametrize("text", ["a: 1\n", "# A remark.\na: 1\n", "# -- Of b.\n\na: {b: 1}\n"])
def test_a_value_without_a_description_is_refused(text):
    with pytest.raises(ValueError, match="has no description"):
        values(text)


def test_no_mapping_of_the_chart_is_open_by_mistake():
    """Free are the maps that Kubernetes gives a meaning to, and no other."""

    def free(node, path=""):
        for name, one in node.get("properties", {}).items():
            if one.get("type") == "object":
                if one.get("additionalProperties", True) is True:
                    yield f"{path}{name}"
                yield from free(one, f"{path}{name}.")

    whole = json.loads((CHART / "values.schema.json").read_text())
    assert set(free(whole)) == {
        "global",
        "updateStrategy",
        "exposure.extraSpec",
        "resources",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "lifecycle",
        "autoscaling.behavior",
        "affinity",
        "podSecurityContext",
        "securityContext",
    }


@pytest.mark.parametrize("file", [CHART / "values.yaml", *CI_FILES], ids=lambda file: file.name)
def test_other_readers_of_the_schema_agree_with_helm(file):
    """Editors, and versions of Helm with another validator."""
    whole = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(whole)
    jsonschema.Draft7Validator(whole).validate(yaml.safe_load(file.read_text()))


def test_lines_of_values_yaml_fit_a_screen():
    text = (CHART / "values.yaml").read_text().splitlines()
    long = [line for line in text if len(line) > 110 and "@schema" not in line]
    assert not long
