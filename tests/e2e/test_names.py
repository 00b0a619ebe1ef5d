"""The daemon follows names: a real dnsmasq changes its mind, fails, and is slow."""

from __future__ import annotations

import time

import pytest

from tests.discovery.dnsmasq import dnsmasq
from tests.discovery.scripted import NXDOMAIN, SERVFAIL, Reply, scripted
from tests.e2e.daemon import document, until
from tests.e2e.load import load_for, try_once
from tests.e2e.upstreams import identify, serving

MARGIN_S = 2.0
"""Over the TTL: how late a change may be followed."""
SLOW_S = 30.0


def named(dns_server, port, *, name="web.test", **more):
    up = {"discovery": {"dns": f"{name}:{port}"}, **more}
    web = {"split": {"up": 1}, "open": "always"}
    tenants = {"acme": {"upstreams": {"up": up}, "listeners": {"web": web}}}
    return document(tenants, dns={"servers": [dns_server]}, room=60)


async def addresses(daemon):
    view = await daemon.api("GET", "tenants/acme/upstreams/up")
    return sorted(one["resolved"] for one in view["endpoints"])


@pytest.mark.parametrize("ttl_s", [0, 1, 3])
async def test_a_change_is_followed_within_its_time_to_live_and_two_seconds(
    run_daemon, folder, ttl_s
):
    async with (
        serving(identify("one"), host="127.0.0.2") as one,
        serving(identify("two"), one.port, host="127.0.0.3"),
        dnsmasq(folder, {"web.test": ["127.0.0.2"]}, ttl_s=ttl_s) as server,
        run_daemon(named(server.address, one.port)) as daemon,
    ):
        port = await daemon.port("acme/web")
        assert await try_once(port) == ("served", "one")
        for address, name in (("127.0.0.3", "two"), ("127.0.0.2", "one")):
            await server.change({"web.test": [address]})
            began_s = time.monotonic()

            async def followed(name=name):
                return await try_once(port) == ("served", name)

            await until(followed)
            took_s = time.monotonic() - began_s
            print(f"TTL {ttl_s} s: followed after {took_s:.2f} s")
            assert took_s <= max(ttl_s, 1) + MARGIN_S


async def test_every_address_of_fifty_is_used_with_a_time_to_live_of_nothing(run_daemon, folder):
    hosts = [f"127.0.1.{n}" for n in range(1, 51)]
    async with (
        serving(identify("up"), host="0.0.0.0") as up,
        dnsmasq(folder, {"web.test": hosts}) as server,
        run_daemon(named(server.address, up.port)) as daemon,
    ):
        port = await daemon.port("acme/web")
        load = await load_for([port], 100, 3)
        assert load.failed == {}
        view = await daemon.api("GET", "tenants/acme/upstreams/up")
        assert len(view["endpoints"]) == 50
        assert all(one["connections_total"] for one in view["endpoints"])
        events = [e["event"] for e in await daemon.items("events")]
        assert "endpoint_added" not in events  # what was found first, and again each second


async def test_a_name_that_fails_keeps_what_it_was(run_daemon, folder):
    """With dnsmasq a name that is gone, and no server at all; scripted, one that fails."""
    async with serving(identify("up"), host="127.0.0.2") as up:
        async with (
            dnsmasq(folder, {"web.test": ["127.0.0.2"]}) as server,
            run_daemon(named(server.address, up.port)) as daemon,
        ):
            port = await daemon.port("acme/web")
            assert await try_once(port) == ("served", "up")
            await server.change({"web.test": []})
            await until(lambda: discovery_says(daemon, "no such name"))
            assert await try_once(port) == ("served", "up")
            await server.change({"web.test": ["127.0.0.2"]})
            await until(lambda: discovery_says(daemon, ""), within_s=40)
        good = Reply(("127.0.0.2",), ttl_s=0)
        async with scripted(**{"web": good, "web.test AAAA": Reply()}) as server:
            server.rules["web.test AAAA"] = Reply()
            async with run_daemon(named(server.address, up.port)) as daemon:
                port = await daemon.port("acme/web")
                assert await try_once(port) == ("served", "up")
                for trouble, said in ((SERVFAIL, "server failure"), (NXDOMAIN, "no such name")):
                    server.rules["web.test"] = server.rules["web.test AAAA"] = trouble
                    await until(lambda said=said: discovery_says(daemon, said), within_s=40)
                    assert await try_once(port) == ("served", "up")


async def discovery_says(daemon, text):
    view = await daemon.api("GET", "tenants/acme/upstreams/up")
    said = view["discovery_reason"] or ""
    return text in said if text else said == ""


async def test_twenty_names_that_take_half_a_minute_hurt_nobody_else(run_daemon):
    """One tenant's names answer after 30 s, another's at once and with changes."""
    slow = Reply(("127.0.0.9",), after_s=SLOW_S)
    async with (
        serving(identify("one"), host="127.0.0.2") as one,
        serving(identify("two"), one.port, host="127.0.0.3"),
        scripted(web=Reply(("127.0.0.2",))) as server,
    ):
        server.rules["web.test AAAA"] = Reply()
        doc = named(server.address, one.port)
        for kind in ("A", "AAAA"):
            server.rules |= {f"slow{n}.test {kind}": slow for n in range(20)}
        doc["tenants"]["slow"] = {
            "upstreams": {
                f"u{n}": {"discovery": {"dns": f"slow{n}.test:{one.port}"}} for n in range(20)
            },
            "listeners": {f"l{n}": {"split": {f"u{n}": 1}, "open": "always"} for n in range(20)},
        }
        async with run_daemon(doc) as daemon:
            assert sum(asked.startswith("slow") for asked in server.asked) >= 10
            port = await daemon.port("acme/web")
            assert await try_once(port) == ("served", "one")
            for address, name in (("127.0.0.3", "two"), ("127.0.0.2", "one")) * 2:
                server.rules["web.test"] = Reply((address,))
                began_s = time.monotonic()

                async def followed(name=name):
                    return await try_once(port) == ("served", name)

                await until(followed)
                took_s = time.monotonic() - began_s
                print(f"followed after {took_s:.2f} s beside twenty slow names")
                assert took_s <= 1 + MARGIN_S


async def test_service_records_say_port_weight_and_priority(run_daemon, folder):
    async with (
        serving(identify("first"), host="127.0.0.2") as first,
        serving(identify("heavy"), host="127.0.0.3") as heavy,
        serving(identify("spare"), host="127.0.0.4") as spare,
    ):
        hosts = {"a.test": ["127.0.0.2"], "b.test": ["127.0.0.3"], "c.test": ["127.0.0.4"]}
        services = [
            f"_web._tcp.test,a.test,{first.port},1,10",
            f"_web._tcp.test,b.test,{heavy.port},1,30",
            f"_web._tcp.test,c.test,{spare.port},5,10",
        ]
        async with dnsmasq(folder, hosts, services=services) as server:
            doc = named(server.address, 0)
            doc["tenants"]["acme"]["upstreams"]["up"] = {
                "discovery": {"srv": "_web._tcp.test"},
                "health": {"tcp": {}, "every": "200ms", "fall": 1, "rise": 1},
            }
            async with run_daemon(doc) as daemon:
                port = await daemon.port("acme/web")
                load = await load_for([port], 100, 2)
                assert load.failed == {}
                assert set(load.answers) == {"first", "heavy"}
                assert 2.4 < load.answers["heavy"] / load.answers["first"] < 3.7
                await first.stop()
                await heavy.stop()

                async def spare_serves():
                    return await try_once(port) == ("served", "spare")

                await until(spare_serves)
