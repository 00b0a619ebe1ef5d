"""Servers that answer as they are told, and what a judge is asked."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from aiohttp import web

from tenantproxy.model.findings import Subject
from tenantproxy.model.rollout_spec import OutsideCheck

HOST = "127.0.0.1"
PLENTY_S = 30.0
"""A limit that no test comes near, on a loaded machine either."""
SHORT_S = 0.3
"""For tests in which nobody answers."""
ABOUT = Subject(
    tenant="acme",
    listener="web",
    stable="web-v1",
    canary="web-v2",
    state="running",
    step=2,
    steps=4,
    weight=25,
    reason="step 2 of 4",
    interval_s=10.0,
)

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def prometheus(url: str, query: str = "vector(1)", **fields: object) -> OutsideCheck:
    return _check("prometheus", url=url, query=query, **fields)


def webhook(url: str, **fields: object) -> OutsideCheck:
    return _check("webhook", url=url, **fields)


def command(*run: object, **fields: object) -> OutsideCheck:
    return _check("command", run=tuple(map(str, run)), **fields)


def _check(kind: str, **fields: object) -> OutsideCheck:
    return OutsideCheck(**({"name": "mine", "kind": kind, "timeout_s": PLENTY_S} | fields))


class Asked:
    """What a server was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []

    @property
    def last(self) -> web.Request:
        return self.requests[-1]


@contextlib.asynccontextmanager
async def answering(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse] | web.StreamResponse],
) -> AsyncIterator[Asked]:
    """Answer every request so, and keep what was asked."""
    asked = Asked()

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.bodies.append(await request.read())
        asked.requests.append(request)
        said = answer(request)
        return said if isinstance(said, web.StreamResponse) else await said

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    asked.url = f"http://{HOST}:{runner.addresses[0][1]}"
    try:
        yield asked
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def speaking(script: Script) -> AsyncIterator[str]:
    """Run a script for each connection, then close it; gives the URL."""
    tasks = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            await reader.readuntil(b"\r\n\r\n")
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(handle, HOST, 0)
    try:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing until the other side gives up."""
    await reader.read(-1)


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


def saying(data: bytes) -> Script:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return say


@contextlib.contextmanager
def nobody() -> Iterator[str]:
    """Give the URL of a port that is bound, so that nobody gets it, and listens not."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        yield f"http://{HOST}:{taken.getsockname()[1]}"
