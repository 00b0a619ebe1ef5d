"""Out of file descriptors: who is in stays whole, who is not waits."""

import asyncio
import time

from tests.e2e import procfs
from tests.e2e.apart import serving_apart
from tests.e2e.daemon import document, tenant
from tests.e2e.load import try_once
from tests.e2e.sizes import sizes
from tests.e2e.upstreams import identify
from tests.e2e.wire import dial


async def wait_for_name(wire, seen):
    """Take what comes; `seen` counts names, and ends without one."""
    try:
        name = await wire.receive(16)
        seen["served" if name else "closed"] += 1
    except ConnectionError:
        seen["reset"] += 1


@sizes("clients,hold_s", (1000, 5), (1000, 30), timeout_s=120)
async def test_more_clients_than_file_descriptors(run_daemon, clients, hold_s):
    async with serving_apart(identify, "up") as up:
        doc = document({"acme": tenant({"up": up.port}, web={"split": {"up": 1}})})
        async with run_daemon(doc, fd_limit=256) as daemon:
            port = await daemon.port("acme/web")
            inside = [await dial(port) for _ in range(20)]
            for wire in inside:
                assert await wire.exactly(2) == b"up"
            seen = {"served": 0, "closed": 0, "reset": 0}
            crowd = [await dial(port) for _ in range(clients)]
            waiting = [asyncio.ensure_future(wait_for_name(wire, seen)) for wire in crowd]
            await asyncio.sleep(1)  # let it settle at the limit

            processes = [daemon.pid, *daemon.workers()]
            cpu_before, lines_before = procfs.cpu_s(*processes), len(daemon.log_events())
            began, slowest_s = time.monotonic(), 0.0
            while time.monotonic() - began < hold_s:
                asked = time.monotonic()
                await daemon.listener("acme/web")
                await daemon.metrics()
                slowest_s = max(slowest_s, time.monotonic() - asked)
                for wire in inside:
                    await wire.send(b"still whole")
                    assert await wire.exactly(11) == b"still whole"
                await asyncio.sleep(0.5)
            lasted_s = time.monotonic() - began
            busy = (procfs.cpu_s(*processes) - cpu_before) / lasted_s
            lines = len(daemon.log_events()) - lines_before
            print(f"{seen=} {busy=:.3f} {lines=} {slowest_s=:.3f} fds={daemon.fds()}")

            assert seen["closed"] == seen["reset"] == 0, "accepted and then dropped"
            assert 50 < seen["served"] < clients
            assert daemon.workers() == processes[1:]
            assert busy < 0.2
            assert lines <= lasted_s + 1
            assert slowest_s < 1

            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            for wire in crowd:
                wire.close()
            released = time.monotonic()
            newcomers = await asyncio.gather(*(try_once(port, deadline_s=10) for _ in range(50)))
            assert newcomers == [("served", "up")] * 50
            assert time.monotonic() - released < 2
            for wire in inside:
                await wire.send(b"whole")
                assert await wire.exactly(5) == b"whole"
                wire.close()
