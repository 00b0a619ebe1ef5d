"""Closing: whoever is let in is served, and nobody is let in who would not be."""

import asyncio

import pytest

from tests.control.support import (
    ask,
    control,
    key,
    listener,
    naming_server,
    tenant,
    until,
    upstream,
)


@pytest.fixture
async def acme():
    async with naming_server(b"v1") as number:
        yield tenant([listener()], [upstream("v1", number)])


@pytest.mark.parametrize("awake", [True, False])
async def test_a_client_that_comes_while_a_port_closes_is_refused_and_never_reset(acme, awake):
    async with control(acme) as running:
        port = running.listener(key()).port
        if awake:
            await ask(port)
        closing = asyncio.ensure_future(running.close(key()))
        await until(lambda: running._registry.by_key[key()].closing)
        await asyncio.sleep(0.02)
        with pytest.raises(ConnectionRefusedError):  # its first SYN is dropped, the second refused
            await ask(port)
        await closing


async def test_a_client_that_comes_when_the_daemon_stops_accepting_is_refused_and_never_reset(acme):
    async with control(acme) as running:
        port = running.listener(key()).port
        await ask(port)
        down = asyncio.ensure_future(running.shutdown(keep_accepting_s=0.05, drain_s=5))
        await asyncio.sleep(0.15)
        with pytest.raises(ConnectionRefusedError):
            await ask(port)
        await down
