"""Sticky clients and rollouts: who is in the canary stays in it, and others are first each time."""

from __future__ import annotations

from tests.e2e.canaries import CANARY, STABLE, canary_document, command, rollout, versions
from tests.e2e.daemon import Daemon, until
from tests.e2e.wire import dialled

CLIENTS = [f"127.0.0.{number}" for number in range(2, 202)]
STEPS = [{"weight": 20, "hold": "100ms"}, {"pause": True}, {"weight": 50, "hold": "100ms"}]


async def in_canary(port: int) -> set[str]:
    """Return the clients that the canary answers."""
    found = set()
    for client in CLIENTS:
        async with dialled(port, source=client) as wire:
            await wire.send(b"?")
            if await wire.receive() == b"v2":
                found.add(client)
    return found


async def reached(daemon: Daemon, name: str, step: int) -> None:
    async def there() -> bool:
        view = await rollout(daemon, name)
        return (view["state"], view["step"]) == ("paused", step)

    await until(there)


async def test_a_client_in_the_canary_stays_in_it_while_the_weight_rises(run_daemon):
    async with versions() as (one, two):
        plan = {"steps": [*STEPS, {"pause": True}], "analysis": {"every": "100ms", "checks": []}}
        async with run_daemon(canary_document(one, two, plan, sticky="source_ip")) as daemon:
            port = await daemon.port("acme/web")
            await reached(daemon, "acme/web", 2)
            few = await in_canary(port)
            assert await in_canary(port) == few
            await command(daemon, "resume")
            await reached(daemon, "acme/web", 4)
            many = await in_canary(port)
            assert few < many
            print(f"{len(few)} of {len(CLIENTS)} at 20 %, {len(many)} at 50 %")
            assert 15 <= len(few) <= 65
            assert 65 <= len(many) <= 135


async def test_two_rollouts_and_two_attempts_of_one_do_not_begin_with_the_same_clients(run_daemon):
    """By chance 1 of 5 of a fifth are in both; alike they would all be."""
    async with versions() as (one, two):
        plan = {"steps": STEPS, "analysis": {"every": "100ms", "checks": []}}
        doc = canary_document(one, two, plan, sticky="source_ip")
        listeners = doc["tenants"]["acme"]["listeners"]
        listeners["api"] = {
            "split": {STABLE: 100, CANARY: 0},
            "open": "always",
            "sticky": "source_ip",
            "rollout": {"from": STABLE, "to": CANARY, **plan},
        }
        async with run_daemon(doc) as daemon:
            firsts = []
            for name in ("acme/web", "acme/api"):
                await reached(daemon, name, 2)
                firsts.append(await in_canary(await daemon.port(name)))
            await command(daemon, "abort")
            await command(daemon, "start")
            await reached(daemon, "acme/web", 2)
            firsts.append(await in_canary(await daemon.port("acme/web")))
            for first, second in ((0, 1), (0, 2), (1, 2)):
                both = firsts[first] & firsts[second]
                assert len(both) < 0.6 * min(len(firsts[first]), len(firsts[second]))
