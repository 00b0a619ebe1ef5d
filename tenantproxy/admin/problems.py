"""Errors become `application/problem+json` (RFC 9457), in one place.

Clients tell errors apart by `code`, which is stable. What is not on purpose
becomes 500 with code `internal`: the log has the traceback, the client does not.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from tenantproxy.admin.views import show_problem
from tenantproxy.errors import DocumentError, NotFound, TenantProxyError, Unauthorized

CONTENT_TYPE = "application/problem+json"

_log = structlog.get_logger("tenantproxy.admin")


class BadRequest(TenantProxyError):
    """The request is not what the route takes."""

    code, http_status, blame = "bad_request", 400, "user"


class Forbidden(TenantProxyError):
    """Root of what a browser of somebody else must not do to an API without a token."""

    code, http_status = "forbidden", 403
    blame: ClassVar[Any] = "user"


class ForbiddenHost(Forbidden):
    """The `Host` is a name that could be rebound to our address."""

    code = "forbidden_host"


class ForbiddenOrigin(Forbidden):
    """The request comes from a page of another origin."""

    code = "forbidden_origin"


class MethodNotAllowed(TenantProxyError):
    """The route exists, the method on it does not."""

    code, http_status, blame = "method_not_allowed", 405, "user"

    def __init__(self, message: str, allowed: str) -> None:
        super().__init__(message, hint=f"use {allowed}")
        self.allowed = allowed


class BodyTooLarge(TenantProxyError):
    """The body is longer than the route takes."""

    code, http_status, blame = "body_too_large", 413, "user"


class UnsupportedMediaType(TenantProxyError):
    """The body is not of a type that the route takes."""

    code, http_status, blame = "unsupported_media_type", 415, "user"


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Map every error to its answer; the outermost middleware."""
    try:
        return await handler(request)
    except TenantProxyError as error:
        return answer(error)
    except web.HTTPException as error:
        if error.status < 400:  # noqa: PLR2004 - a redirect is no error
            raise
        return answer(_of_http(request, error))
    except Exception:  # noqa: BLE001 - the border: nothing of ours may reach a client raw
        _log.exception("internal_error", method=request.method, path=request.path)
        return answer(
            TenantProxyError(
                "something went wrong inside of tenantproxy", hint="the log of the daemon says more"
            )
        )


def answer(error: TenantProxyError) -> web.Response:
    """Return the response for an error."""
    response = web.Response(
        status=error.http_status,
        body=_encode(show_error(error)) + b"\n",
        content_type=CONTENT_TYPE,
    )
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = error.allowed
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _encode(shown: dict[str, Any]) -> bytes:
    """Return JSON whatever a client sent us to talk about: odd bytes of headers are replaced."""
    try:
        return msgspec.json.encode(shown)
    except UnicodeEncodeError:
        clean = {
            key: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
            for key, value in shown.items()
        }
        return msgspec.json.encode(clean)


def show_error(error: TenantProxyError) -> dict[str, Any]:
    """Return the problem document of an error."""
    shown: dict[str, Any] = {
        "type": f"urn:tenantproxy:problem:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.http_status,
        "code": error.code,
        "detail": str(error),
        "hint": error.hint,
        "retryable": error.retryable,
    }
    if isinstance(error, DocumentError):
        shown["problems"] = [show_problem(problem) for problem in error.problems]
    return shown


def _of_http(request: web.Request, error: web.HTTPException) -> TenantProxyError:
    """Return our error for one that aiohttp raised by itself."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return MethodNotAllowed(f"{request.path} does not take {request.method}", allowed)
    if isinstance(error, web.HTTPNotFound):
        return NotFound(f"no route {request.path}", hint="/openapi.json lists every route")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return BodyTooLarge("the body is too large")
    return BadRequest(error.reason)
