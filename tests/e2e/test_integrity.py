"""Every byte arrives, once and in order, and is counted."""

import asyncio

import pytest

from tenantproxy.dataplane.lingering import LINGER_S
from tests.e2e.apart import apart, serving_apart
from tests.e2e.daemon import document, tenant, until
from tests.e2e.integrity import (
    ENDINGS,
    MIB,
    RESETS,
    STOOD_STILL,
    compare,
    converse,
    hold_talks,
    random_talks,
)
from tests.e2e.sizes import sizes
from tests.e2e.upstreams import echo, serving
from tests.e2e.wire import ask, dialled

pytestmark = pytest.mark.both_movers

STANDSTILLS = 3
"""Most that the kernel brings about in a run (see TORN_WITHIN_S); one was seen in six runs."""


@sizes("count,largest", (100, MIB), (1000, 16 * MIB))
async def test_every_byte_of_many_connections(run_daemon, count, largest):
    """Whole talks through one port; talks that end in a reset through another, at once."""
    async with serving_apart(converse) as upstream:
        listener = {"split": {"up": 1}, "open": "always"}
        doc = document(
            {
                "acme": tenant({"up": upstream.port}, web=listener),
                "rough": tenant({"up": upstream.port}, web=listener),
            }
        )
        async with run_daemon(doc) as daemon:
            whole = random_talks(count, largest, ENDINGS, seed=count)
            torn = random_talks(count // 4, largest, RESETS, seed=count + 1, first=count)
            for name in ("acme/web", "rough/web"):
                await daemon.wait_state(name, "open")
            fds_before = await _settled_fds(daemon)
            port, rough = await daemon.port("acme/web"), await daemon.port("rough/web")
            work = [(port, talk) for talk in whole] + [(rough, talk) for talk in torn]
            accounts, trouble = await apart(hold_talks, work, len(work), 240)
            # A torn client knows of its reset before the server does: if the talk stood still
            # between proxy and server, by as long as a reset waits for what came before it.
            theirs = await _records_at_rest(upstream)

            assert not trouble
            numbers = {talk.number for talk in whole}
            ours = [account for account in accounts if account.number in numbers]
            assert len(ours) == count
            assert compare(ours, theirs) == []
            assert sum(one.end == STOOD_STILL for one in (*accounts, *theirs)) <= STANDSTILLS

            view = await _closed(daemon, "acme/web")
            assert view["connections_total"] == count
            assert view["bytes_in"] == sum(account.sent for account in ours)
            assert view["bytes_out"] == sum(account.received for account in ours)
            torn_view = await _closed(daemon, "rough/web")
            assert torn_view["connections_total"] == len(torn)

            await until(
                lambda: daemon.fds() == fds_before,
                within_s=5,
                say=lambda: (fds_before, daemon.fds()),
            )
            samples = await daemon.metrics()
            counted = {
                way: value
                for name, value in samples.items()
                for way in ("in", "out")
                if name.startswith("tenantproxy_listener_bytes_total")
                and 'tenant="acme"' in name
                and f'direction="{way}"' in name
            }
            assert counted == {"in": view["bytes_in"], "out": view["bytes_out"]}


async def _records_at_rest(upstream):
    """Wait until the server has no connection left, and return all its records."""
    records = []

    async def look():
        state = await upstream.state()
        records.extend(state["records"])
        return state["live"] == 0

    await until(look, within_s=LINGER_S + 10, say=lambda: f"{len(records)} records")
    return records


async def _settled_fds(daemon):
    """Return the numbers of descriptors when they rest: `open` means that one worker accepts."""
    seen = []

    async def rest():
        await asyncio.sleep(0.2)
        seen.append(daemon.fds())
        return len(seen) > 1 and seen[-1] == seen[-2]

    await until(rest)
    return seen[-1]


async def _closed(daemon, name):
    """Wait until no connection is left, and return the listener."""

    async def look():
        view = await daemon.listener(name)
        return view if view["connections"] == 0 else None

    return await until(look, within_s=10)


async def test_bytes_of_a_live_connection_count_while_it_lives(run_daemon):
    async with serving(echo) as upstream:
        doc = document({"acme": tenant({"up": upstream.port}, web={"split": {"up": 1}})})
        async with run_daemon(doc) as daemon, dialled(await daemon.port("acme/web")) as wire:
            await wire.send(b"x" * 1000)
            assert await wire.exactly(1000) == b"x" * 1000

            async def counted():  # at once by the pump, within a tenth of a second by the kernel
                view = await daemon.listener("acme/web")
                return (view["connections"], view["bytes_in"], view["bytes_out"]) == (1, 1000, 1000)

            await until(counted)
            samples = await daemon.metrics()
            moved = [
                value
                for name, value in samples.items()
                if name.startswith("tenantproxy_listener_bytes_total")
            ]
            assert sorted(moved) == [1000, 1000]


async def test_a_reset_of_the_client_reaches_the_upstream_as_a_reset(run_daemon):
    seen = asyncio.get_running_loop().create_future()

    async def watch(wire):
        try:
            while await wire.receive():
                pass
            seen.set_result("end")
        except ConnectionResetError:
            seen.set_result("reset")

    async with serving(watch) as upstream:
        doc = document({"acme": tenant({"up": upstream.port}, web={"split": {"up": 1}})})
        async with run_daemon(doc) as daemon:
            async with dialled(await daemon.port("acme/web")) as wire:
                await wire.send(b"hello")
                await until(lambda: upstream.live == 1)
                wire.reset()
            assert await asyncio.wait_for(seen, 5) == "reset"


async def test_a_reset_of_the_upstream_reaches_the_client_as_a_reset(run_daemon):
    async def tear(wire):
        await wire.receive()
        wire.reset()

    async with serving(tear) as upstream:
        doc = document({"acme": tenant({"up": upstream.port}, web={"split": {"up": 1}})})
        async with run_daemon(doc) as daemon:
            async with dialled(await daemon.port("acme/web")) as wire:
                await wire.send(b"hello")
                with pytest.raises(ConnectionResetError):
                    await asyncio.wait_for(wire.rest(), 5)
            view = await _closed(daemon, "acme/web")
            assert view["connections_total"] == 1


async def test_an_upstream_that_ends_at_once_gives_an_empty_answer(run_daemon):
    async def leave(wire):
        await wire.receive()

    async with serving(leave) as upstream:
        doc = document({"acme": tenant({"up": upstream.port}, web={"split": {"up": 1}})})
        async with run_daemon(doc) as daemon:
            assert await ask(await daemon.port("acme/web"), b"anything") == b""
