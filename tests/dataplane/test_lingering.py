"""An RST is passed on when what came before it has arrived."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct

import pytest

from tenantproxy.dataplane.lingering import Lingering
from tests.dataplane.support import Sockets, receive, was_reset

_ATTACH_FILTER, _DETACH_FILTER = 26, 27
_DROP = struct.pack("HBBI", 0x06, 0, 0, 0)
"""A filter that keeps nothing: BPF_RET of 0 bytes."""


@pytest.fixture
async def pair():
    """Both ends of a connection, and the sockets' keeper."""
    sockets = Sockets()
    listening = sockets.listening()
    reader = await sockets.connect(listening.getsockname()[1])
    writer = await sockets.accept(listening)
    yield reader, writer
    sockets.close()


@pytest.fixture
async def lingering():
    lingering = Lingering(asyncio.get_running_loop())
    yield lingering
    lingering.close()


def lose_all(sock: socket.socket) -> None:
    """Let the kernel drop every packet that comes to the socket."""
    code = ctypes.create_string_buffer(_DROP)
    program = struct.pack("HP", 1, ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)


async def test_without_anything_under_way_it_is_reset_at_once(pair, lingering):
    reader, writer = pair
    lingering.reset(writer)
    assert len(lingering) == 0
    assert await was_reset(reader)


async def test_what_was_sent_and_lost_arrives_before_the_reset(pair, lingering):
    """An RST sent at once would have been lost with it, or been behind a hole."""
    reader, writer = pair
    lose_all(reader)
    writer.send(b"lost at first")
    lingering.reset(writer)
    await asyncio.sleep(0.05)
    assert len(lingering) == 1
    reader.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)
    assert await receive(reader, 13) == b"lost at first"
    assert await was_reset(reader)
    assert len(lingering) == 0
