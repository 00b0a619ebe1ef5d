"""The OpenAPI 3.1 document, made from the table of routes and the shapes."""

from __future__ import annotations

import copy
import re
from functools import cache
from http import HTTPStatus
from typing import Any

from tenantproxy import __version__
from tenantproxy.admin.problems import CONTENT_TYPE
from tenantproxy.admin.rollout_shapes import ROLLOUT_SHAPES
from tenantproxy.admin.routes import ROUTES, Route
from tenantproxy.admin.shapes import SHAPES, Schema, ref
from tenantproxy.config.schema import json_schema, part_schemas

_PARAMETERS: dict[str, tuple[str, Schema]] = {
    "dry_run": (
        "Answer what would change, and change nothing.",
        {"type": "boolean", "default": False},
    ),
    "connections": (
        "What happens to live connections.",
        {"enum": ["drain", "keep", "kill"], "default": "drain"},
    ),
    "label": ("KEY=VALUE that the labels must hold; may be repeated.", {"type": "string"}),
    "tenant": ("Only what concerns this tenant.", {"type": "string"}),
    "after": ("Only events with a higher number.", {"type": "integer", "minimum": 0}),
    "limit": ("At most so many, the newest.", {"type": "integer", "default": 1000, "minimum": 0}),
}
_BODIES = {
    "tenant": ref("TenantSpec"),
    "listener": ref("ListenerSpec"),
    "upstream": ref("UpstreamSpec"),
    "split": ref("Split"),
    "rollout": ref("RolloutSpec"),
    "document": ref("Document"),
}
_OF_ITSELF = {
    "operationId": "openapi",
    "summary": "This document",
    "tags": ["daemon"],
    "responses": {
        "200": {
            "description": "Done.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
        "default": {"$ref": "#/components/responses/Problem"},
    },
}
_ABOUT = (
    "Everything but `/livez` and `/readyz` needs the token, if the daemon has one. "
    "Every error is `application/problem+json` with a stable `code`. "
    "What the API changed lives until the daemon ends, or until the file says something new of it; "
    "`source` says where a value comes from."
)


def openapi() -> dict[str, Any]:
    """Return the document; it is the caller's."""
    return copy.deepcopy(_document())


@cache
def _document() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    paths["/openapi.json"] = {"get": _OF_ITSELF}
    for path, item in paths.items():
        names = re.findall(r"\{(\w+)\}", path)
        if names:
            item["parameters"] = [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in names
            ]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tenantproxy",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
            "responses": {"Problem": _problem("It was refused, or failed.")},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.operation,
        "summary": route.summary,
        "tags": [_tag(route)],
        "responses": _responses(route),
    }
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if route.body is not None:
        types = ["application/json"]
        if route.body == "document":
            types.append("application/yaml")
        content = {one: {"schema": _BODIES[route.body]} for one in types}
        operation["requestBody"] = {"required": True, "content": content}
    if route.path in ("/livez", "/readyz"):
        operation["security"] = [{}]
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    found = []
    for name in route.query:
        text, schema = _PARAMETERS[name]
        found.append({"name": name, "in": "query", "description": text, "schema": schema})
    headers = {}
    if route.tagged and route.method != "GET":
        headers["If-Match"] = "The version that is to be replaced; else 412."
    if route.tagged and route.method == "PUT":
        headers["If-None-Match"] = "`*`: only if there is none yet; else 412."
    if route.operation == "watch":
        headers["Last-Event-ID"] = "Go on after this event; wins over `after`."
    return found + [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
        for name, text in headers.items()
    ]


def _responses(route: Route) -> dict[str, Any]:
    kind = "text/event-stream" if route.operation == "watch" else "application/json"
    shape = ref(route.answer)
    if "dry_run" in route.query and route.answer.endswith("Written"):
        shape = {"anyOf": [shape, ref("Changes")]}
    done: dict[str, Any] = {"description": "Done.", "content": {kind: {"schema": shape}}}
    if route.tagged and route.method != "DELETE":
        version = {"description": "The version of what may be put.", "schema": {"type": "string"}}
        done["headers"] = {"ETag": version}
    found = {"200": done}
    if route.method == "PUT" and route.body in ("tenant", "listener", "upstream", "rollout"):
        found["201"] = {**done, "description": "Done; it is new."}
    for status in route.errors:
        found[str(status)] = _problem(HTTPStatus(status).phrase)
    if route.operation == "readyz":
        found["503"] = {**done, "description": "Not ready."}
    found["default"] = {"$ref": "#/components/responses/Problem"}
    return found


def _problem(text: str) -> dict[str, Any]:
    return {"description": text, "content": {CONTENT_TYPE: {"schema": ref("Problem")}}}


def _tag(route: Route) -> str:
    if "/rollout" in route.path:
        return "rollouts"
    for word in ("listener", "upstream", "tenant"):
        if f"/{word}s" in route.path:
            return f"{word}s"
    return "daemon"


def _schemas() -> dict[str, Schema]:
    """Gather the shapes, and the schemas of the document with their definitions."""
    parts = part_schemas()
    found: dict[str, Schema] = {}
    _adopt(found, "Document", json_schema())
    for name in ("tenant", "listener", "upstream", "rollout"):
        _adopt(found, f"{name.capitalize()}Spec", parts[name])
    return {**found, **copy.deepcopy(SHAPES | ROLLOUT_SHAPES)}


def _adopt(found: dict[str, Schema], name: str, schema: Schema) -> None:
    """Take a schema in; its `$defs` become components of their own."""
    schema = _moved(schema)
    found |= schema.pop("$defs", {})
    schema.pop("$schema", None)
    found[name] = schema


def _moved(node: Any) -> Any:
    if isinstance(node, list):
        return [_moved(one) for one in node]
    if not isinstance(node, dict):
        return node
    return {
        key: value.replace("#/$defs/", "#/components/schemas/")
        if key == "$ref" and isinstance(value, str)
        else _moved(value)
        for key, value in node.items()
    }
