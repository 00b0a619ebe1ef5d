"""The OpenAPI document is whole, valid, and says what the router does."""

import re
from typing import get_args

from jsonschema import Draft202012Validator

from tenantproxy.admin.app import make_app
from tenantproxy.admin.openapi import openapi
from tenantproxy.admin.routes import ROUTES
from tenantproxy.model.rollout import Command


def operations():
    for path, item in openapi()["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, item, operation


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_route_of_the_router_is_there_and_no_other(control):
    app = make_app(control, token=None)
    routed = {
        (route.resource.canonical, route.method.lower())
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert {(path, method) for path, method, _, _ in operations()} == routed


def test_the_contract_is_there():
    listener = "/api/v1/tenants/{tenant}/listeners/{listener}"
    contract = {
        "/api/v1/tenants": "get",
        "/api/v1/tenants/{tenant}": "get put delete",
        listener: "get put delete",
        f"{listener}/open": "post",
        f"{listener}/sleep": "post",
        f"{listener}/split": "get put",
        f"{listener}/rollout": "get put delete",
        **{f"{listener}/rollout/{command}": "post" for command in get_args(Command)},
        "/api/v1/rollouts": "get",
        "/api/v1/tenants/{tenant}/rollouts": "get",
        "/api/v1/tenants/{tenant}/upstreams/{upstream}": "get put delete",
        "/api/v1/document": "get put",
        "/api/v1/diff": "post",
        "/api/v1/events": "get",
        "/api/v1/generations": "get",
        "/api/v1/watch": "get",
        "/livez": "get",
        "/readyz": "get",
        "/openapi.json": "get",
    }
    paths = openapi()["paths"]
    for path, methods in contract.items():
        assert set(methods.split()) <= set(paths[path]), path


def test_everything_that_writes_takes_a_dry_run():
    for route in ROUTES:
        if route.method != "GET" and not route.path.endswith(("/diff", "/reload")):
            assert "dry_run" in route.query, route.path


def test_everything_that_can_be_put_has_versions():
    for route in ROUTES:
        if route.method == "PUT":
            assert route.tagged
            (reading,) = (r for r in ROUTES if (r.method, r.path) == ("GET", route.path))
            assert reading.tagged


def test_every_reference_leads_somewhere():
    whole = openapi()
    for reference in set(references(whole)):
        node = whole
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_every_schema_is_one():
    for schema in openapi()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_operation_ids_are_unique_words():
    names = [operation["operationId"] for _, _, _, operation in operations()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z][A-Za-z]+", name) for name in names)


def test_every_operation_has_what_openapi_asks_for():
    for path, method, item, operation in operations():
        where = f"{method} {path}"
        assert operation["responses"]["200"]["description"], where
        assert "default" in operation["responses"], where
        named = {p["name"] for p in item.get("parameters", []) if p["in"] == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", path)), where
        assert ("requestBody" in operation) == (method == "put" or path.endswith("/diff")), where


def test_the_document_is_the_callers_to_change():
    openapi()["paths"].clear()
    assert openapi()["paths"]


async def test_it_is_served(api):
    assert await api.get("/openapi.json") == openapi()
