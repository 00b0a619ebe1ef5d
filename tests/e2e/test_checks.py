"""Health checks of the real daemon: made once, told to every worker, and not for who sleeps."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime

from tests.e2e.daemon import document, until
from tests.e2e.load import try_once
from tests.e2e.moods import moody
from tests.e2e.programs import nginx
from tests.e2e.upstreams import name_and_close, serving, swallow
from tests.e2e.wire import ask

REACHED_MS = 100
EVERY = {"every": "200ms", "timeout": "200ms", "fall": 1, "rise": 2}


def checked(*ports, workers=2, health=None, **listener):
    up = {
        "endpoints": [f"127.0.0.1:{port}" for port in ports],
        "health": health or {"tcp": {}, **EVERY},
        "outlier": None,
    }
    tenants = {"acme": {"upstreams": {"up": up}, "listeners": {"web": {"split": {"up": 1}}}}}
    tenants["acme"]["listeners"]["web"] |= listener
    return document(tenants, workers=workers)


async def states(daemon):
    view = await daemon.api("GET", "tenants/acme/upstreams/up")
    return [one["state"] for one in view["endpoints"]]


async def test_a_sleeping_port_has_its_endpoints_left_alone(run_daemon):
    async with serving(swallow) as server, run_daemon(checked(server.port)) as daemon:
        await asyncio.sleep(1)
        assert server.accepted == 0
        assert await states(daemon) == ["unchecked"]
        await daemon.act("acme/web", "open")
        await until(lambda: server.accepted >= 3)
        await daemon.act("acme/web", "sleep")
        await asyncio.sleep(0.3)
        before = server.accepted
        await asyncio.sleep(1)
        assert server.accepted == before


async def test_however_many_workers_there_are_checks_are_made_once(run_daemon):
    async with (
        serving(swallow) as server,
        run_daemon(checked(server.port, workers=4, open="always")) as daemon,
    ):
        await until(lambda: server.accepted)
        before = server.accepted
        await asyncio.sleep(2)
        made = server.accepted - before
        # Ten are due; four workers with checks of their own would make forty.
        assert 6 <= made <= 14, made
        assert await states(daemon) == ["healthy"]


async def test_a_waking_port_does_not_wait_for_every_check_that_makes_healthy(run_daemon):
    health = {"tcp": {}, "every": "10s", "timeout": "1s", "fall": 3, "rise": 5}
    async with moody("up") as up, run_daemon(checked(up.port, health=health)) as daemon:
        assert await try_once(await daemon.port("acme/web"), question=b"?") == ("served", "up")

        async def healthy():
            return await states(daemon) == ["healthy"]

        await until(healthy, within_s=5)


async def test_what_a_check_finds_reaches_every_worker_within_a_tenth_of_a_second(run_daemon):
    """From the decision to the last connection that any of four workers made there.

    The endpoint serves clients all the while; what dies is the port beside it that is checked.
    """
    served_s: list[float] = []

    async def mortal(wire):
        served_s.append(time.time())
        await wire.send(b"mortal")

    async with (
        serving(name_and_close("steady")) as steady,
        serving(mortal, host="127.0.0.2") as other,
        serving(swallow) as checked_port,
        serving(swallow, checked_port.port, host="127.0.0.2") as dies,
    ):
        health = {"tcp": {}, **EVERY, "port": checked_port.port}
        doc = checked(steady.port, workers=4, health=health, open="always")
        doc["tenants"]["acme"]["upstreams"]["up"]["endpoints"].append(f"127.0.0.2:{other.port}")
        async with run_daemon(doc) as daemon:
            port = await daemon.port("acme/web")

            async def both():
                return await states(daemon) == ["healthy", "healthy"]

            await until(both)
            running = True

            async def ask_on():
                while running:
                    await try_once(port)

            tasks = [asyncio.ensure_future(ask_on()) for _ in range(8)]
            await asyncio.sleep(0.5)
            assert len(served_s) > 50
            await dies.stop()

            async def out():
                return (await states(daemon))[1] == "unhealthy"

            await until(out)
            await asyncio.sleep(0.5)
            running = False
            await asyncio.gather(*tasks)
            (event,) = (one for one in daemon.log_events() if one["event"] == "endpoint_unhealthy")
            decided_s = datetime.fromisoformat(event["timestamp"]).timestamp()
            late_ms = (served_s[-1] - decided_s) * 1e3
            print(f"last connection {late_ms:.1f} ms after the decision")
            assert late_ms <= REACHED_MS


async def test_http_checks_look_at_the_code(run_daemon, folder):
    async with nginx(folder) as port:
        for expect, state in (("200-299", "healthy"), (404, "unhealthy")):
            health = {"http": {"path": "/", "expect": expect}, **EVERY}
            doc = checked(port, health=health, open="always")
            async with run_daemon(doc) as daemon:

                async def said(state=state, daemon=daemon):
                    return await states(daemon) == [state]

                await until(said)
                if state == "unhealthy":
                    view = await daemon.api("GET", "tenants/acme/upstreams/up")
                    assert "GET / said 200" in view["endpoints"][0]["reason"]
                question = b"GET / HTTP/1.0\r\n\r\n"
                # Unhealthy alone is panic: the only endpoint is used all the same.
                assert b"hello" in await ask(await daemon.port("acme/web"), question)
