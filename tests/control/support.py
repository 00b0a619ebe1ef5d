"""A running control side with real workers, and small clients and upstreams."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from tenantproxy.control.controller import Controller
from tenantproxy.model.spec import (
    Document,
    EndpointSpec,
    ListenerKey,
    ListenerSpec,
    ProxySpec,
    SplitMember,
    TenantSpec,
    UpstreamSpec,
)
from tests.e2e.ports import HIGHEST, LOWEST

PROXY = ProxySpec(workers=1, listen_address="127.0.0.1", port_range=(LOWEST, HIGHEST))


def key(name="web", tenant="acme"):
    return ListenerKey(tenant, name)


def listener(name="web", *members, tenant="acme", **more):
    split = tuple(SplitMember(*m) for m in members) or (SplitMember("v1", 1),)
    return ListenerSpec(tenant, name, split, **more)


def upstream(name, *ports, tenant="acme", host="127.0.0.1", **more):
    return UpstreamSpec(tenant, name, tuple(EndpointSpec(host, p) for p in ports), **more)


def tenant(listeners, upstreams, name="acme", labels=None):
    return TenantSpec(
        name, labels or {}, {u.name: u for u in upstreams}, {it.name: it for it in listeners}
    )


@asynccontextmanager
async def naming_server(name: bytes) -> AsyncIterator[int]:
    """An upstream that says its name and then echoes to the end of input."""

    async def serve(reader, writer):
        try:
            writer.write(name + b" ")
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def ask(port: int, question: bytes = b"hello") -> bytes:
    """Send, end our side, and return everything that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(question)
    writer.write_eof()
    try:
        return await reader.read(-1)
    finally:
        writer.close()
        await writer.wait_closed()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    writer.close()


def free_port() -> int:
    """A number inside the range of `PROXY` that nobody has."""
    for number in range(*PROXY.port_range):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                continue
            return number
    raise AssertionError("no free port")


@asynccontextmanager
async def control(*tenants, proxy=PROXY, policies=(), workers=1) -> AsyncIterator[Controller]:
    """A control side that runs these tenants; ended at once afterwards."""
    running = Controller(replace(proxy, workers=workers), workers=workers, document_path=None)
    try:
        await running.start(Document(running.proxy, {t.name: t for t in tenants}), policies)
        yield running
    finally:
        await running.abort()


async def until(condition, timeout_s=5.0):
    """Wait until a condition holds; fail if it does not in time."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


async def reload(running, *tenants, policies=()):
    return await running.apply_source(
        Document(running.proxy, {t.name: t for t in tenants}), policies, source="file"
    )


def events(running, name):
    return [event for event in running.events() if event.event == name]
