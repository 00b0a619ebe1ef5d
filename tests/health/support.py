"""Servers that do what they are told, and what a check of them is made of."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tenantproxy.health.target import Target
from tenantproxy.model.spec import HealthRule, HttpCheck, TcpCheck

HOST = "127.0.0.1"
PLENTY_S = 20.0
"""A limit that no test comes near, on a loaded machine either."""

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """What the connections of a scripted server came to."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.resets = 0
        self.ends = 0
        """Scripts that came to their end."""
        self.heard = b""
        """Of all connections, what the script has read by `hear`."""

    async def hear(self, reader: asyncio.StreamReader, end: bytes) -> None:
        self.heard += await reader.readuntil(end)


@contextlib.asynccontextmanager
async def serving(
    script: Callable[[Server], Script], *, host: str = HOST, **options: object
) -> AsyncIterator[Server]:
    """Run a script for each connection, then close it; a reset by the peer is counted."""
    server, tasks = Server(), set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        server.connections += 1
        try:
            await script(server)(reader, writer)
            server.ends += 1
        except ConnectionError:
            server.resets += 1
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    listener = await asyncio.start_server(handle, host, 0, **options)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()


def saying(*pieces: bytes, until: bytes = b"", stay: bool = False) -> Callable[[Server], Script]:
    """Hear `until`, send the pieces one by one, then close or stay."""

    def script(server: Server) -> Script:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if until:
                await server.hear(reader, until)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.001)
            if stay:
                await reader.read(-1)

        return talk

    return script


def resetting(until: bytes) -> Callable[[Server], Script]:
    """Hear `until`, then reset."""

    def script(server: Server) -> Script:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.hear(reader, until)
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

        return talk

    return script


@contextlib.contextmanager
def refusing() -> Iterator[int]:
    """Give a port that is taken and on which nobody listens."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        yield sock.getsockname()[1]


@contextlib.contextmanager
def swallowing() -> Iterator[int]:
    """Give a port that answers no SYN: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((HOST, 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """Give a port whose connections are made, and never answered."""
    with socket.create_server((HOST, 0), backlog=1000) as listener:
        yield listener.getsockname()[1]


def link_local() -> tuple[str, str]:
    """Return an address that needs a zone, and its interface; skip if this host has none."""
    rows = [line.split() for line in Path("/proc/net/if_inet6").read_text().splitlines()]
    for address, _, _, scope, _, interface in rows:
        if scope == "20":
            return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(address)), interface
    pytest.skip("no interface has a link-local address")


def tcp(port: int, send: bytes = b"", expect: bytes = b"", **options: object) -> Target:
    rule = HealthRule(tcp=TcpCheck(send, expect))
    return Target(**{"host": HOST, "port": port, "rule": rule, "name": f"web:{port}"} | options)


def http(port: int, path: str = "/", **options: object) -> Target:
    fields = {name: options.pop(name) for name in ("expect",) if name in options}
    rule = HealthRule(http=HttpCheck(path, options.pop("header", None), **fields))
    return Target(**{"host": HOST, "port": port, "rule": rule, "name": f"web:{port}"} | options)
