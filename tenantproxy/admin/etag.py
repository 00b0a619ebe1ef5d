"""Versions of what can be written, for `ETag`, `If-Match` and `If-None-Match` (RFC 9110, 13.1).

A version is a hash of the part that may be put back, never of counters, so it
changes exactly when the desired state of the thing does. It is a strong tag
for that part; answers carry counters too, which is why no 304 is ever sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import msgspec
from aiohttp import web

from tenantproxy.config.render import render_proxy, render_tenant
from tenantproxy.errors import StaleVersion
from tenantproxy.model.spec import Document


def etag(spec: Any) -> str:
    """Return the tag of a rendered specification, quotes included."""
    return _tag([_encode(spec)])


def etag_of_document(document: Document) -> str:
    """Return the tag of a whole document; in small steps, for another thread to take."""
    return _tag(_pieces(document))


def check(request: web.Request, tag: str | None) -> None:
    """Hold a write against its conditions; `tag` is the present one, None when there is nothing.

    Call this right before the write, with no `await` between.

    Raises:
        StaleVersion: a condition does not hold; nothing may be written.
    """
    wanted = request.headers.get("If-Match")
    if wanted is not None and (tag is None or not _names(wanted, tag)):
        raise StaleVersion(
            f"{request.path} has changed since that version"
            if tag is not None
            else f"{request.path} does not exist",
            hint="get it again, and repeat the change on what you find",
        )
    unwanted = request.headers.get("If-None-Match")
    if unwanted is not None and tag is not None and _names(unwanted, tag):
        raise StaleVersion(
            f"{request.path} exists already", hint="leave If-None-Match out to replace it"
        )


def conditional(request: web.Request) -> bool:
    """Whether a write has conditions: only then its present tag is needed."""
    return "If-Match" in request.headers or "If-None-Match" in request.headers


def _names(header: str, tag: str) -> bool:
    """Compare strongly, as RFC 9110 asks of `If-Match`: weak tags name nothing."""
    choices = [choice.strip() for choice in header.split(",")]
    return "*" in choices or tag in choices


def _tag(pieces: Iterable[bytes]) -> str:
    digest = blake2b(digest_size=12)
    for piece in pieces:
        digest.update(piece)
    return f'"{digest.hexdigest()}"'


def _pieces(document: Document) -> Iterable[bytes]:
    yield _encode(render_proxy(document.proxy))
    for name, tenant in sorted(document.tenants.items()):
        yield _encode([name, render_tenant(tenant)])


def _encode(spec: Any) -> bytes:
    """Encode with sorted keys: the order in which things were added is no difference."""
    return msgspec.json.encode(spec, order="deterministic")
