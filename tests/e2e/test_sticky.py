"""A client stays where it is, and goes over to the canary only; a dead member gives its share."""

from __future__ import annotations

from collections import Counter

from tests.e2e.daemon import document, until
from tests.e2e.load import try_once
from tests.e2e.upstreams import name_and_close, serving
from tests.e2e.wire import dialled

CLIENTS = [f"127.0.{n // 250}.{n % 250 + 1}" for n in range(1, 301)]


def two(v1, v2, **listener):
    upstreams = {
        "v1": {"endpoints": [f"127.0.0.1:{v1}"]},
        "v2": {"endpoints": [f"127.0.0.1:{v2}"]},
    }
    web = {"split": {"v1": 100, "v2": 0}, "open": "always", "wake": {"timeout": "1s"}, **listener}
    return document({"acme": {"upstreams": upstreams, "listeners": {"web": web}}})


async def who_serves(port, clients=CLIENTS):
    served = {}
    for client in clients:
        async with dialled(port, source=client) as wire:
            served[client] = (await wire.rest()).decode()
    return served


async def test_a_rising_weight_moves_clients_into_the_canary_and_nobody_out(run_daemon):
    async with (
        serving(name_and_close("v1")) as v1,
        serving(name_and_close("v2")) as v2,
        run_daemon(two(v1.port, v2.port, sticky="source_ip")) as daemon,
    ):
        port = await daemon.port("acme/web")
        in_canary: set[str] = set()
        for weight in (0, 5, 25, 50, 100):
            await daemon.set_split("acme/web", v1=100 - weight, v2=weight)
            first, again = await who_serves(port), await who_serves(port)
            assert first == again
            now = {client for client, name in first.items() if name == "v2"}
            assert in_canary <= now
            share = len(now) / len(CLIENTS)
            print(f"weight {weight}: {share:.0%} of {len(CLIENTS)} clients")
            assert abs(share - weight / 100) < 0.1
            in_canary = now


async def test_without_fallback_a_dead_member_keeps_its_share_and_refuses_it(run_daemon):
    async with serving(name_and_close("v1")) as v1:
        doc = two(v1.port, 1)
        doc["tenants"]["acme"]["listeners"]["web"]["split"] = {"v1": 50, "v2": 50}
        async with run_daemon(doc) as daemon:
            port = await daemon.port("acme/web")
            outcomes = Counter([await try_once(port) for _ in range(40)])
            served = outcomes.pop(("served", "v1"))
            assert 18 <= served <= 22
            assert served + outcomes.total() == 40


async def test_with_fallback_the_others_get_the_share_of_a_dead_member(run_daemon):
    async with serving(name_and_close("v1")) as v1, serving(name_and_close("v2")) as v2:
        doc = two(v1.port, v2.port, fallback=True, sticky="source_ip")
        web = doc["tenants"]["acme"]["listeners"]["web"]
        web["split"] = {"v1": 50, "v2": 50}
        for name in ("v1", "v2"):
            doc["tenants"]["acme"]["upstreams"][name]["health"] = {
                "tcp": {},
                "every": "200ms",
                "fall": 1,
                "rise": 1,
            }
        async with run_daemon(doc) as daemon:
            port = await daemon.port("acme/web")
            before = await who_serves(port, CLIENTS[:60])
            assert len(set(before.values())) == 2
            gone = v2.port
            await v2.stop()
            await until_states(daemon, "v2", "unhealthy")
            assert set((await who_serves(port, CLIENTS[:60])).values()) == {"v1"}
            async with serving(name_and_close("v2"), gone):
                await until_states(daemon, "v2", "healthy")
                assert await who_serves(port, CLIENTS[:60]) == before


async def until_states(daemon, upstream, state):
    async def there():
        view = await daemon.api("GET", f"tenants/acme/upstreams/{upstream}")
        return [one["state"] for one in view["endpoints"]] == [state]

    await until(there)
