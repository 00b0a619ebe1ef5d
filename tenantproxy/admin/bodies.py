"""Reads the bodies of requests: bounded, of a known type, and strict."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from aiohttp import web

from tenantproxy.admin.problems import BadRequest, BodyTooLarge, UnsupportedMediaType
from tenantproxy.config.load import parse_document_async
from tenantproxy.metrics.aside import Aside
from tenantproxy.model.spec import Document

OBJECT_BYTES = 1024 * 1024
DOCUMENT_BYTES = 32 * 1024 * 1024

_LARGE_BYTES = 64 * 1024
"""Decoded aside: it would take more than some milliseconds."""

_YAML = ("application/yaml", "application/x-yaml", "text/yaml")


async def read_object(request: web.Request, aside: Aside) -> Any:
    """Return the JSON body of a request, of at most `OBJECT_BYTES`.

    Raises:
        UnsupportedMediaType, BodyTooLarge: see there.
        BadRequest: it is not JSON, or a key stands twice.
    """
    _expect(request, ("application/json",))
    body = await _read(request, OBJECT_BYTES)
    return _decode(body) if len(body) < _LARGE_BYTES else await aside.run(_decode, body)


async def read_document(request: web.Request) -> Document:
    """Return the document in the body, as JSON or YAML, of at most `DOCUMENT_BYTES`.

    Raises:
        UnsupportedMediaType, BodyTooLarge: see there.
        DocumentError: carries every problem with line and column.
    """
    _expect(request, ("application/json", *_YAML))
    body = await _read(request, DOCUMENT_BYTES)
    # JSON is YAML, so one parser serves both, and problems have lines in both.
    return await parse_document_async(_text(body))


def _expect(request: web.Request, types: tuple[str, ...]) -> None:
    if request.content_type not in types:
        given = request.headers.get("Content-Type", "none")[:80]
        raise UnsupportedMediaType(
            f"the body needs Content-Type {' or '.join(types[:2])}, not {given}",
            hint=f"with curl: -H 'Content-Type: {types[0]}'",
        )


async def _read(request: web.Request, limit: int) -> bytes:
    too_large = BodyTooLarge(
        f"the body is larger than {limit >> 20} MiB", hint="put it in parts, such as single tenants"
    )
    if (request.content_length or 0) > limit:
        raise too_large
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > limit:
            raise too_large
    return bytes(body)


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8 at byte {error.start}") from None


def _decode(body: bytes) -> Any:
    try:
        return json.loads(_text(body), object_pairs_hook=_once, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise BadRequest(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    except ValueError as error:
        raise BadRequest(f"the body is not JSON that can be used: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadRequest(f"the key {twice[:80]!r} stands twice", hint="keep one of them")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
