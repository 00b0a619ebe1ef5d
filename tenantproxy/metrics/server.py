"""Serves `/metrics`, rendered beside the event loop, and probes: the port that others may ask."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from functools import partial

import structlog
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from tenantproxy.control.facade import Control
from tenantproxy.metrics import probes
from tenantproxy.metrics.aside import Aside
from tenantproxy.metrics.collector import Snapshot, snapshot
from tenantproxy.metrics.exposition import render
from tenantproxy.metrics.pieces import send_pieces
from tenantproxy.tasks import Background

_PAGE = """<!doctype html><title>tenantproxy</title>
<h1>tenantproxy</h1><p><a href="/metrics">Metrics</a> for Prometheus, as text and OpenMetrics.</p>
"""

_log = structlog.get_logger("tenantproxy.metrics")


def make_app(control: Control) -> web.Application:
    """Return the application with `/metrics`, the probes and `/`; make it on the running loop."""
    scrapes = Scrapes(control)
    app = web.Application()
    app.router.add_get("/metrics", scrapes.answer)
    app.router.add_get("/livez", _livez)
    app.router.add_get("/readyz", partial(_readyz, control))
    app.router.add_get("/", _index)
    app.on_cleanup.append(scrapes.close)
    return app


class Scrapes:
    """Renders for scrapers; one render at a time, one for all that ask the same meanwhile."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._aside = Aside()
        self._background = Background(_died)
        self._running: dict[tuple[bool, bool], asyncio.Task[list[bytes]]] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer `GET /metrics`."""
        # Its choice of format, not its encoder: see `exposition` for why.
        _, content_type = choose_encoder(request.headers.get("Accept", ""))
        openmetrics = content_type.startswith("application/openmetrics-text")
        gzip = _accepts_gzip(request.headers.get("Accept-Encoding", ""))
        text = await self.text(openmetrics=openmetrics, gzip=gzip)
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if gzip:
            headers["Content-Encoding"] = "gzip"
        return await send_pieces(request, text, headers)

    async def text(self, *, openmetrics: bool, gzip: bool) -> list[bytes]:
        """Return the text in pieces.

        A scrape that comes while the same is being rendered gets that one.
        """
        key = (openmetrics, gzip)
        running = self._running.get(key)
        if running is None:
            running = self._background.start(self._render(*key), name="render metrics")
            self._running[key] = running
            running.add_done_callback(lambda _: self._running.pop(key))
        # Shielded: a scraper that hangs up must not take the others' text with it.
        return await asyncio.shield(running)

    async def close(self, _app: web.Application) -> None:
        """Leave no task behind."""
        await self._background.close()

    async def _render(self, openmetrics: bool, gzip: bool) -> list[bytes]:
        packing: Callable[[list[bytes]], list[bytes]] = _gzip if gzip else list
        return await self._aside.run(
            partial(_text, snapshot(self._control), packing, openmetrics=openmetrics)
        )


def _text(
    taken: Snapshot, packing: Callable[[list[bytes]], list[bytes]], *, openmetrics: bool
) -> list[bytes]:
    return packing(render(taken.samples(), openmetrics=openmetrics))


def _gzip(text: list[bytes]) -> list[bytes]:
    """Compress piece by piece; zlib gives the interpreter lock back meanwhile."""
    packer = zlib.compressobj(level=1, wbits=31)
    packed = [packer.compress(piece) for piece in text]
    return [piece for piece in (*packed, packer.flush()) if piece]


def _accepts_gzip(accept_encoding: str) -> bool:
    return any(
        choice.split(";")[0].strip().lower() == "gzip" and "q=0" not in choice.split(";")[1:]
        for choice in accept_encoding.split(",")
    )


async def _livez(_request: web.Request) -> web.Response:
    return probes.livez()


async def _readyz(control: Control, _request: web.Request) -> web.Response:
    return probes.readyz(control)


async def _index(_request: web.Request) -> web.Response:
    return web.Response(text=_PAGE, content_type="text/html")


def _died(name: str, error: BaseException) -> None:
    _log.error("failed", task=name, error=repr(error))
