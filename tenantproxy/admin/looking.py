"""Handlers of everything that only looks."""

# ruff: noqa: D103 - what each handler does stands in the table of routes

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from tenantproxy.admin import views
from tenantproxy.admin.api import (
    JSON,
    MANY,
    Api,
    listener_of,
    number,
    owner,
    reply,
    reply_items,
    tenant_of,
    upstream_of,
)
from tenantproxy.admin.bodies import read_document
from tenantproxy.admin.etag import etag
from tenantproxy.admin.phases import Phases, phase_of, phases
from tenantproxy.admin.problems import BadRequest
from tenantproxy.admin.versions import document_version, listener_version, split_version
from tenantproxy.config.render import render_proxy, render_split, render_tenant
from tenantproxy.errors import NotFound
from tenantproxy.metrics import probes
from tenantproxy.metrics.pieces import send_pieces
from tenantproxy.model.delta import Change
from tenantproxy.model.spec import Document, ListenerKey, TenantSpec
from tenantproxy.model.views import ListenerView, TenantView, UpstreamView

View = TypeVar("View", ListenerView, UpstreamView)

_EVENTS_AT_MOST = 10_000


async def index(_api: Api, _request: web.Request) -> web.StreamResponse:
    routes = ("/openapi.json", "/api/v1/status", "/api/v1/tenants", "/api/v1/watch", "/readyz")
    return reply({"name": "tenantproxy", "routes": routes})


async def livez(_api: Api, _request: web.Request) -> web.StreamResponse:
    return probes.livez()


async def readyz(api: Api, _request: web.Request) -> web.StreamResponse:
    return probes.readyz(api.control)


async def show_status(api: Api, _request: web.Request) -> web.StreamResponse:
    return reply(views.show_status(api.control.status()))


# Tenants, listeners, upstreams ---------------------------------------------


async def list_tenants(api: Api, request: web.Request) -> web.StreamResponse:
    wanted = [_label(text) for text in request.query.getall("label", [])]
    found = [
        spec
        for _, spec in sorted(api.control.document().tenants.items())
        if all(spec.labels.get(key) == value for key, value in wanted)
    ]
    shown = await api.aside.run(_tenant_views, api, found)
    return await reply_items(api, request, shown, views.show_tenant, many=len(shown) > MANY)


async def show_tenant(api: Api, request: web.Request) -> web.StreamResponse:
    # Aside, because it sums over every listener of the tenant, and there may be thousands.
    name = tenant_of(request)
    view = await api.aside.run(api.control.tenant, name)
    shown = await api.aside.run(views.whole_tenant, view, owner(api, name))
    return reply(shown, tag=etag(shown["spec"]))


async def list_listeners(api: Api, request: web.Request) -> web.StreamResponse:
    """Answer those of all tenants, or of the one in the path."""
    name = request.match_info.get("tenant")
    if name is not None and len(owner(api, name).listeners) <= MANY:
        few, show = api.control.listeners(name), _listener_in(phases(api.control.rollouts(name)))
        return await reply_items(api, request, few, show, many=False)
    mine = _of(name, api.control.listener_snapshots())
    show = _listener_in(await api.aside.run(phases, api.control.rollout_snapshots()))
    return await reply_items(api, request, mine, show, many=True, key=_key)


async def show_listener(api: Api, request: web.Request) -> web.StreamResponse:
    key = listener_of(request)
    shown = shown_listener(api, key)
    # Not of what is shown: while a rollout moves the split, what may be replaced stays as it is.
    return reply(shown, tag=listener_version(api, key))


def shown_listener(api: Api, key: ListenerKey) -> views.Json:
    """Return all of a listener; raises `NotFound`."""
    return views.whole_listener(api.control.listener(key), phase_of(api.control, key))


async def show_split(api: Api, request: web.Request) -> web.StreamResponse:
    key = listener_of(request)
    split = render_split(api.control.listener(key).spec.split)
    return reply(split, tag=split_version(api, key))


async def list_upstreams(api: Api, request: web.Request) -> web.StreamResponse:
    """Answer those of all tenants, or of the one in the path."""
    name = request.match_info.get("tenant")
    if name is not None and len(owner(api, name).upstreams) <= MANY:
        few = api.control.upstreams(name)
        return await reply_items(api, request, few, views.show_upstream, many=False)
    mine = _of(name, api.control.upstream_snapshots())
    return await reply_items(api, request, mine, views.show_upstream, many=True, key=_key)


async def show_upstream(api: Api, request: web.Request) -> web.StreamResponse:
    shown = views.whole_upstream(api.control.upstream(upstream_of(request)))
    return reply(shown, tag=etag(shown["spec"]))


# The document and what became of it ------------------------------------------


async def show_document(api: Api, request: web.Request) -> web.StreamResponse:
    tag = await document_version(api)
    pieces = await api.aside.run(_document_pieces, api.control.document())
    return await send_pieces(request, pieces, {**JSON, "ETag": tag})


async def diff(api: Api, request: web.Request) -> web.StreamResponse:
    changes = api.control.diff(await read_document(request))
    return await reply_diff(api, changes, {})


async def reply_diff(api: Api, changes: Sequence[Change], more: dict[str, Any]) -> web.Response:
    """Answer the lines of a diff and the generation that runs."""
    generation = api.control.status().generation
    shown = await api.aside.run(views.show_changes, changes)
    return reply({"generation": generation, **more, "changes": shown})


async def list_events(api: Api, request: web.Request) -> web.StreamResponse:
    after = number(request, "after", 0) or 0
    limit = min(number(request, "limit", 1_000) or 0, _EVENTS_AT_MOST)
    name = request.query.get("tenant")
    found = api.control.events(after=after, limit=_EVENTS_AT_MOST if name else limit)
    mine = [event for event in found if name is None or event.tenant == name]
    newest = mine[-limit:] if limit else []
    return await reply_items(api, request, newest, views.show_event, many=len(newest) > MANY)


async def watch(api: Api, request: web.Request) -> web.StreamResponse:
    after = number(request, "after", None)
    return await api.streams.answer(request, after=after, tenant=request.query.get("tenant"))


async def list_generations(api: Api, request: web.Request) -> web.StreamResponse:
    found = api.control.generations()
    return await reply_items(api, request, found, views.show_generation, many=len(found) > MANY)


async def list_policies(api: Api, request: web.Request) -> web.StreamResponse:
    found = api.control.policies()
    return await reply_items(api, request, found, views.show_policy, many=len(found) > MANY)


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise BadRequest(f"label needs KEY=VALUE, not {text[:40]!r}")
    return key, value


def _listener_in(now: Phases) -> Callable[[ListenerView], views.Json]:
    """Return what shows a listener with the phase of its rollout."""
    return lambda view: views.show_listener(view, now.get(view.spec.key))


def _tenant_views(api: Api, specs: list[TenantSpec]) -> list[TenantView]:
    """Look at tenants, aside: each sums over its listeners."""
    shown: list[TenantView] = []
    for spec in specs:
        try:
            shown.append(api.control.tenant(spec.name))
        except NotFound:
            continue  # removed meanwhile
    return shown


def _of(tenant: str | None, everything: Iterable[View]) -> Iterator[View]:
    """Yield what is of a tenant, or everything; gone through aside."""
    return (view for view in everything if tenant is None or view.spec.tenant == tenant)


def _key(view: ListenerView | UpstreamView) -> str:
    """Sort as `model.spec` keys do; NUL is below every character of a name."""
    return f"{view.spec.tenant}\0{view.spec.name}"


def _document_pieces(document: Document) -> list[bytes]:
    return list(_document(document))


def _document(document: Document) -> Iterator[bytes]:
    yield b'{"version":1,"proxy":' + msgspec.json.encode(render_proxy(document.proxy))
    yield b',"tenants":{'
    comma = b""
    for name, tenant in document.tenants.items():
        rendered = msgspec.json.encode(render_tenant(tenant))
        yield comma + msgspec.json.encode(name) + b":" + rendered
        comma = b","
    yield b"}}\n"
