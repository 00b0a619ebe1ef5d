"""A connection of a check: to any address, ended by a reset, with TLS over it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from pathlib import Path

import pytest

from tenantproxy.health.check import check
from tenantproxy.health.wire import _connect, connected
from tests.health.support import HOST, PLENTY_S, link_local, saying, serving, tcp


async def until(condition) -> None:
    async with asyncio.timeout(PLENTY_S):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_connection_ends_with_a_reset_and_leaves_no_time_wait():
    async with serving(saying(stay=True)) as server:
        async with connected(HOST, server.port) as wire:
            await wire.send(b"hello")
            mine = wire._sock.getsockname()[1]
        await until(lambda: server.resets == 1)
    ends = {f"0100007F:{port:04X}" for port in (mine, server.port)}  # others may share one of them
    rows = [line.split()[1:4] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert not [row for row in rows if set(row[:2]) == ends]


async def test_it_ends_with_a_reset_when_the_body_raises():
    async with serving(saying(stay=True)) as server:
        with pytest.raises(RuntimeError):
            async with connected(HOST, server.port):
                await until(lambda: server.connections)
                raise RuntimeError
        await until(lambda: server.resets == 1)


async def test_an_ipv6_address_works():
    async with serving(saying(stay=True), host="::1") as server:
        assert (await check(tcp(server.port, host="::1"), PLENTY_S)).passed


async def test_a_link_local_address_needs_its_zone_and_works_with_it():
    address, interface = link_local()
    async with serving(saying(stay=True), host=f"{address}%{interface}") as server:
        assert (await check(tcp(server.port, host=f"{address}%{interface}"), PLENTY_S)).passed
        number = socket.if_nametoindex(interface)
        assert (await check(tcp(server.port, host=f"{address}%{number}"), PLENTY_S)).passed
        assert not (await check(tcp(server.port, host=address), PLENTY_S)).passed


async def test_a_port_that_meets_itself_is_refused():
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        sock.setblocking(False)
        with pytest.raises(OSError, match=os.strerror(errno.ECONNREFUSED)):
            await _connect(sock, sock.getsockname())
