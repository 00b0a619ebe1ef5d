"""What of the chart is made from its `values.yaml`: the schema and the table of values.

`values.yaml` is the one source. A comment `# -- ...` above a key describes it, and
`# @schema {...}` says of its schema what the default does not. A mapping that is `{}` in there, or
says so, is free; every other one is closed. `{document: Model.key}` takes the schema of a key of
the daemon's document.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tenantproxy.config.schema import json_schema

CHART = Path(__file__).parent.parent / "helm" / "tenantproxy"
BEGIN, END = "<!-- values:begin -->", "<!-- values:end -->"

Schema = dict[str, Any]

_OF_DEFAULT: list[tuple[type, Schema]] = [
    (bool, {"type": "boolean"}),
    (int, {"type": "integer", "minimum": 0}),
    (str, {"type": "string"}),
    (list, {"type": "array"}),
    (dict, {"type": "object"}),
]


@dataclass(frozen=True, slots=True)
class Value:
    """One key of `values.yaml`; `inside` is empty for one that is set as a whole."""

    path: str
    section: str
    default: Any
    description: str
    schema: Schema
    inside: tuple[Value, ...]

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    def leaves(self) -> Iterator[Value]:
        """Yield the values that are set as a whole, in the order of the file."""
        if not self.inside:
            yield self
        for value in self.inside:
            yield from value.leaves()


def values(text: str) -> tuple[Value, ...]:
    """Return the values that a `values.yaml` holds.

    Raises:
        ValueError: one that is set as a whole has no description.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("values.yaml is no mapping")  # noqa: TRY004 - of what it says
    return _inside(root, "", text.splitlines())


def schema(text: str) -> str:
    """Return what `values.schema.json` must be."""
    document = json_schema()
    made = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart tenantproxy",
        "$defs": document["$defs"],
        **_closed(values(text), document),
    }
    return json.dumps(made, indent=2) + "\n"


def table(text: str) -> str:
    """Return the tables of values for the README, one for each section of `values.yaml`."""
    lines: list[str] = []
    section = None
    for value in (leaf for top in values(text) for leaf in top.leaves()):
        if value.section != section:
            section = value.section
            lines += ["", f"### {section}", "", "| value | default | |", "|---|---|---|"]
        description = value.description.replace("|", "\\|")
        lines.append(f"| `{value.path}` | {_shown(value.default)} | {description} |")
    return "\n".join(lines[1:])


def generated() -> dict[Path, str]:
    """Return what each generated file of the chart must be."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    readme = CHART / "README.md"
    head, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    return {
        CHART / "values.schema.json": schema(text),
        readme: f"{head}{BEGIN}\n\n{table(text)}\n\n{END}{tail}",
    }


def _inside(node: yaml.MappingNode, above: str, lines: list[str]) -> tuple[Value, ...]:
    found = []
    for key, content in node.value:
        path = f"{above}.{key.value}".removeprefix(".")
        description, said = _comment(lines, key.start_mark.line)
        inside: tuple[Value, ...] = ()
        if isinstance(content, yaml.MappingNode) and "additionalProperties" not in said:
            inside = _inside(content, path, lines)
        if not inside and not description:
            raise ValueError(f"{path} has no description: write `# -- ...` above it")
        default = yaml.safe_load(yaml.serialize(content))
        section = _section(lines, key.start_mark.line)
        found.append(Value(path, section, default, description, said, inside))
    return tuple(found)


def _comment(lines: list[str], key: int) -> tuple[str, Schema]:
    """Return what the comment right above a line describes, and what it says of the schema."""
    first = key
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    words: list[str] = []
    said: Schema = {}
    for line in lines[first:key]:
        text = line.strip().removeprefix("#").strip()
        if text.startswith("@schema "):
            said |= yaml.safe_load(text.removeprefix("@schema "))
        elif words or text.startswith("-- "):
            words.append(text.removeprefix("-- "))
    return " ".join(words), said


def _section(lines: list[str], key: int) -> str:
    """Return the title of the last line `# Title -----` above."""
    titles = (line[2:].rstrip("- ") for line in lines[:key] if line.endswith("-----"))
    return ([*titles] or ["Names"])[-1]


def _closed(inside: tuple[Value, ...], document: Schema) -> Schema:
    properties = {value.name: _schema(value, document) for value in inside}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _schema(value: Value, document: Schema) -> Schema:
    about = {"description": value.description} if value.description else {}
    said = dict(value.schema)
    key = said.pop("document", None)
    if value.inside:
        return {**about, **_closed(value.inside, document)}
    if key is not None:
        model, _, name = key.partition(".")
        found = document["$defs"].get(model, document)["properties"][name]
        return {**{k: v for k, v in found.items() if k != "default"}, **about}
    base = next(made for kind, made in _OF_DEFAULT if isinstance(value.default, kind))
    return {**about, **({} if "enum" in said else base), **said}


def _shown(default: Any) -> str:
    if isinstance(default, dict) and any("\n" in str(text) for text in default.values()):
        return "see `values.yaml`"
    return f"`{json.dumps(default, ensure_ascii=False)}`"
