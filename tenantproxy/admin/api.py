"""What every handler holds: the control side, and ways to read a request and to answer it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import structlog
from aiohttp import web

from tenantproxy.admin.auth import who
from tenantproxy.admin.problems import BadRequest
from tenantproxy.admin.sse import Streams
from tenantproxy.control.facade import Control
from tenantproxy.metrics.aside import Aside
from tenantproxy.metrics.pieces import send_pieces
from tenantproxy.model import edit
from tenantproxy.model.delta import Change, summary
from tenantproxy.model.spec import Connections, ListenerKey, TenantSpec, UpstreamKey

T = TypeVar("T")

MANY = 200
"""Things that are shown on the loop at once, in some 10 ms; more are shown aside."""
_A_PIECE = 100
_CHANGES_SHOWN = 20
"""In the log; the summary counts all."""

JSON = {"Content-Type": "application/json"}

_log = structlog.get_logger("tenantproxy.admin")


@dataclass(frozen=True, slots=True)
class Api:
    """The state of the application; handlers are functions of it and of the request."""

    control: Control
    reload: Callable[[], Awaitable[None]] | None
    aside: Aside
    streams: Streams


Handler = Callable[[Api, web.Request], Awaitable[web.StreamResponse]]


# Reading -----------------------------------------------------------------


def tenant_of(request: web.Request) -> str:
    """Return the tenant that the path names."""
    return request.match_info["tenant"]


def listener_of(request: web.Request) -> ListenerKey:
    """Return the listener that the path names."""
    return ListenerKey(tenant_of(request), request.match_info["listener"])


def upstream_of(request: web.Request) -> UpstreamKey:
    """Return the upstream that the path names."""
    return UpstreamKey(tenant_of(request), request.match_info["upstream"])


def owner(api: Api, name: str) -> TenantSpec:
    """Return a tenant's spec; `control.tenant` would sum over all of its listeners.

    Raises:
        NotFound: there is none of that name.
    """
    return edit.tenant(api.control.document().tenants, name)


def dry_run(request: web.Request) -> bool:
    """Return `?dry_run=`.

    Raises:
        BadRequest: it is neither `true` nor `false`; guessing might write.
    """
    return _choice(request, "dry_run", "false", {"true": True, "false": False})


def connections(request: web.Request) -> Connections:
    """Return `?connections=`, `drain` unless said; raises as `dry_run`."""
    choices: tuple[Connections, ...] = ("drain", "keep", "kill")
    return _choice(request, "connections", "drain", {choice: choice for choice in choices})


def number(request: web.Request, name: str, default: int | None) -> int | None:
    """Return a query parameter that is a whole number from 0 on; raises as `dry_run`."""
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 19):  # noqa: PLR2004 - fits 64 bits
        raise BadRequest(f"{name} needs a whole number, not {text[:40]!r}")
    return int(text)


def _choice(request: web.Request, name: str, default: str, choices: Mapping[str, T]) -> T:
    text = request.query.get(name, default)
    if text not in choices:
        raise BadRequest(f"{name} is one of {', '.join(choices)}, not {text[:40]!r}")
    return choices[text]


# Answering ---------------------------------------------------------------


def reply(data: Any, *, status: int = 200, tag: str | None = None) -> web.Response:
    """Return a JSON answer, with its version if it has one."""
    headers = JSON if tag is None else {**JSON, "ETag": tag}
    return web.Response(status=status, body=msgspec.json.encode(data) + b"\n", headers=headers)


async def reply_items(
    api: Api,
    request: web.Request,
    items: Iterable[T],
    show: Callable[[T], Any],
    *,
    many: bool,
    key: Callable[[T], str] | None = None,
) -> web.StreamResponse:
    """Answer `{"items": [...]}`.

    Args:
        api: as for every handler.
        request: what is answered.
        items: may be lazy; gone through once.
        show: makes JSON of an item.
        many: look, show and encode aside.
        key: sort by it; None: they are in order.
    """
    pieces = await api.aside.run(_pieces, items, show, key) if many else _pieces(items, show, key)
    return await send_pieces(request, pieces, JSON)


def note(request: web.Request, changes: list[Change]) -> None:
    """Log who changed what; one line a change, none for reads and dry runs."""
    _log.info(
        "api_change",
        who=who(request),
        method=request.method,
        path=request.path,
        summary=summary(changes),
        changes=[f"{c.op} {c.kind} {c.name}" for c in changes[:_CHANGES_SHOWN]],
    )


def _pieces(
    items: Iterable[T], show: Callable[[T], Any], key: Callable[[T], str] | None
) -> list[bytes]:
    """Encode in small steps: one call for all would keep the interpreter lock to its end.

    Items are not kept but their bytes: views by the thousand would wake the
    garbage collector, which keeps the lock too.
    """
    if key is None:
        encoded = [msgspec.json.encode(show(item)) for item in items]
    else:
        keyed = [(key(item), msgspec.json.encode(show(item))) for item in items]
        encoded = [text for _, text in sorted(keyed)]
    pieces = [b'{"items":[']
    for start in range(0, len(encoded), _A_PIECE):
        comma = b"," if start else b""
        pieces.append(comma + b",".join(encoded[start : start + _A_PIECE]))
    return [*pieces, b"]}\n"]
