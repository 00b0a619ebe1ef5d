"""Clients of every kind for the scene: whole, refused, sleepy and impatient ones."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from tenantproxy.cli.demo_upstream import Upstream

_REQUEST = b"GET / HTTP/1.1\r\nHost: scene\r\nConnection: close\r\n\r\n"
_PATIENCE_S = 5.0
HOST = "127.0.0.1"


async def ask(port: int) -> None:
    """Connect, ask, read the answer to its end."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_PATIENCE_S):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(_REQUEST)
                await reader.read()
            finally:
                writer.close()


async def stay(port: int, for_s: float) -> None:
    """Connect, ask once, and stay connected for a while without a word."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            writer.write(_REQUEST.replace(b"close", b"keep-alive"))
            await reader.readline()
            await asyncio.sleep(for_s)
        finally:
            writer.close()


async def leave_at_once(port: int, after_s: float) -> None:
    """Connect and go away before the upstream is connected."""
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection(HOST, port)
        try:
            await asyncio.sleep(after_s)
        finally:
            writer.transport.abort()


async def repeatedly(every_s: float, what: object, *args: object) -> None:
    """Begin `what(*args)` again and again, without waiting for the one before."""
    async with asyncio.TaskGroup() as group:
        while True:
            group.create_task(what(*args))  # type: ignore[operator]
            await asyncio.sleep(every_s)


async def moods(port: int, up_s: float, down_s: float) -> None:
    """Serve on a port for a while and be gone for a while, over and over."""
    upstream = Upstream("moody")
    while True:
        server = await asyncio.start_server(upstream.converse, HOST, port)
        try:
            await asyncio.sleep(up_s)
        finally:
            server.close()
            await upstream.end()
        await asyncio.sleep(down_s)


@contextlib.asynccontextmanager
async def deaf() -> AsyncIterator[int]:
    """Give a port whose queue is full: connects to it hang."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind((HOST, 0))
        server.listen(0)
        port: int = server.getsockname()[1]
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((HOST, port))
        yield port


def refusing() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
