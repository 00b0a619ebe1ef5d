"""A worker's engine on the test's own loop, between real sockets; and a real worker process."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane.channel import Channel, channel_pair
from tenantproxy.dataplane.counters import (
    CLOSED_REASONS,
    CONNECT_ERRORS,
    REJECTED_REASONS,
    Capacity,
    CounterFile,
    Endpoint,
    Listener,
    Route,
    Upstream,
)
from tenantproxy.dataplane.engine import Engine
from tenantproxy.dataplane.peers import Peers

SMALL = Capacity(listeners=64, routes=64, upstreams=64, endpoints=512, signals=8)
HOST = "127.0.0.1"


async def until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Return when the condition holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.002)


class Sockets:
    """Makes sockets, and closes them all at the end."""

    def __init__(self) -> None:
        self._all: list[socket.socket] = []

    def keep(self, sock: socket.socket) -> socket.socket:
        sock.setblocking(False)
        # What was sent is then on the wire; and our listening sockets have it too.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._all.append(sock)
        return sock

    def close(self) -> None:
        for sock in self._all:
            sock.close()

    def listening(self, *, port: int = 0, backlog: int = 1024) -> socket.socket:
        sock = self.keep(socket.socket())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((HOST, port))
        sock.listen(backlog)
        return sock

    def dead_port(self) -> int:
        """Return a port on which nobody listens; it stays ours."""
        sock = self.keep(socket.socket())
        sock.bind((HOST, 0))
        return port_of(sock)

    def below_ephemeral(self) -> socket.socket:
        """Return a bound socket on whose port no connect can meet itself.

        What comes of a connect to it, refused or not, is known at once.
        """
        low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        sock = self.keep(socket.socket())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for port in range(low - 1, 1023, -1):
            with suppress(OSError):
                sock.bind((HOST, port))
                return sock
        raise OSError("no port is free below those of connects")

    async def black_hole(self) -> int:
        """Return a port that answers no SYN: its queue is full."""
        sock = self.listening(backlog=0)
        for _ in range(4):
            filler = self.keep(socket.socket())
            filler.connect_ex(sock.getsockname())
        await asyncio.sleep(0.02)
        return port_of(sock)

    async def connect(self, port: int) -> socket.socket:
        # The kernel answers alone, so this blocks for nobody; and a reset that follows at once
        # is then seen by reading, not here.
        sock = socket.socket()
        sock.settimeout(10)
        sock.connect((HOST, port))
        return self.keep(sock)

    async def accept(self, listening: socket.socket) -> socket.socket:
        async with asyncio.timeout(10):
            sock, _ = await asyncio.get_running_loop().sock_accept(listening)
        return self.keep(sock)

    async def accept_any(self, *listening: socket.socket) -> tuple[socket.socket, socket.socket]:
        """Accept from whichever has somebody; return that connection and that listening socket."""
        async with asyncio.timeout(10):
            while True:
                for one in listening:
                    try:
                        return self.keep(one.accept()[0]), one
                    except BlockingIOError:
                        pass
                await asyncio.sleep(0.002)


def port_of(sock: socket.socket) -> int:
    return sock.getsockname()[1]


async def send(sock: socket.socket, data: bytes) -> None:
    async with asyncio.timeout(30):
        await asyncio.get_running_loop().sock_sendall(sock, data)


async def receive(sock: socket.socket, size: int) -> bytes:
    """Return exactly `size` bytes, or fewer at the end of input."""
    got = bytearray()
    async with asyncio.timeout(30):
        while len(got) < size:
            data = await asyncio.get_running_loop().sock_recv(sock, min(size - len(got), 1 << 18))
            if not data:
                break
            got += data
    return bytes(got)


async def receive_all(sock: socket.socket) -> bytes:
    return await receive(sock, 1 << 40)


async def was_reset(sock: socket.socket) -> bool:
    """Read to the end, and tell how it came."""
    try:
        await receive_all(sock)
    except ConnectionResetError:
        return True
    return False


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


def upstream(number: int, *ports: int, **changes: object) -> m.UpstreamOrder:
    fields: dict[str, object] = {
        "id": number,
        "block": number,
        "name": f"tenant/upstream-{number}",
        "endpoints": tuple(
            m.EndpointOrder(8 * number + i, 8 * number + i, HOST, port, 1)
            for i, port in enumerate(ports)
        ),
        "balance": "round_robin",
        "connect_timeout_s": 5.0,
        "connect_tries": 3,
    } | changes
    return m.UpstreamOrder(**fields)  # type: ignore[arg-type]


def listener(number: int, weights: dict[int, int], **changes: object) -> m.ListenerOrder:
    """Return an order for a listener; route blocks are `8 * number + upstream`."""
    fields: dict[str, object] = {
        "id": number,
        "block": number,
        "name": f"tenant/listener-{number}",
        "routes": tuple(m.RouteOrder(u, w, 8 * number + u) for u, w in weights.items()),
        "idle_timeout_s": 3600.0,
        "hold": 100,
        "hold_s": 0.0,
    } | changes
    return m.ListenerOrder(**fields)  # type: ignore[arg-type]


class Books:
    """Reads counters by name."""

    def __init__(self, counters: CounterFile) -> None:
        self.counters = counters

    def accepted(self, number: int = 1) -> int:
        return self.counters.listener(number)[Listener.ACCEPTED]

    def ends(self, number: int = 1) -> dict[str, int]:
        """Return the ends that happened, by reason; those of rejects begin with `!`."""
        names = (*CLOSED_REASONS, *(f"!{name}" for name in REJECTED_REASONS))
        words = self.counters.listener(number)[Listener.CLOSED :]
        return {name: count for name, count in zip(names, words, strict=True) if count}

    def route(self, upstream_id: int = 1, number: int = 1) -> tuple[int, int, int, int]:
        """Return opened, closed, bytes in, bytes out."""
        words = self.counters.route(8 * number + upstream_id)
        return (
            words[Route.OPENED],
            words[Route.CLOSED],
            words[Route.BYTES_IN],
            words[Route.BYTES_OUT],
        )

    def errors(self, number: int = 1) -> dict[str, int]:
        words = self.counters.upstream(number)[Upstream.ERRORS :]
        return {name: words[i] for i, name in enumerate(CONNECT_ERRORS) if words[i]}

    def endpoint(self, number: int) -> tuple[int, int, int]:
        """Return opened, closed, failed."""
        words = self.counters.endpoint(number)
        return words[Endpoint.OPENED], words[Endpoint.CLOSED], words[Endpoint.FAILED]

    def upstream(self, word: Upstream, number: int = 1) -> int:
        return self.counters.upstream(number)[word]

    def histogram(self, first: Upstream, number: int = 1) -> int:
        """Return how many observations a histogram has."""
        return sum(self.counters.upstream(number)[first : first + 15])


class Rig(Sockets):
    """An engine on the running loop, with its reports in a list."""

    def __init__(self, peers: Peers | None = None, counters: CounterFile | None = None) -> None:
        super().__init__()
        if counters is None:
            counters, fd = CounterFile.create("test", SMALL)
            os.close(fd)
        self.reports: list[m.Report] = []
        self.books = Books(counters)
        self.engine = Engine(asyncio.get_running_loop(), counters, self.reports.append, peers)

    def order(self, order: m.Order, *fds: int) -> None:
        self.engine.carry_out(order, [os.dup(fd) for fd in fds])

    def upstreams(self, *orders: m.UpstreamOrder) -> None:
        self.order(m.SetUpstreams(orders))

    def open(self, order: m.ListenerOrder, sock: socket.socket | None = None) -> int:
        """Open a listener; return its port."""
        sock = sock or self.listening()
        self.order(m.OpenListeners((order,)), sock.fileno())
        return port_of(sock)

    def serve(self, **changes: object) -> tuple[int, socket.socket]:
        """Open listener 1 to one server; return the proxy's port and the server's socket."""
        server = self.listening()
        self.upstreams(upstream(1, port_of(server)))
        return self.open(listener(1, {1: 1}, **changes)), server

    async def pair(self, port: int, server: socket.socket) -> tuple[socket.socket, socket.socket]:
        """Return the two ends of a new connection through the proxy."""
        client = await self.connect(port)
        return client, await self.accept(server)

    async def joined(self) -> None:
        """Return when the proxy knows of every connection that it has a server."""
        flows = [flow for one in self.engine._listeners.values() for flow in one.flows]
        await until(lambda: all(self.engine._pump.has(flow) for flow in flows))

    def said(self, kind: type[m.Report]) -> list[m.Report]:
        return [report for report in self.reports if isinstance(report, kind)]

    def notices(self, kind: str) -> list[m.Notice]:
        return [r for r in self.reports if isinstance(r, m.Notice) and r.kind == kind]

    def left(self) -> list[str]:
        """Return what is still counted of flows; nothing may be when all have ended."""
        left = ["a deadline"] * len(self.engine._connector._deadlines)
        for one in self.engine._upstreams.values():
            for endpoint in (*one.endpoints.values(), *one._away.values()):
                if endpoint.live:
                    left.append(f"live {endpoint.live} of {endpoint.address}")
            if one.retrying:
                left.append(f"retrying {one.retrying} of {one.name}")
        return left

    async def quiet(self) -> None:
        """Return when no connection is left."""
        await until(lambda: not self.engine.flows)


@contextmanager
def a_rig(peers: Peers | None = None, counters: CounterFile | None = None) -> Iterator[Rig]:
    rig = Rig(peers, counters)
    try:
        yield rig
    finally:
        rig.engine.close()
        rig.close()
        left = rig.left()
        del rig.engine, rig.books  # they hold the map of the counters
    assert not left


@contextmanager
def two_rigs() -> Iterator[tuple[Rig, Rig]]:
    """Two workers that see each other's counters and share no socket."""
    files, fds = zip(*(CounterFile.create("test", SMALL) for _ in range(2)), strict=True)
    peers = [Peers([fd], shared=False, capacity=SMALL) for fd in reversed(fds)]
    for fd in fds:
        os.close(fd)
    with a_rig(peers[0], files[0]) as one, a_rig(peers[1], files[1]) as other:
        yield one, other


class Process(Sockets):
    """A real worker process at the other end of a channel."""

    def __init__(
        self,
        limit_fds: int | None = None,
        *,
        counters: tuple[CounterFile, int] | None = None,
        peer_fds: Sequence[int] = (),
    ) -> None:
        super().__init__()
        ours, theirs = channel_pair()
        counters, fd = counters or CounterFile.create("test")
        self.books = Books(counters)
        self.reports: list[m.Message] = []
        self.lost = False
        limit = () if limit_fds is None else ("prlimit", f"--nofile={limit_fds}")

        self.popen = subprocess.Popen(
            (
                *limit,
                *(sys.executable, "-m", "tenantproxy.dataplane.worker"),
                *("--channel-fd", str(theirs.fileno()), "--counters-fd", str(fd), "--index", "0"),
                *("--peer-fds", ",".join(map(str, peer_fds))),
            ),
            pass_fds=(theirs.fileno(), fd, *peer_fds),
        )
        theirs.close()
        os.close(fd)
        self.channel = Channel(
            ours,
            on_message=lambda message, _fds: self.reports.append(message),
            on_close=lambda: setattr(self, "lost", True),
        )
        self.channel.start()

    async def said(self, kind: type[m.Report]) -> m.Message:
        await until(lambda: any(isinstance(report, kind) for report in self.reports))
        return next(report for report in self.reports if isinstance(report, kind))

    async def exit_code(self) -> int:
        await until(lambda: self.popen.poll() is not None)
        return self.popen.returncode

    async def open(self, order: m.ListenerOrder, upstreams: Sequence[m.UpstreamOrder]) -> int:
        sock = self.listening()
        self.channel.send(m.SetUpstreams(tuple(upstreams)))
        self.channel.send(m.OpenListeners((order,)), (sock.fileno(),))
        await self.said(m.Opened)
        return port_of(sock)


@asynccontextmanager
async def a_worker(limit_fds: int | None = None, **changes: object) -> AsyncIterator[Process]:
    process = Process(limit_fds, **changes)  # type: ignore[arg-type]
    try:
        await process.said(m.Ready)
        yield process
    finally:
        process.channel.close()
        process.close()
        process.popen.kill()
        process.popen.wait()
