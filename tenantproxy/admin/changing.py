"""Handlers of everything that changes something: check the version, change, log, show.

Between the check of a version and the call of control there is no `await`,
and control starts no change while another is under way, so a version that
was checked is the one that is replaced.
"""

# ruff: noqa: D103 - what each handler does stands in the table of routes

from __future__ import annotations

from aiohttp import web

from tenantproxy.admin import views
from tenantproxy.admin.answers import deleted, rehearsed, written
from tenantproxy.admin.api import (
    Api,
    connections,
    dry_run,
    listener_of,
    note,
    owner,
    reply,
    tenant_of,
    upstream_of,
)
from tenantproxy.admin.bodies import read_document, read_object
from tenantproxy.admin.etag import check, conditional
from tenantproxy.admin.looking import reply_diff, shown_listener
from tenantproxy.admin.phases import phase_of
from tenantproxy.admin.versions import (
    document_version,
    listener_version,
    split_version,
    tenant_version,
    upstream_version,
)
from tenantproxy.config.document import parse_listener, parse_split, parse_tenant, parse_upstream
from tenantproxy.errors import Conflict, DocumentError, Problem
from tenantproxy.model.delta import Change
from tenantproxy.model.lifecycle import State
from tenantproxy.model.spec import ListenerKey
from tenantproxy.model.views import ListenerView

# Tenants -------------------------------------------------------------------


async def put_tenant(api: Api, request: web.Request) -> web.StreamResponse:
    name, dry = tenant_of(request), dry_run(request)
    body = await read_object(request, api.aside)
    spec = await api.aside.run(parse_tenant, name, body)
    tag = await tenant_version(api, name)
    check(request, tag)
    changes = await api.control.put_tenant(spec, dry_run=dry)
    if dry:
        return rehearsed(changes)
    note(request, changes)
    view = await api.aside.run(api.control.tenant, name)
    shown = await api.aside.run(views.whole_tenant, view, owner(api, name))
    return written(shown, changes, created=tag is None, tag=await tenant_version(api, name))


async def delete_tenant(api: Api, request: web.Request) -> web.StreamResponse:
    name, how, dry = tenant_of(request), connections(request), dry_run(request)
    owner(api, name)
    check(request, await tenant_version(api, name))
    changes = await api.control.delete_tenant(name, connections=how, dry_run=dry)
    return deleted(request, changes, dry=dry)


# Listeners -----------------------------------------------------------------


async def put_listener(api: Api, request: web.Request) -> web.StreamResponse:
    key, dry = listener_of(request), dry_run(request)
    owner(api, key.tenant)
    spec = parse_listener(*key, await read_object(request, api.aside))
    tag = listener_version(api, key)
    check(request, tag)
    changes = await api.control.put_listener(spec, dry_run=dry)
    if dry:
        return rehearsed(changes)
    note(request, changes)
    shown = shown_listener(api, key)
    return written(shown, changes, created=tag is None, tag=listener_version(api, key))


async def delete_listener(api: Api, request: web.Request) -> web.StreamResponse:
    key, how, dry = listener_of(request), connections(request), dry_run(request)
    api.control.listener(key)
    check(request, listener_version(api, key))
    changes = await api.control.delete_listener(key, connections=how, dry_run=dry)
    return deleted(request, changes, dry=dry)


async def put_split(api: Api, request: web.Request) -> web.StreamResponse:
    key, dry = listener_of(request), dry_run(request)
    api.control.listener(key)
    split = parse_split(await read_object(request, api.aside))
    check(request, split_version(api, key))
    changes = await api.control.set_split(key, split, dry_run=dry)
    if dry:
        return rehearsed(changes)
    note(request, changes)
    shown = shown_listener(api, key)
    return written(shown, changes, created=False, tag=split_version(api, key))


async def open_listener(api: Api, request: web.Request) -> web.StreamResponse:
    key, before = listener_of(request), api.control.listener(listener_of(request))
    if dry_run(request):
        return rehearsed(_moved(before, State.OPEN))
    return _moved_to(api, request, before, await api.control.open(key))


async def sleep_listener(api: Api, request: web.Request) -> web.StreamResponse:
    key, before = listener_of(request), api.control.listener(listener_of(request))
    how = connections(request)
    if dry_run(request):
        return rehearsed(_moved(before, State.ASLEEP))
    return _moved_to(api, request, before, await api.control.sleep(key, connections=how))


async def close_listener(api: Api, request: web.Request) -> web.StreamResponse:
    key, before = listener_of(request), api.control.listener(listener_of(request))
    how = connections(request)
    if dry_run(request):
        return rehearsed(_moved(before, State.COOLING))
    return _moved_to(api, request, before, await api.control.close(key, connections=how))


# Upstreams -----------------------------------------------------------------


async def put_upstream(api: Api, request: web.Request) -> web.StreamResponse:
    key, dry = upstream_of(request), dry_run(request)
    owner(api, key.tenant)
    spec = parse_upstream(*key, await read_object(request, api.aside))
    tag = upstream_version(api, key)
    check(request, tag)
    changes = await api.control.put_upstream(spec, dry_run=dry)
    if dry:
        return rehearsed(changes)
    note(request, changes)
    shown = views.whole_upstream(api.control.upstream(key))
    return written(shown, changes, created=tag is None, tag=upstream_version(api, key))


async def delete_upstream(api: Api, request: web.Request) -> web.StreamResponse:
    key, dry = upstream_of(request), dry_run(request)
    api.control.upstream(key)
    check(request, upstream_version(api, key))
    changes = await api.control.delete_upstream(key, dry_run=dry)
    return deleted(request, changes, dry=dry)


# The whole -----------------------------------------------------------------


async def put_document(api: Api, request: web.Request) -> web.StreamResponse:
    dry = dry_run(request)
    document = await read_document(request)
    if conditional(request):
        check(request, await document_version(api))
    changes = await api.control.put_document(document, dry_run=dry)
    if not dry:
        note(request, changes)
    answer = await reply_diff(api, changes, {"dry_run": dry})
    if not dry:
        answer.headers["ETag"] = await document_version(api)
    return answer


async def reload(api: Api, request: web.Request) -> web.StreamResponse:
    if api.reload is None:
        raise Conflict("this daemon reads no document", hint="use PUT /api/v1/document")
    await api.reload()
    status = api.control.status()
    if status.document_problems:
        raise DocumentError(tuple(Problem(text) for text in status.document_problems))
    note(request, [])
    return reply({"generation": status.generation})


# Answers -------------------------------------------------------------------


def _moved(before: ListenerView, after: State) -> list[Change]:
    """Say what becomes of a port; nothing if it is there already."""
    if before.state is after:
        return []
    name = str(ListenerKey(before.spec.tenant, before.spec.name))
    return [Change("change", "listener", name, f"state={before.state}", f"state={after}")]


def _moved_to(
    api: Api, request: web.Request, before: ListenerView, after: ListenerView
) -> web.Response:
    changes = _moved(before, after.state)
    note(request, changes)
    shown = views.whole_listener(after, phase_of(api.control, after.spec.key))
    return written(shown, changes, created=False, tag=None)
