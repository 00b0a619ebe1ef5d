"""Puts the application together: routes, middlewares, what ends with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Handler

from tenantproxy.admin import looking
from tenantproxy.admin.api import Api, reply
from tenantproxy.admin.auth import auth
from tenantproxy.admin.openapi import openapi
from tenantproxy.admin.problems import BadRequest, problems
from tenantproxy.admin.routes import ROUTES, Route
from tenantproxy.admin.sse import Streams
from tenantproxy.control.facade import Control
from tenantproxy.metrics.aside import Aside


def make_app(
    control: Control,
    *,
    token: str | None,
    reload: Callable[[], Awaitable[None]] | None = None,
) -> web.Application:
    """Return the admin application; bodies are bounded, streams end with the site.

    Args:
        control: what everything is asked of.
        token: what clients have to send; None: everybody may do everything,
            so the site must be on the loopback then.
        reload: reads the document file again; returns when it is applied or refused.
    """
    streams = Streams(control)
    api = Api(control, reload, Aside(), streams)
    app = web.Application(middlewares=[problems, auth(token)])
    for route in ROUTES:
        handle = _bind(api, route)
        if route.method == "GET" and route.handler is not looking.watch:
            app.router.add_get(route.path, handle)  # and HEAD
        else:
            app.router.add_route(route.method, route.path, handle)
    app.router.add_get("/openapi.json", _openapi)
    app.on_shutdown.append(streams.close)
    return app


def _bind(api: Api, route: Route) -> Handler:
    """Return the handler as aiohttp wants it, strict about query parameters."""

    async def handle(request: web.Request) -> web.StreamResponse:
        unknown = [name for name in request.query if name not in route.query]
        if unknown:
            raise BadRequest(
                f"{request.method} {request.path} takes no parameter {unknown[0][:40]!r}",
                hint=f"it takes {', '.join(route.query) or 'none'}",
            )
        return await route.handler(api, request)

    return handle


async def _openapi(_request: web.Request) -> web.StreamResponse:
    return reply(openapi())
