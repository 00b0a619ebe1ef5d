"""The demo's upstreams: HTTP with keep-alive, and anything else that ends."""

import asyncio
import contextlib

import pytest

from tenantproxy.cli.demo_upstream import serving


async def exchange(port: int, *requests: bytes, end: bool = True) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in requests:
        writer.write(request)
    if end:
        writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(-1), 5)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_requests_of_one_connection_are_all_answered():
    async with serving("v1") as upstream:
        got = await exchange(upstream.port, *[b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"] * 3)
    assert got.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert got.count(f"v1 hello from 127.0.0.1:{upstream.port}\n".encode()) == 3
    assert got.count(b"Connection: keep-alive") == 3


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
)
async def test_it_closes_when_that_is_the_end_of_the_conversation(request_):
    async with serving("v1") as upstream:
        got = await exchange(upstream.port, request_, end=False)
    assert got.count(b"200 OK") == 1
    assert b"Connection: close" in got


async def test_a_body_is_not_taken_for_a_request():
    post = b"POST / HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n"
    async with serving("v1") as upstream:
        got = await exchange(upstream.port, post, b"GET / HTTP/1.1\r\n\r\n")
    assert got.count(b"200 OK") == 2


async def test_head_has_no_body():
    async with serving("v1") as upstream:
        got = await exchange(upstream.port, b"HEAD / HTTP/1.1\r\n\r\n")
    assert got.endswith(b"\r\n\r\n")


async def test_a_client_that_speaks_no_http_is_answered_after_its_fin():
    async with serving("v2") as upstream:
        assert (await exchange(upstream.port, b"hello\n")).startswith(b"v2 hello from ")
        assert await exchange(upstream.port) == b""


@pytest.mark.parametrize(
    "nonsense",
    [b"\0" * 200_000, b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n", b"\r\n\r\n"],
)
async def test_nonsense_does_no_harm(nonsense):
    async with serving("v1") as upstream:
        with contextlib.suppress(ConnectionError):
            await exchange(upstream.port, nonsense)
        assert b"200 OK" in await exchange(upstream.port, b"GET / HTTP/1.1\r\n\r\n")


async def test_the_end_does_not_wait_for_clients_that_stay():
    async with serving("v1") as upstream:
        reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
    assert b"hello" in await asyncio.wait_for(reader.read(-1), 5)
    writer.close()
