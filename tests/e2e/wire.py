"""A TCP connection with nothing hidden: half-close, reset and slow reading are one call each."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

CHUNK = 262_144


class Wire:
    """One connected, non-blocking socket on the running loop."""

    __slots__ = ("_loop", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes | memoryview) -> None:
        await self._loop.sock_sendall(self.sock, data)

    async def receive(self, limit: int = CHUNK) -> bytes:
        """Return what is there; empty after the peer's end."""
        return await self._loop.sock_recv(self.sock, limit)

    async def receive_into(self, buffer: bytearray | memoryview) -> int:
        return await self._loop.sock_recv_into(self.sock, buffer)

    async def exactly(self, length: int) -> bytes:
        """Return `length` bytes, or fewer when the peer ended before."""
        got = bytearray()
        while len(got) < length:
            data = await self.receive(length - len(got))
            if not data:
                break
            got += data
        return bytes(got)

    async def rest(self) -> bytes:
        """Return everything up to the peer's end."""
        got = bytearray()
        while data := await self.receive():
            got += data
        return bytes(got)

    def finish(self) -> None:
        """Send FIN and go on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with RST."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()


async def dial(
    port: int,
    *,
    receive_buffer: int | None = None,
    source: str | None = None,
    timeout_s: float = 20.0,
) -> Wire:
    """Return a connection to 127.0.0.1, from an address of 127.0.0.0/8 if one is given."""
    sock = socket.socket()
    try:
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source is not None:
            sock.bind((source, 0))
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return Wire(sock)


@contextlib.asynccontextmanager
async def dialled(port: int, **options: Any) -> AsyncIterator[Wire]:
    """Give a connection and close it in the end."""
    wire = await dial(port, **options)
    try:
        yield wire
    finally:
        wire.close()


async def ask(port: int, question: bytes, *, timeout_s: float = 20.0) -> bytes:
    """Send, end, and return the whole answer."""
    async with asyncio.timeout(timeout_s), dialled(port) as wire:
        await wire.send(question)
        wire.finish()
        return await wire.rest()
