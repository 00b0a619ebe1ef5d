"""Readers that stop cost the machine no more than they do with another proxy."""

import asyncio

import pytest

from tests.e2e import procfs, programs, upstreams
from tests.e2e.apart import serving_apart
from tests.e2e.daemon import document, tenant, until
from tests.e2e.integrity import MIB
from tests.e2e.wire import dial

READERS = 200
CHAT = 20
"""More round trips than a connection needs to be linked."""
HELD_S = 60.0


@pytest.mark.trial
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mover", ["pump", "kernel"], indirect=True)
async def test_stopped_readers_cost_at_most_twice_what_haproxys_cost(run_daemon, folder, mover):
    """Each is a chatty connection, to which 64 MiB are then sent that it does not read."""
    async with serving_apart(upstreams.chat_then_send, CHAT, 64 * MIB) as upstream:
        async with programs.haproxy(folder, upstream.port) as port:
            theirs = await cost_of_stopped_readers(port)
        doc = document({"acme": tenant({"up": upstream.port}, web={"split": {"up": 1}})}, workers=1)
        async with run_daemon(doc) as daemon:
            ours = await cost_of_stopped_readers(await daemon.port("acme/web"))
    print(f"{mover}: {ours / MIB:.0f} MiB, HAProxy: {theirs / MIB:.0f} MiB")
    assert ours <= 2 * theirs


async def cost_of_stopped_readers(port: int) -> int:
    """Return by how much MemAvailable went down at the most, in bytes."""
    before = await _at_rest()
    lowest = before
    wires = []
    try:
        for _ in range(READERS):
            wire = await dial(port)
            wires.append(wire)
            for _ in range(CHAT):
                await wire.send(b"?")
                assert await wire.exactly(1) == b"?"
        until_s = asyncio.get_running_loop().time() + HELD_S
        while asyncio.get_running_loop().time() < until_s:
            lowest = min(lowest, procfs.available_bytes())
            await asyncio.sleep(0.1)
    finally:
        for wire in wires:
            wire.reset()
    return before - lowest


async def _at_rest() -> int:
    """Return MemAvailable once it moves by less than 8 MiB in half a second."""
    seen = [0]

    async def rest() -> bool:
        await asyncio.sleep(0.5)
        seen.append(procfs.available_bytes())
        return abs(seen[-1] - seen[-2]) < 8 * MIB

    await until(rest, within_s=30)
    return seen[-1]
