"""The small HTTP servers behind `tenantproxy demo`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_HEAD_BYTES = 64 << 10
_PATIENCE_S = 60.0


class Upstream:
    """Answers any HTTP request, and anything else that ends, with one line."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self._conversations: set[asyncio.Task[None]] = set()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        task = asyncio.current_task()
        if task is not None:
            self._conversations.add(task)
            task.add_done_callback(self._conversations.discard)
        with suppress(OSError, TimeoutError, asyncio.LimitOverrunError, asyncio.CancelledError):
            while await self._answer(reader, writer):
                pass
        writer.close()

    async def end(self) -> None:
        """End every conversation."""
        for task in tuple(self._conversations):
            task.cancel()
        if self._conversations:
            await asyncio.wait(tuple(self._conversations))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer once; tell whether the connection goes on."""
        line = f"{self.name} hello from 127.0.0.1:{self.port}\n".encode()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as ended:
            if ended.partial:  # not HTTP, and its sender has shut down its side
                writer.write(line)
                await writer.drain()
            return False
        fields = _fields(head)
        with suppress(asyncio.IncompleteReadError):
            await reader.readexactly(min(_body_bytes(fields), _HEAD_BYTES))
        goes_on = _goes_on(head, fields)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
            + f"Content-Length: {len(line)}\r\nX-Upstream: {self.name}\r\n".encode()
            + f"Connection: {'keep-alive' if goes_on else 'close'}\r\n\r\n".encode()
            + (b"" if head.startswith(b"HEAD ") else line)
        )
        await writer.drain()
        return goes_on


def _fields(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    parted = (line.partition(":") for line in lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in parted}


def _body_bytes(fields: dict[str, str]) -> int:
    length = fields.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else 0


def _goes_on(head: bytes, fields: dict[str, str]) -> bool:
    """Tell whether another request may follow; a body of unknown or large size ends it."""
    if "transfer-encoding" in fields or _body_bytes(fields) > _HEAD_BYTES:
        return False
    wish = fields.get("connection", "").lower()
    first_line = head.split(b"\r\n", 1)[0]
    return "keep-alive" in wish if first_line.endswith(b"HTTP/1.0") else "close" not in wish


@asynccontextmanager
async def serving(name: str) -> AsyncIterator[Upstream]:
    """Give an upstream on a free port of the loopback address."""
    upstream = Upstream(name)
    server = await asyncio.start_server(upstream.converse, "127.0.0.1", 0, limit=_HEAD_BYTES)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        await upstream.end()
