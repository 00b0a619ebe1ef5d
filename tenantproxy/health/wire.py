"""Bytes to and from one endpoint: a raw non-blocking socket, with TLS over it where asked.

Every socket ends with an RST (SO_LINGER 0), as HAProxy's checks do: no TIME_WAIT piles up here,
and a server that has not accepted yet never hears of us. Deadlines are the caller's: cancel.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from typing import Final, Protocol

_RST_AT_CLOSE: Final = struct.pack("ii", 1, 0)
_READ_BYTES: Final = 16_384


class Wire(Protocol):
    """A connection that is ready for the words of a check."""

    async def send(self, data: bytes) -> None:
        """Send everything.

        Raises:
            OSError: the peer has reset or closed, or TLS broke.
        """
        ...

    async def receive(self) -> bytes:
        """Return what has come, at least one byte; empty: the peer sends no more.

        Raises:
            OSError: the peer has reset, or TLS broke.
        """
        ...


class PlainWire:
    """A connected socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._sock, data)

    async def receive(self) -> bytes:
        return await self._loop.sock_recv(self._sock, _READ_BYTES)


class TlsWire:
    """TLS over a wire; `handshake` comes first."""

    def __init__(self, wire: Wire, context: ssl.SSLContext, server_name: str) -> None:
        """Make it ready.

        Raises:
            ValueError: the name cannot be that of a server (`a..b`, a label over 63 characters).
        """
        self._wire = wire
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)

    async def handshake(self) -> None:
        """Speak TLS until both sides are content.

        Raises:
            ssl.SSLCertVerificationError: the certificate is not good, or not for that name.
            ssl.SSLError: the peer speaks something else, or does not want us.
            OSError: the connection broke.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._exchange()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    await self._flush()  # the alert says why to the server's log
                raise
            else:
                await self._flush()
                return

    async def send(self, data: bytes) -> None:
        self._tls.write(data)  # a memory BIO takes it all
        await self._flush()

    async def receive(self) -> bytes:
        while True:
            try:
                return self._tls.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                await self._exchange()
            except ssl.SSLEOFError:  # closed without a close_notify
                return b""

    async def _exchange(self) -> None:
        await self._flush()
        if data := await self._wire.receive():
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            await self._wire.send(data)


@contextlib.asynccontextmanager
async def connected(host: str, port: int) -> AsyncIterator[PlainWire]:
    """Connect to an IP address, with a zone or without; the connection is reset at the end.

    Raises:
        socket.gaierror: it is no address, or its zone is no interface of this host.
        OSError: no socket could be had, or the connection failed.
    """
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV  # nothing to wait for
    family, kind, *_, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=flags
    )[0]
    with socket.socket(family, kind | socket.SOCK_NONBLOCK) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_AT_CLOSE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await _connect(sock, address)
        yield PlainWire(sock)


async def _connect(sock: socket.socket, address: tuple[object, ...]) -> None:
    # Not loop.sock_connect: uvloop's resolves the address again, in a thread, and loses the zone.
    failed = sock.connect_ex(address)
    if failed == errno.EINPROGRESS:
        await _writable(sock.fileno())
        failed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if failed == 0 and sock.getsockname() == sock.getpeername():
        # Nobody listens, and the kernel gave us that very port (RFC 9293, simultaneous open).
        failed = errno.ECONNREFUSED
    if failed:
        raise OSError(failed, os.strerror(failed))


async def _writable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(fd)
