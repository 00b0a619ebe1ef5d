"""Every address of a name: changes are followed, failures change nothing."""

from __future__ import annotations

import asyncio
import time

import pytest

from tenantproxy.discovery.dns import DnsSource
from tenantproxy.discovery.source import Address, Found
from tests.discovery.dnsmasq import dnsmasq
from tests.discovery.scripted import SERVFAIL, Reply, scripted
from tests.discovery.support import following, resolving


def web(resolver):
    return DnsSource("web.test", 80, tenant="acme", resolver=resolver)


async def test_all_addresses_of_both_families_are_endpoints(tmp_path):
    hosts = {"web.test": ["127.0.0.2", "127.0.0.1", "fd00::1"]}
    async with dnsmasq(tmp_path, hosts) as dns, resolving(dns.address) as resolver:
        async with following(web(resolver)) as followed:
            await followed.until(lambda: followed.items)
        assert set(followed.found[0].addresses) == {
            Address(host, 80, name="web.test") for host in hosts["web.test"]
        }


@pytest.mark.parametrize("ttl_s", [0, 3])
async def test_a_change_is_followed_within_the_ttl_and_two_seconds(tmp_path, ttl_s):
    hosts = {"web.test": ["127.0.0.1"]}
    async with (
        dnsmasq(tmp_path, hosts, ttl_s=ttl_s) as dns,
        resolving(dns.address) as resolver,
        following(web(resolver)) as followed,
    ):
        await followed.until(lambda: followed.hosts == ["127.0.0.1"])
        began = time.monotonic()
        await dns.change({"web.test": ["127.0.0.1", "127.0.0.2"]})
        await followed.until(lambda: followed.hosts == ["127.0.0.1", "127.0.0.2"])
        assert time.monotonic() - began < ttl_s + 2 + 2  # a loaded machine has two more
        assert len(followed.items) == 2


async def test_a_name_is_not_asked_about_before_its_ttl_is_over():
    async with (
        scripted() as dns,
        resolving(dns.address) as resolver,
        following(web(resolver)) as followed,
    ):
        await followed.until(lambda: followed.failed)
        dns.rules |= {"web.test": Reply(("127.0.0.1",), ttl_s=4)}
        await followed.until(lambda: followed.found)
        dns.asked.clear()
        await asyncio.sleep(3)
        assert dns.asked == []
        await followed.until(lambda: "web.test A" in dns.asked)


@pytest.mark.parametrize("reply", [None, SERVFAIL], ids=["no such name", "server failure"])
async def test_a_failure_keeps_what_was_found_and_is_told_once(reply):
    async with (
        scripted() as dns,
        resolving(dns.address) as resolver,
        following(web(resolver)) as followed,
    ):
        await followed.until(lambda: followed.failed)
        good = {"web.test": Reply(("127.0.0.1",))}
        dns.rules = dict(good)
        await followed.until(lambda: followed.found)
        del followed.items[0]
        dns.rules = {} if reply is None else {"web.test": reply}
        await followed.until(lambda: followed.failed)
        dns.asked.clear()
        await followed.until(lambda: dns.asked.count("web.test A") >= 2)
        why = "server failure" if reply else "no such name"
        assert followed.failed == [f"web.test does not resolve: {why}"]
        assert followed.hosts == ["127.0.0.1"]
        dns.rules = good
        await followed.until(lambda: len(followed.items) == 3)
        assert followed.items[2] == followed.items[0]  # told again: all is well


async def test_nxdomain_of_a_real_server_keeps_what_was_found(tmp_path):
    hosts = {"web.test": ["127.0.0.1"]}
    async with (
        dnsmasq(tmp_path, hosts) as dns,
        resolving(dns.address) as resolver,
        following(web(resolver)) as followed,
    ):
        await followed.until(lambda: followed.found)
        await dns.change({"web.test": []})
        await followed.until(lambda: followed.failed)
        await dns.stop()
        await followed.until(lambda: len(followed.failed) == 2)
        assert len(followed.found) == 1
        await dns.start({"web.test": ["127.0.0.7"]})
        await followed.until(lambda: followed.hosts == ["127.0.0.7"])


async def test_a_forwarder_without_its_server_is_a_server_failure_that_keeps_all(tmp_path):
    async with scripted() as far, dnsmasq(tmp_path) as dns, resolving(dns.address) as resolver:
        far.rules |= {"web.far": Reply(("127.0.0.1",))}
        await dns.start(options=[f"--server=/far/127.0.0.1#{far.port}", "--cache-size=0"])
        source = DnsSource("web.far", 80, tenant="acme", resolver=resolver)
        async with following(source) as followed:
            await followed.until(lambda: followed.found)
            far.rules = {"web.far": SERVFAIL}
            await followed.until(lambda: followed.failed)
            assert followed.failed == ["web.far does not resolve: server failure"]
            assert followed.hosts == ["127.0.0.1"]


async def test_fifty_addresses_that_may_not_be_kept_and_rotate_are_told_once(tmp_path):
    hosts = {"web.test": [f"127.1.0.{number}" for number in range(1, 51)]}
    async with (
        dnsmasq(tmp_path, hosts, ttl_s=0) as dns,
        resolving(dns.address) as resolver,
        following(web(resolver)) as followed,
    ):
        await followed.until(lambda: followed.found)
        await asyncio.sleep(3.5)
        assert followed.items == [
            Found(tuple(Address(one, 80, name="web.test") for one in hosts["web.test"]))
        ]
        await dns.change({"web.test": hosts["web.test"][1:]})
        await followed.until(lambda: len(followed.items) == 2)
        assert followed.hosts == hosts["web.test"][1:]


async def test_a_family_that_fails_when_the_name_is_followed_again_keeps_its_endpoints():
    async with scripted() as dns, resolving(dns.address) as resolver:
        dns.rules |= {"web.test A": Reply(("127.0.0.1",)), "web.test AAAA": SERVFAIL}
        had = Address("fd00::1", 80, name="web.test")
        async with following(web(resolver), (had, Address("fd00::2", 80, name="old"))) as followed:
            await followed.until(lambda: followed.items)
            assert sorted(followed.hosts) == ["127.0.0.1", "fd00::1"]
