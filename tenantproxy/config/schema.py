"""The JSON schema of the document (2020-12), for editors and `tenantproxy schema`.

It is made from the models, so it cannot drift from what is accepted. What a
schema cannot say (a split names a known upstream, ports do not clash) is left
to `tenantproxy check`.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from tenantproxy.config.fields import DURATION_PATTERN, RANGE_PATTERN, SHARE_PATTERN
from tenantproxy.config.models import DocumentDoc, ListenerDoc, TenantDoc
from tenantproxy.config.policies import PolicyDoc
from tenantproxy.config.render import render_codes
from tenantproxy.config.rollout_models import RolloutDoc
from tenantproxy.config.strict import Strict
from tenantproxy.config.units import format_duration, format_share
from tenantproxy.config.upstream_models import UpstreamDoc

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def json_schema() -> Schema:
    """Return the schema of the whole document; closed, with descriptions and defaults."""
    return _schema(DocumentDoc, "tenantproxy document")


def part_schemas() -> dict[str, Schema]:
    """Return the schemas of what the API takes, a rollout among it, and of a policy."""
    models: dict[str, type[BaseModel]] = {
        "tenant": TenantDoc,
        "listener": ListenerDoc,
        "upstream": UpstreamDoc,
        "rollout": RolloutDoc,
        "policy": PolicyDoc,
    }
    return {name: _schema(model, f"tenantproxy {name}") for name, model in models.items()}


class _Quiet(GenerateJsonSchema):
    """Without warnings: defaults are values of the program, and are put into words below."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012


def _schema(model: type[BaseModel], title: str) -> Schema:
    made = model.model_json_schema(schema_generator=_Quiet, mode="validation")
    _tidy(made)
    for name, definition in made.get("$defs", {}).items():
        _add_later(definition, _MODELS[name])
    _add_later(made, model)
    return {"$schema": DIALECT, "title": title, **{k: v for k, v in made.items() if k != "title"}}


def _tidy(node: Any) -> None:
    """Take out pydantic's titles, and put defaults into the document's words."""
    if isinstance(node, list):
        for one in node:
            _tidy(one)
    if not isinstance(node, dict):
        return
    if "patternProperties" in node:
        node["additionalProperties"] = False
    for name, part in node.get("properties", {}).items():
        part.pop("title", None)
        if part.get("type") != "string":  # examples of other types are text for messages
            part.pop("examples", None)
        if "default" in part:
            _default(name, part)
    if isinstance(node.get("title"), str):
        del node["title"]
    for part in node.values():
        _tidy(part)


def _default(name: str, part: Schema) -> None:
    value = part["default"]
    if value is None:
        part["default"] = "auto" if name == "workers" else None
    elif part.get("pattern") == DURATION_PATTERN:
        part["default"] = format_duration(value)
    elif part.get("pattern") == SHARE_PATTERN:
        part["default"] = format_share(value)
    elif part.get("pattern") == RANGE_PATTERN:
        part["default"] = "-".join(map(str, value))
    elif name == "expect":
        part["default"] = render_codes(value)
    elif isinstance(value, dict):  # it stands at the keys of that mapping already
        del part["default"]


def _add_later(definition: Schema, model: type[BaseModel]) -> None:
    """Name the keys that are accepted only with the values that mean off."""
    if not issubclass(model, Strict):
        return
    for key, (does, off) in model.later.items():
        definition["properties"][key] = {
            "enum": [None, *off],
            "description": f"Not supported yet: {does}.",
        }


def _all_models(model: type[Strict]) -> dict[str, type[Strict]]:
    found = {model.__name__: model}
    for sub in model.__subclasses__():
        found |= _all_models(sub)
    return found


_MODELS = _all_models(Strict)
