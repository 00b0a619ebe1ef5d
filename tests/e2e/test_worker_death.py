"""A worker that is killed takes its own connections with it, and nothing else."""

import asyncio
import os
import signal
import time

from tests.e2e import procfs
from tests.e2e.apart import serving_apart
from tests.e2e.daemon import document, tenant, totals, until
from tests.e2e.load import Rate, burst
from tests.e2e.sizes import sizes
from tests.e2e.upstreams import echo, name_and_close
from tests.e2e.wire import dial


@sizes("kills,rate", (3, 100), (10, 300), timeout_s=180)
async def test_only_its_own_connections_fail(run_daemon, kills, rate):
    async with (
        serving_apart(echo) as held_by,
        serving_apart(name_and_close, "up") as up,
    ):
        doc = document(
            {
                "acme": tenant(
                    {"up": up.port, "held": held_by.port},
                    web={"split": {"up": 1}},
                    held={"split": {"held": 1}},
                )
            }
        )
        async with run_daemon(doc) as daemon:
            web, held_port = await daemon.port("acme/web"), await daemon.port("acme/held")
            killed_at: list[float] = []
            start = time.monotonic()
            async with Rate([web], rate) as running:
                for number in range(kills):
                    wires = [await dial(held_port) for _ in range(40)]
                    assert all([await _alive(wire) for wire in wires])
                    workers = sorted(daemon.workers())
                    assert len(workers) == 2
                    victim = workers[number % 2]
                    before = totals(await daemon.metrics())
                    own = procfs.peer_ports(victim)
                    doomed = [w for w in wires if w.sock.getsockname()[1] in own]
                    os.kill(victim, signal.SIGKILL)
                    killed_at.append(time.monotonic() - start)

                    await until(lambda old=workers: _replaced(daemon, old), within_s=2)
                    for wire in wires:
                        assert await _alive(wire) == (wire not in doomed)
                        wire.close()
                    after = totals(await daemon.metrics())
                    fell = {n: (v, after.get(n)) for n, v in before.items() if after.get(n, -1) < v}
                    assert not fell, "a total went down"
                    await asyncio.sleep(0.2)
                load = await running.stop()
            # Connections of the load live about a millisecond: a kill may catch a few of them.
            assert load.failed.keys() <= {"reset", "closed"}, load.failures
            assert sum(load.failed.values()) <= 3 * kills, load.failures
            for at, _, outcome in load.failures:
                assert any(-0.2 < at - killed < 0.1 for killed in killed_at), (at, outcome)
            # Both workers got their listeners back: each serves.
            workers = daemon.workers()
            held = [await dial(held_port) for _ in range(40)]
            assert all([await _alive(wire) for wire in held])
            mine = {wire.sock.getsockname()[1] for wire in held}
            assert all(mine & procfs.peer_ports(worker) for worker in workers)
            for wire in held:
                wire.close()
            view = await daemon.listener("acme/held")
            assert view["connections_total"] >= 40 * kills


async def _alive(wire):
    try:
        async with asyncio.timeout(5):
            await wire.send(b"alive?")
            return await wire.exactly(6) == b"alive?"
    except ConnectionError:
        return False


async def _replaced(daemon, old):
    """Tell whether two workers run and accept that are not both the old ones."""
    workers = set(daemon.workers())
    ready = [w for w in (await daemon.api("GET", "status"))["workers"] if w["state"] == "ready"]
    return len(workers) == len(ready) == 2 and workers != set(old)


async def test_with_every_worker_dead_clients_wait_and_are_served(run_daemon):
    """The accept queue belongs to the control process, so it survives."""
    async with serving_apart(name_and_close, "up") as up:
        doc = document({"acme": tenant({"up": up.port}, web={"split": {"up": 1}})})
        async with run_daemon(doc) as daemon:
            port = await daemon.port("acme/web")
            assert await asyncio.to_thread(burst, port, 10) == {"up": 10}
            for pid in daemon.workers():
                os.kill(pid, signal.SIGKILL)
            assert await asyncio.to_thread(burst, port, 50) == {"up": 50}


async def test_a_dead_control_process_takes_its_workers_with_it(run_daemon):
    async with serving_apart(name_and_close, "up") as up:
        doc = document({"acme": tenant({"up": up.port}, web={"split": {"up": 1}})})
        async with run_daemon(doc, fails_to_stop=True) as daemon:
            workers = daemon.workers()
            assert len(workers) == 2
            daemon.process.kill()
            daemon.process.wait()
            await until(lambda: not any(map(procfs.is_alive, workers)), within_s=1)
