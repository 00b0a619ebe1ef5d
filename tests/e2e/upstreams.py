"""Upstream servers with known behaviour, in this process or in one of their own.

A behaviour is a function of one connection; what it returns is kept as the
server's record of that connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tests.e2e.wire import CHUNK, Wire

Behaviour = Callable[[Wire], Awaitable[Any]]
POOL = hashlib.shake_256(b"tenantproxy").digest(1 << 20)
"""Bytes to send: pseudo-random, so a shifted or repeated chunk changes the hash."""


class Server:
    """Accepts, on 127.0.0.1 if nothing else is said, and runs a behaviour on each connection."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.records: list[Any] = []
        self.accepted = 0
        self.errors: Counter[str] = Counter()
        """Exceptions that ended a behaviour, by type; a reset by the peer is one."""
        self.sock = socket.socket()
        self._running: set[asyncio.Task[None]] = set()
        self._wires: set[Wire] = set()

    @property
    def port(self) -> int:
        return self.sock.getsockname()[1]

    @property
    def live(self) -> int:
        """Number of connections whose behaviour has not ended."""
        return len(self._running)

    def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((host, port))
        self.sock.listen(4096)
        self.sock.setblocking(False)
        asyncio.get_running_loop().add_reader(self.sock.fileno(), self._accept)

    async def stop(self) -> None:
        if self.sock.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self.sock.fileno())
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self.sock.close()
        for wire in self._wires:  # of tasks that were cancelled before they began
            wire.close()

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            while True:
                sock, _ = self.sock.accept()
                sock.setblocking(False)
                self.accepted += 1
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                wire = Wire(sock)
                self._wires.add(wire)
                self._spawn(self._serve(wire))

    async def _serve(self, wire: Wire) -> None:
        try:
            record = await self.behaviour(wire)
            if record is not None:
                self.records.append(record)
        except OSError as error:
            self.errors[type(error).__name__] += 1
        finally:
            wire.close()
            self._wires.discard(wire)


@contextlib.asynccontextmanager
async def serving(
    behaviour: Behaviour, port: int = 0, *, host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    """Run a server on the present loop."""
    server = Server(behaviour)
    server.start(port, host)
    try:
        yield server
    finally:
        await server.stop()


# Behaviours ---------------------------------------------------------------


async def echo(wire: Wire) -> None:
    """Send back what comes, then end."""
    buffer = bytearray(CHUNK)
    while length := await wire.receive_into(buffer):
        await wire.send(memoryview(buffer)[:length])
    wire.finish()


def identify(name: str) -> Behaviour:
    """Say a name at once, then echo."""
    return functools.partial(_identify, name.encode())


async def _identify(name: bytes, wire: Wire) -> None:
    await wire.send(name)
    await echo(wire)


def name_and_close(name: str) -> Behaviour:
    """Say a name and FIN, and wait for the client's; so unread questions cause no reset."""
    return functools.partial(_name_and_close, name.encode())


async def _name_and_close(name: bytes, wire: Wire) -> None:
    await wire.send(name)
    wire.finish()
    while await wire.receive():
        pass


def answer_after_end(length: int) -> Behaviour:
    """Read to the end of input, then answer its SHA-256 and `length` bytes."""
    return functools.partial(_answer_after_end, length)


async def _answer_after_end(length: int, wire: Wire) -> None:
    digest = hashlib.sha256()
    while data := await wire.receive():
        digest.update(data)
    await wire.send(digest.digest())
    await send_pool(wire, length)


def end_then_read(length: int) -> Behaviour:
    """Send `length` bytes and FIN at once, then read all; the record is what came."""
    return functools.partial(_end_then_read, length)


async def _end_then_read(length: int, wire: Wire) -> tuple[int, str]:
    await send_pool(wire, length)
    wire.finish()
    digest, total = hashlib.sha256(), 0
    while data := await wire.receive():
        digest.update(data)
        total += len(data)
    return total, digest.hexdigest()


async def pour(wire: Wire) -> None:
    """Send without end."""
    while True:
        await wire.send(POOL)


def chat_then_send(rounds: int, length: int) -> Behaviour:
    """Answer `rounds` messages of one byte, then send `length` bytes."""
    return functools.partial(_chat_then_send, rounds, length)


async def _chat_then_send(rounds: int, length: int, wire: Wire) -> None:
    for _ in range(rounds):
        await wire.send(await wire.exactly(1))
    await send_pool(wire, length)


async def swallow(wire: Wire) -> int:
    """Read to the end and say nothing."""
    total = 0
    while data := await wire.receive():
        total += len(data)
    return total


async def black_hole(wire: Wire) -> None:
    """Accept and do nothing."""
    await asyncio.Event().wait()


async def reset_at_once(wire: Wire) -> None:
    """Wait for the first bytes and close with RST."""
    await wire.receive()
    wire.reset()


async def send_pool(wire: Wire, length: int) -> None:
    """Send `length` bytes of the pool, over and over."""
    view = memoryview(POOL)
    while length > 0:
        await wire.send(view[: min(length, len(POOL))])
        length -= len(POOL)


def pool_hash(length: int) -> bytes:
    """Return the SHA-256 of what `send_pool` sends."""
    digest = hashlib.sha256()
    whole, part = divmod(length, len(POOL))
    for _ in range(whole):
        digest.update(POOL)
    digest.update(POOL[:part])
    return digest.digest()
