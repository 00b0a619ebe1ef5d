"""Server-sent events (WHATWG HTML, 9.2): what happens, as it happens, resumable.

The id of an event is its number and the start of the daemon, so that a client
that comes back after a restart is not told to wait for numbers of the past. A
client is told that it `missed` something when what it resumes from is gone.
A reader that does not keep up is cut; control bounds what it keeps for it.
"""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from tenantproxy.admin.views import show_event
from tenantproxy.control.facade import Control, Watch
from tenantproxy.model.views import Event
from tenantproxy.tasks import Background

BEAT_S = 15.0
"""Below the 30 to 60 s after which proxies cut silent connections."""
WRITE_TIMEOUT_S = 5.0

_ALL = 1 << 30
_OF_ANOTHER_LIFE = 1 << 62
"""Above every number."""

_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}


class Streams:
    """Every open stream; `close` ends them all."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._background = Background(lambda _name, _error: None)
        self._closing = asyncio.Event()

    async def answer(
        self, request: web.Request, *, after: int | None, tenant: str | None
    ) -> web.StreamResponse:
        """Stream events until the client leaves, lags, or the daemon ends.

        Args:
            request: its `Last-Event-ID` wins over `after`.
            after: number of the last event that the client has; None: only new ones.
            tenant: only events of this tenant; None: all.
        """
        epoch = int(self._control.status().started_s)
        after, missed = self._resume(request.headers.get("Last-Event-ID"), after, epoch)
        response = web.StreamResponse(headers=_HEADERS)
        with self._control.watch(after=after) as watch:
            try:
                await response.prepare(request)
                if missed is not None:
                    await _write(response, missed)
                await self._follow(response, watch, epoch, tenant)
            except TimeoutError:
                if request.transport is not None:
                    request.transport.abort()
            except ConnectionError:
                pass  # the client left: that is how most streams end
        return response

    async def close(self, _app: web.Application | None = None) -> None:
        """End every stream; their clients see the end of the answer."""
        self._closing.set()
        await self._background.close()

    async def _follow(
        self, response: web.StreamResponse, watch: Watch, epoch: int, tenant: str | None
    ) -> None:
        await _write(response, b": hello\n\n")
        # Waited for in a task of its own: a heartbeat must not cancel `next` half-way.
        coming = self._background.start(_next(watch), name="next event")
        try:
            while not self._closing.is_set():
                await asyncio.wait({coming}, timeout=BEAT_S)
                if not coming.done():
                    await _write(response, b": beat\n\n")
                    continue
                if coming.cancelled() or (event := coming.result()) is None:
                    return
                coming = self._background.start(_next(watch), name="next event")
                if tenant is None or event.tenant == tenant:
                    await _write(response, _frame(event, epoch))
        finally:
            coming.cancel()

    def _resume(
        self, last_id: str | None, after: int | None, epoch: int
    ) -> tuple[int | None, bytes | None]:
        """Return where to go on, and what to say if something lies between."""
        if last_id:
            number, _, of = last_id.partition("-")
            if not (number.isascii() and number.isdigit() and len(number) < 19):  # noqa: PLR2004
                return None, None
            after = int(number) if of in ("", str(epoch)) else _OF_ANOTHER_LIFE
        if after is None:
            return None, None
        kept = self._control.events(after=0, limit=_ALL)
        oldest, newest = (kept[0].number, kept[-1].number) if kept else (1, 0)
        if after > newest:
            after = 0
        elif oldest <= after + 1:
            return after, None
        said = msgspec.json.encode({"first": oldest})
        return after, b"event: missed\ndata: " + said + b"\n\n"


async def _next(watch: Watch) -> Event | None:
    try:
        return await watch.next()
    except StopAsyncIteration:
        return None


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(WRITE_TIMEOUT_S):
        await response.write(data)


def _frame(event: Event, epoch: int) -> bytes:
    data = msgspec.json.encode(show_event(event))
    return b"id: %d-%d\ndata: %s\n\n" % (event.number, epoch, data)
