"""Going down: readiness first, then no newcomers, then a grace, then the end."""

import asyncio
import os
import signal
import time

import aiohttp
import pytest

from tests.e2e.apart import apart, serving_apart
from tests.e2e.daemon import document, tenant, until
from tests.e2e.load import Rate, hammer
from tests.e2e.sizes import sizes
from tests.e2e.upstreams import echo, name_and_close
from tests.e2e.wire import dial


async def stream(wire, ended_at):
    """Talk until the connection ends; note when."""
    try:
        while True:
            await wire.send(b"ping")
            if not await wire.exactly(4):
                break
            await asyncio.sleep(0.1)
    except ConnectionError:
        pass
    ended_at.append(time.monotonic())


@sizes("streams,rate,accept_s,drain_s", (50, 100, 1, 2), (200, 300, 5, 30), timeout_s=120)
async def test_sigterm_under_load(run_daemon, streams, rate, accept_s, drain_s):
    async with (
        serving_apart(echo) as held_by,
        serving_apart(name_and_close, "up") as up,
    ):
        doc = document(
            {
                "acme": tenant(
                    {"up": up.port, "held": held_by.port},
                    web={"split": {"up": 1}},
                    asleep={"split": {"up": 1}},
                    held={"split": {"held": 1}},
                )
            },
            shutdown={"keep_accepting": f"{accept_s}s", "drain": f"{drain_s}s"},
        )
        async with run_daemon(doc, fails_to_stop=True) as daemon:
            ports = [await daemon.port("acme/web")]
            held_port = await daemon.port("acme/held")
            late_port = await daemon.port("acme/asleep")
            wires = [await dial(held_port) for _ in range(streams)]
            ended_at: list[float] = []
            talking = [asyncio.ensure_future(stream(wire, ended_at)) for wire in wires]
            async with Rate(ports, rate) as running:
                await asyncio.sleep(1)
                assert not running.load.failed
                told = time.monotonic()
                daemon.process.send_signal(signal.SIGTERM)
                await until(lambda: _not_ready(daemon), within_s=0.9)
                running.ports.append(late_port)  # a port that was asleep until now
                await asyncio.sleep(accept_s - (time.monotonic() - told) - 0.1)
                assert not running.load.failed, running.load.failures
                assert await daemon.readyz() == 503
                code = await daemon.wait_end(within_s=drain_s + 5)
                took_s = time.monotonic() - told
                load = await running.stop()
            assert code == 0
            assert took_s < accept_s + drain_s + 3
            await asyncio.gather(*talking)
            for wire in wires:
                wire.close()
            assert len(ended_at) == streams
            assert min(ended_at) - told > accept_s + drain_s - 0.3, "cut before the grace was over"
            assert load.failed.keys() <= {"refused"}, load.failures
            print(f"{took_s=:.2f} {load.outcomes}")
            assert "Traceback" not in daemon.log()


@sizes("rounds", 1, 20)
@pytest.mark.parametrize("way", ["sigterm", "close", "delete"])
async def test_nothing_queued_is_reset_when_a_port_closes(run_daemon, rounds, way):
    """Connections come as fast as they go; each is served, or refused at once."""
    async with serving_apart(name_and_close, "up") as up:
        for _ in range(rounds):
            doc = document(
                {"acme": tenant({"up": up.port}, web={"split": {"up": 1}})},
                shutdown={"keep_accepting": "0s", "drain": "5s"},
            )
            async with run_daemon(doc) as daemon:
                port = await daemon.port("acme/web")
                for _ in range(1 if way == "sigterm" else 3):
                    await daemon.act("acme/web", "open")
                    hammering = asyncio.ensure_future(apart(hammer, [port], 40, 20))
                    await until(lambda: _busy(daemon), within_s=5)
                    if way == "sigterm":
                        assert await daemon.stop() == 0
                    elif way == "close":
                        await daemon.act("acme/web", "close")
                    else:
                        await daemon.api("DELETE", "tenants/acme/listeners/web")
                    outcomes = await hammering
                    assert outcomes.keys() == {"served", "refused"}, outcomes
                    if way == "delete":
                        web = {"split": {"up": 1}, "port": port}
                        await daemon.api("PUT", "tenants/acme/listeners/web", web)


@pytest.mark.parametrize("way", ["sigterm", "close", "delete", "sleep"])
async def test_what_waits_in_the_queue_is_served_though_the_port_closes(run_daemon, way):
    """The workers stand still, so that the queue is full when the order comes."""
    async with serving_apart(name_and_close, "up") as up:
        doc = document(
            {"acme": tenant({"up": up.port}, web={"split": {"up": 1}})},
            shutdown={"keep_accepting": "0s", "drain": "5s"},
        )
        async with run_daemon(doc) as daemon:
            port = await daemon.port("acme/web")
            await daemon.act("acme/web", "open")
            workers = daemon.workers()
            for worker in workers:
                os.kill(worker, signal.SIGSTOP)
            try:
                wires = [await dial(port) for _ in range(300)]
                if way == "sigterm":
                    daemon.process.send_signal(signal.SIGTERM)
                    order = asyncio.ensure_future(daemon.wait_end())
                elif way == "delete":
                    order = asyncio.ensure_future(
                        daemon.api("DELETE", "tenants/acme/listeners/web")
                    )
                else:
                    order = asyncio.ensure_future(daemon.act("acme/web", way))
                await asyncio.sleep(0.4)
            finally:
                for worker in workers:
                    os.kill(worker, signal.SIGCONT)
            answers = await asyncio.gather(*(wire.exactly(2) for wire in wires))
            assert answers == [b"up"] * 300
            for wire in wires:
                wire.close()
            await order


async def _busy(daemon):
    view = await daemon.listener("acme/web")
    before = view["connections_total"]
    await asyncio.sleep(0.1)
    return (await daemon.listener("acme/web"))["connections_total"] > before + 20


async def _not_ready(daemon):
    return await daemon.readyz() == 503


async def test_without_connections_it_ends_before_the_grace_is_over(run_daemon):
    async with serving_apart(name_and_close, "up") as up:
        doc = document(
            {"acme": tenant({"up": up.port}, web={"split": {"up": 1}})},
            shutdown={"keep_accepting": "0s", "drain": "30s"},
        )
        async with run_daemon(doc) as daemon:
            began = time.monotonic()
            assert await daemon.stop() == 0
            assert time.monotonic() - began < 5


async def test_a_second_sigterm_ends_at_once(run_daemon):
    async with serving_apart(echo) as held_by:
        doc = document(
            {"acme": tenant({"held": held_by.port}, held={"split": {"held": 1}})},
            shutdown={"keep_accepting": "5s", "drain": "30s"},
        )
        async with run_daemon(doc, fails_to_stop=True) as daemon:
            wire = await dial(await daemon.port("acme/held"))
            await wire.send(b"x")
            assert await wire.exactly(1) == b"x"
            daemon.process.send_signal(signal.SIGTERM)
            await until(lambda: _not_ready(daemon), within_s=2)
            began = time.monotonic()
            daemon.process.send_signal(signal.SIGTERM)
            await daemon.wait_end(within_s=3)
            assert time.monotonic() - began < 3
            assert "Traceback" not in daemon.log()
            wire.close()


async def test_sigint_does_as_sigterm(run_daemon):
    async with serving_apart(name_and_close, "up") as up:
        doc = document({"acme": tenant({"up": up.port}, web={"split": {"up": 1}})})
        async with run_daemon(doc, fails_to_stop=True) as daemon:
            daemon.process.send_signal(signal.SIGINT)
            assert await daemon.wait_end() == 0


async def test_a_signal_during_the_start_ends_it_in_order(folder, run_daemon):
    """At whatever moment it comes: no traceback, nothing left running."""
    async with serving_apart(name_and_close, "up") as up:
        listeners = {f"l{n}": {"split": {"up": 1}} for n in range(200)}
        owner = tenant({"up": up.port})
        owner["listeners"] = listeners
        from tests.e2e.daemon import Daemon  # noqa: PLC0415

        doc = document({"acme": owner}, room=220)
        for delay_s in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.1):
            daemon = Daemon(folder, doc, fails_to_stop=True)
            try:
                daemon.launch()
                await asyncio.sleep(delay_s)
                daemon.process.send_signal(signal.SIGTERM)
                code = await daemon.wait_end(within_s=5)
                # Before Python has set a handler, the kernel's default ends the process.
                assert code in (0, -signal.SIGTERM), daemon.log()
                assert "Traceback" not in daemon.log(), daemon.log()
            finally:
                await daemon._clean_up()


async def test_the_api_is_gone_after_the_end(run_daemon):
    async with serving_apart(name_and_close, "up") as up:
        doc = document({"acme": tenant({"up": up.port}, web={"split": {"up": 1}})})
        async with run_daemon(doc) as daemon:
            assert await daemon.stop() == 0
            try:
                await daemon.readyz()
            except aiohttp.ClientConnectionError:
                return
            raise AssertionError("something still answers")
