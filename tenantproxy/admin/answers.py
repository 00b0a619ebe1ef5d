"""Answers to what changes something: what would change, what is there now, what went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from tenantproxy.admin import views
from tenantproxy.admin.api import note, reply
from tenantproxy.model.delta import Change


def rehearsed(changes: Sequence[Change]) -> web.Response:
    """Answer a dry run: nothing was changed."""
    return reply({"dry_run": True, "changes": views.show_changes(changes)})


def written(
    shown: dict[str, Any], changes: Sequence[Change], *, created: bool, tag: str | None
) -> web.Response:
    """Answer with the object as it is now, its version, and what has changed."""
    answer = {**shown, "dry_run": False, "changes": views.show_changes(changes)}
    return reply(answer, status=201 if created else 200, tag=tag)


def deleted(request: web.Request, changes: list[Change], *, dry: bool) -> web.Response:
    """Answer a removal, and log it unless it was only rehearsed."""
    if not dry:
        note(request, changes)
    return reply({"dry_run": dry, "changes": views.show_changes(changes)})
