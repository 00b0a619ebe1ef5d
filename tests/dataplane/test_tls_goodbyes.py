"""The end of a flow that speaks TLS to the server, when there is no room for our goodbye."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

from tests.dataplane.support import (
    receive_all,
    reset,
    send,
    until,
    was_reset,
)
from tests.dataplane.tls_support import NoRoom, a_tls_server, open_port, pair

pytestmark = pytest.mark.both_movers

MIB = 1 << 20
VERSIONS = pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])


@pytest.fixture
def server(pki, request):
    version, small = getattr(request, "param", ("", False))
    with a_tls_server(pki.server_context(version=version), small=small) as server:
        yield server


def say_goodbye(end: ssl.SSLSocket) -> None:
    """Send close_notify, and wait in vain for the other one."""
    end.settimeout(0.05)
    with pytest.raises((ssl.SSLError, TimeoutError)):
        end.unwrap()
    end.settimeout(20)


@pytest.mark.parametrize("server_ends", ["before", "meanwhile", "after"])
async def test_a_goodbye_for_which_there_is_no_room_waits_for_it(rig, pki, server, server_ends):
    client, end = await pair(rig, open_port(rig, pki, server), server)
    (flow,) = rig.engine._listeners[1].flows
    await send(client, b"all")
    assert await asyncio.to_thread(end.recv, 100) == b"all"
    raw = flow.server.sock._raw = NoRoom(flow.server.sock._raw)
    if server_ends == "before":
        await asyncio.to_thread(say_goodbye, end)
        assert await receive_all(client) == b""
    client.shutdown(socket.SHUT_WR)
    await until(lambda: flow.server.pending is not None)
    if server_ends == "meanwhile":
        await asyncio.to_thread(say_goodbye, end)
        assert await receive_all(client) == b""
    await asyncio.sleep(0.05)
    assert rig.engine.flows == 1
    raw.full = False
    try:
        assert await asyncio.to_thread(end.recv, 100) == b""  # a FIN alone would be an SSLEOFError
    except ssl.SSLZeroReturnError:
        assert server_ends != "after"  # how Python says the same when it has said goodbye itself
    if server_ends == "after":
        end.unwrap().close()
    await rig.quiet()
    assert rig.books.ends() == {"done": 1}


@pytest.mark.parametrize("reset_by", ["client", "server"])
async def test_a_reset_meanwhile_is_a_reset(rig, pki, server, reset_by):
    client, end = await pair(rig, open_port(rig, pki, server), server)
    (flow,) = rig.engine._listeners[1].flows
    flow.server.sock._raw = NoRoom(flow.server.sock._raw)
    client.shutdown(socket.SHUT_WR)
    await until(lambda: flow.server.pending is not None)
    if reset_by == "client":
        reset(client)
        with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
            await asyncio.to_thread(end.recv, 100)
    else:
        reset(end)
        assert await was_reset(client)
    await rig.quiet()
    assert list(rig.books.ends()) == [f"{'client' if reset_by == 'client' else 'upstream'}_reset"]
