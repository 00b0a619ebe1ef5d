"""Handlers of rollouts: look, put, take away, and the six commands."""

# ruff: noqa: D103 - what each handler does stands in the table of routes

from __future__ import annotations

from aiohttp import web

from tenantproxy.admin import rollout_views, views
from tenantproxy.admin.answers import deleted, rehearsed
from tenantproxy.admin.api import (
    Api,
    dry_run,
    listener_of,
    note,
    owner,
    reply,
    reply_items,
)
from tenantproxy.admin.bodies import read_object
from tenantproxy.admin.etag import check, etag
from tenantproxy.admin.rollout_views import whole_rollout
from tenantproxy.admin.versions import rollout_version
from tenantproxy.config.document import parse_rollout
from tenantproxy.errors import NotFound
from tenantproxy.model import edit
from tenantproxy.model.delta import Change
from tenantproxy.model.rollout import Command
from tenantproxy.model.rollout_view import RolloutView
from tenantproxy.model.spec import ListenerKey, ListenerSpec


async def list_rollouts(api: Api, request: web.Request) -> web.StreamResponse:
    """Answer those of all tenants, or of the one in the path."""
    name = request.match_info.get("tenant")
    if name is not None:
        owner(api, name)
    mine = (one for one in api.control.rollout_snapshots() if name in (None, one.key.tenant))
    return await reply_items(api, request, mine, rollout_views.show_rollout, many=True, key=_key)


async def show_rollout(api: Api, request: web.Request) -> web.StreamResponse:
    shown = whole_rollout(api.control.rollout(listener_of(request)))
    return reply(shown, tag=etag(shown["spec"]))


async def put_rollout(api: Api, request: web.Request) -> web.StreamResponse:
    key, dry = listener_of(request), dry_run(request)
    _declared(api, key)
    spec = parse_rollout(*key, await read_object(request, api.aside))
    if spec is None:  # the document says it with null, and so may a body
        return await _take_away(api, request, key, dry=dry)
    tag = rollout_version(api, key)
    check(request, tag)
    changes = await api.control.put_rollout(key, spec, dry_run=dry)
    if dry:
        return rehearsed(changes)
    note(request, changes)
    shown = whole_rollout(api.control.rollout(key))
    answer = {**shown, "changes": views.show_changes(changes)}
    return reply(answer, status=201 if tag is None else 200, tag=rollout_version(api, key))


async def delete_rollout(api: Api, request: web.Request) -> web.StreamResponse:
    return await _take_away(api, request, listener_of(request), dry=dry_run(request))


async def start_rollout(api: Api, request: web.Request) -> web.StreamResponse:
    return await _command(api, request, "start")


async def pause_rollout(api: Api, request: web.Request) -> web.StreamResponse:
    return await _command(api, request, "pause")


async def resume_rollout(api: Api, request: web.Request) -> web.StreamResponse:
    return await _command(api, request, "resume")


async def promote_rollout(api: Api, request: web.Request) -> web.StreamResponse:
    return await _command(api, request, "promote")


async def abort_rollout(api: Api, request: web.Request) -> web.StreamResponse:
    return await _command(api, request, "abort")


async def rollback_rollout(api: Api, request: web.Request) -> web.StreamResponse:
    return await _command(api, request, "rollback")


async def _command(api: Api, request: web.Request, command: Command) -> web.StreamResponse:
    key, dry = listener_of(request), dry_run(request)
    before = api.control.rollout(key)
    after = await api.control.command_rollout(key, command, dry_run=dry)
    if dry:
        return rehearsed([_change(key, _where(before), command)])
    changes = [_change(key, _where(before), _where(after))]
    note(request, changes)
    return reply({**whole_rollout(after), "changes": views.show_changes(changes)})


async def _take_away(
    api: Api, request: web.Request, key: ListenerKey, *, dry: bool
) -> web.StreamResponse:
    if _declared(api, key).rollout is None:
        raise NotFound(f"listener {key} has no rollout")
    check(request, rollout_version(api, key))
    changes = await api.control.put_rollout(key, None, dry_run=dry)
    return deleted(request, changes, dry=dry)


def _declared(api: Api, key: ListenerKey) -> ListenerSpec:
    """Return the listener as a document may name it; a preview is not such a one.

    Raises:
        NotFound: there is none.
    """
    return edit.listener(api.control.document().tenants, key)


def _change(key: ListenerKey, before: str, after: str) -> Change:
    return Change("change", "rollout", str(key), before, after)


def _where(view: RolloutView) -> str:
    """Return where it is: `running, step 2 of 4, 25%`."""
    return f"{view.phase}, step {view.step} of {view.steps}, {view.weight}%"


def _key(view: RolloutView) -> str:
    """Sort as `model.spec` keys do; NUL is below every character of a name."""
    return f"{view.key.tenant}\0{view.key.listener}"
