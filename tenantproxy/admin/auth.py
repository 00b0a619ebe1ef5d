"""Who may talk to the API.

With a token: whoever sends it. Without one the API is on the loopback only
(the daemon sees to that) and everybody on this host may do everything, except
pages in a browser: they can send requests to 127.0.0.1 too, by a form, or by
a name of theirs that is rebound to our address. So without a token `Host` has
to be an address or `localhost`, and `Origin`, if there is one, our own.
"""

from __future__ import annotations

import hmac
import ipaddress

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from tenantproxy.admin.problems import ForbiddenHost, ForbiddenOrigin
from tenantproxy.errors import Unauthorized

OPEN = frozenset({"/livez", "/readyz"})
"""They tell nothing that is worth a token, and probes have none."""


def auth(token: str | None) -> Middleware:
    """Return the middleware that lets in who may."""

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in OPEN:
            if token is None:
                _no_foreign_page(request)
            else:
                _has_token(request, token)
        return await handler(request)

    return admit


def who(request: web.Request) -> str:
    """Return who asks, for the log."""
    return "token" if "Authorization" in request.headers else "local"


def _has_token(request: web.Request, token: str) -> None:
    scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not sent:
        raise Unauthorized(
            "this needs a token", hint="send `Authorization: Bearer TOKEN`, or use --token-file"
        )
    # In bytes: compare_digest refuses text beyond ASCII, which a header may hold.
    got = sent.strip().encode("utf-8", "surrogateescape")
    if not hmac.compare_digest(got, token.encode()):
        raise Unauthorized("the token is wrong", hint="it is in the file of proxy.admin.token_file")


def _no_foreign_page(request: web.Request) -> None:
    host = request.headers.get("Host", "")
    if not _is_literal(host):
        raise ForbiddenHost(
            "without a token only an IP address or localhost may be the Host",
            hint="use http://127.0.0.1, or set proxy.admin.token_file",
        )
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"http://{host}":
        raise ForbiddenOrigin(
            "without a token pages of another origin may not use this API",
            hint="set proxy.admin.token_file",
        )


def _is_literal(host: str) -> bool:
    """Whether a Host header names an IP address or `localhost`, with or without a port."""
    name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not name or not port.isdigit():
        name = host
    if name.lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
