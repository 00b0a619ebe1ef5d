"""A limit of connections holds over all workers; who waits is served when a slot comes free."""

from __future__ import annotations

import asyncio
import contextlib

from tests.e2e.daemon import document, until
from tests.e2e.load import try_once
from tests.e2e.upstreams import identify, serving
from tests.e2e.wire import dialled


def limited(port, most, workers=3, **more):
    up = {"endpoints": [f"127.0.0.1:{port}"], "max_connections": most, **more}
    web = {"split": {"up": 1}, "open": "always", "wake": {"timeout": "2s"}}
    tenants = {"acme": {"upstreams": {"up": up}, "listeners": {"web": web}}}
    return document(tenants, workers=workers)


async def test_a_limit_is_never_exceeded_and_all_of_it_is_given(run_daemon):
    async with serving(identify("up")) as server, run_daemon(limited(server.port, 20)) as daemon:
        port = await daemon.port("acme/web")
        async with contextlib.AsyncExitStack() as held:

            async def one():
                try:
                    wire = await held.enter_async_context(dialled(port))
                    return await wire.receive(2)
                except ConnectionResetError:
                    return b"refused"

            got = await asyncio.gather(*(one() for _ in range(60)))
            assert got.count(b"up") == 20
            assert got.count(b"refused") == 40
            assert server.live == 20
            view = await daemon.listener("acme/web")
            assert view["rejected"] == {"upstream_full": 40}
        await until(lambda: server.live == 0)
        assert await try_once(port) == ("served", "up")


async def test_those_who_wait_are_served_in_their_turn_and_nobody_else_waits(run_daemon):
    queue = {"size": 5, "timeout": "20s"}
    async with serving(identify("up")) as server:
        doc = limited(server.port, 2, workers=1, queue=queue)
        async with run_daemon(doc) as daemon:
            port = await daemon.port("acme/web")
            async with dialled(port) as first, dialled(port) as second:
                assert await first.receive(2) == await second.receive(2) == b"up"
                waiting = [asyncio.ensure_future(try_once(port)) for _ in range(5)]

                async def all_wait():
                    view = await daemon.api("GET", "tenants/acme/upstreams/up")
                    return view["limits"]["waiting"] == 5

                await until(all_wait)
                assert (await try_once(port))[0] in ("reset", "refused")
                first.close()
                assert set(await asyncio.gather(*waiting)) == {("served", "up")}
            view = await daemon.listener("acme/web")
            assert view["rejected"] == {"upstream_full": 1}


async def test_a_slot_that_another_worker_frees_is_noticed(run_daemon):
    queue = {"size": 300, "timeout": "20s"}
    async with serving(identify("up")) as server:
        doc = limited(server.port, 4, workers=3, queue=queue)
        async with run_daemon(doc) as daemon:
            port = await daemon.port("acme/web")
            most = 0

            async def one():
                nonlocal most
                async with dialled(port) as wire:
                    assert await wire.receive(2) == b"up"
                    most = max(most, server.live)
                    await asyncio.sleep(0.02)

            await asyncio.gather(*(one() for _ in range(100)))
            assert most <= 4
            assert server.accepted == 100


async def test_who_waits_too_long_is_refused(run_daemon):
    queue = {"size": 5, "timeout": "300ms"}
    async with (
        serving(identify("up")) as server,
        run_daemon(limited(server.port, 1, workers=1, queue=queue)) as daemon,
    ):
        port = await daemon.port("acme/web")
        async with dialled(port) as first:
            assert await first.receive(2) == b"up"
            assert (await try_once(port))[0] in ("reset", "refused")
        view = await daemon.listener("acme/web")
        assert view["rejected"] == {"queue_timeout": 1}
