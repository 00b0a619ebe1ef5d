"""Authorities, certificates and the other end of TLS, for tests."""

from __future__ import annotations

import asyncio
import datetime as dt
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane.flow import Socket
from tenantproxy.dataplane.tls_socket import TlsSocket
from tests.dataplane.support import listener, upstream

NAME = "server.test"
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Pki:
    """Files of one authority, of a server `NAME` at `HOST`, and of a client."""

    ca: str
    cert: str
    key: str
    client_cert: str
    client_key: str
    expired_cert: str
    expired_key: str
    stranger_ca: str
    """Of another authority, as all that is strange."""
    stranger_cert: str
    stranger_key: str

    def server_context(self, *, demand: bool = False, version: str = "") -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        if version:
            context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
        if demand:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return context

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca)

    def order(self, **changes: object) -> m.TlsOrder:
        fields: dict[str, object] = {
            "server_name": NAME,
            "ca_file": self.ca,
            "cert_file": None,
            "key_file": None,
            "verify": True,
            "version": 1,
        } | changes
        return m.TlsOrder(**fields)  # type: ignore[arg-type]


def make_pki(folder: Path) -> Pki:
    authority, stranger = trustme.CA(), trustme.CA()
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    paths = {}
    for name, made in (
        ("", authority.issue_cert(NAME, HOST)),
        ("client_", authority.issue_cert("client.test")),
        ("expired_", authority.issue_cert(NAME, not_before=past, not_after=past)),
        ("stranger_", stranger.issue_cert(NAME, HOST)),
    ):
        cert, key = folder / f"{name}cert.pem", folder / f"{name}key.pem"
        made.private_key_pem.write_to_path(key)
        for pem in made.cert_chain_pems:
            pem.write_to_path(cert, append=True)
        paths |= {f"{name}cert": str(cert), f"{name}key": str(key)}
    for name, made in (("ca", authority), ("stranger_ca", stranger)):
        made.cert_pem.write_to_path(folder / f"{name}.pem")
        paths[name] = str(folder / f"{name}.pem")
    return Pki(**paths)


def tcp_pair(*, small: bool = False) -> tuple[Socket, socket.socket]:
    """Return a connected pair: ours, raw and not blocking, and theirs with a time limit."""
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        if small:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        listening.listen()
        ours = socket.socket()
        if small:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        ours.connect(listening.getsockname())
        theirs, _ = listening.accept()
    theirs.settimeout(20)
    ours.setblocking(False)
    ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Socket(fileno=ours.detach()), theirs


def wait(sock: TlsSocket, event: int = select.POLLIN) -> None:
    poll = select.poll()
    poll.register(sock.fileno(), event)
    assert poll.poll(20_000)


def shake(sock: TlsSocket) -> None:
    """Do the whole handshake."""
    while event := sock.handshake():
        wait(sock, event)


def read_all(sock: TlsSocket, size: int = 65_536, most: int = 1 << 40) -> bytes:
    """Read to the end, or up to `most`, as the pump does: wait only when all was drained."""
    got = bytearray()
    buffer = bytearray(size)
    while len(got) < most:
        try:
            count = sock.recv_into(buffer, size, 0)
        except BlockingIOError:
            wait(sock)
            continue
        if not count:
            break
        got += buffer[:count]
    return bytes(got)


def send_all(sock: TlsSocket, data: bytes) -> None:
    """Send as the pump does: what was not taken is offered again when there is room."""
    pending = memoryview(data)
    while pending:
        try:
            sent = sock.send(pending)
        except BlockingIOError:
            sent = 0
        pending = pending[sent:]
        if pending:
            wait(sock, select.POLLOUT)


class TlsServer:
    """Accepts connections and speaks TLS on them, in threads: `await server.accept()`."""

    def __init__(
        self, context: ssl.SSLContext, *, header: bool = False, small: bool = False
    ) -> None:
        self.context = context
        self.listening = socket.socket()
        if small:
            self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        self.listening.bind((HOST, 0))
        self.listening.listen(64)
        self.listening.settimeout(20)
        self.port = self.listening.getsockname()[1]
        self.header = b""
        """What came in front of TLS on the last connection, up to a line's end."""
        self._takes_header = header
        self._ends: list[socket.socket] = []

    def close(self) -> None:
        for end in self._ends:
            end.close()
        self.listening.close()

    async def accept(self) -> ssl.SSLSocket:
        return await asyncio.to_thread(self.accept_now)

    def accept_now(self) -> ssl.SSLSocket:
        sock, _ = self.listening.accept()
        self._ends.append(sock)
        sock.settimeout(20)
        if self._takes_header:
            self.header = b""
            while not self.header.endswith(b"\n"):
                self.header += sock.recv(1)
        end = self.context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False)
        self._ends.append(end)
        return end


@contextmanager
def a_tls_server(context: ssl.SSLContext, **options: Any) -> Iterator[TlsServer]:
    server = TlsServer(context, **options)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def in_thread(work: Callable[[], object]) -> Iterator[Future]:
    """Do the work beside, and wait for it at the end."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        yield future
        future.result(30)


class NoRoom:
    """A socket that takes nothing until it is told to."""

    def __init__(self, raw) -> None:
        self.raw = raw
        self.full = True

    def __getattr__(self, name):
        return getattr(self.raw, name)

    def send(self, data, flags):
        if self.full:
            raise BlockingIOError
        return self.raw.send(data, flags)


def open_port(rig, pki, server, **changes) -> int:
    """Open a listener whose upstream is the TLS server."""
    rig.upstreams(upstream(1, server.port, tls=pki.order()))
    return rig.open(listener(1, {1: 1}, **changes))


async def pair(rig, port, server) -> tuple[socket.socket, ssl.SSLSocket]:
    """Return a client and the server's end of its connection."""
    client = await rig.connect(port)
    return client, await server.accept()
