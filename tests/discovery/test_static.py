"""Endpoints of the document: addresses at once, one address for each name, what was found stays."""

from __future__ import annotations

import asyncio

import pytest

from tenantproxy.discovery import refresh
from tenantproxy.discovery.source import Address, Found
from tenantproxy.discovery.static import StaticSource, choose, listed
from tenantproxy.model.spec import EndpointSpec, UpstreamSpec
from tests.discovery.dnsmasq import dnsmasq
from tests.discovery.scripted import SERVFAIL, SILENCE, Reply, scripted
from tests.discovery.support import following, resolving
from tests.e2e.daemon import until


def static(resolver, *endpoints):
    return StaticSource(UpstreamSpec("acme", "web", endpoints), resolver)


async def test_a_list_of_addresses_is_told_once_and_asks_nobody():
    endpoints = (EndpointSpec("127.0.0.1", 80, 3), EndpointSpec("FD00:0::1", 81))
    async with following(static(None, *endpoints)) as followed:
        await followed.until(lambda: followed.ended)
    assert followed.items == [
        Found(
            (
                Address("127.0.0.1", 80, 3, listed="127.0.0.1:80"),
                Address("fd00::1", 81, 1, listed="[FD00:0::1]:81"),
            )
        )
    ]


async def test_no_endpoints_are_told_too():
    async with following(static(None)) as followed:
        await followed.until(lambda: followed.ended)
    assert followed.items == [Found(())]


async def test_addresses_do_not_wait_for_a_slow_name_nor_names_for_each_other():
    endpoints = [EndpointSpec(host, 80) for host in ("127.0.0.1", "mute.test", "web.test")]
    async with scripted(mute=SILENCE) as dns, resolving(dns.address) as resolver:
        dns.rules |= {"web.test": Reply(("127.0.0.2",), after_s=0.2)}
        async with following(static(resolver, *endpoints)) as followed:
            await followed.until(lambda: followed.items)
            not_yet = "not resolved yet"
            assert followed.items == [
                Found(
                    (Address("127.0.0.1", 80, listed="127.0.0.1:80"),),
                    (("mute.test:80", not_yet), ("web.test:80", not_yet)),
                )
            ]
            await followed.until(lambda: followed.hosts == ["127.0.0.1", "127.0.0.2"], within_s=4)
            assert followed.found[-1].reasons == (("mute.test:80", not_yet),)


async def test_a_name_is_one_endpoint_that_follows_its_address(tmp_path):
    hosts = {"web.test": ["127.0.0.3", "127.0.0.4"]}
    async with dnsmasq(tmp_path, hosts) as dns, resolving(dns.address) as resolver:
        source = static(resolver, EndpointSpec("web.test", 80, 7))
        async with following(source) as followed:
            await followed.until(lambda: followed.items)
            wanted = Address("127.0.0.3", 80, 7, name="web.test", listed="web.test:80")
            assert followed.items == [Found((wanted,))]
            await dns.change({"web.test": ["127.0.0.5"]})
            await followed.until(lambda: followed.hosts == ["127.0.0.5"])


async def test_an_address_that_is_still_an_answer_is_kept():
    async with scripted() as dns, resolving(dns.address) as resolver:
        dns.rules |= {"web.test": Reply(("127.0.0.5",))}
        async with following(static(resolver, EndpointSpec("web.test", 80))) as followed:
            await followed.until(lambda: followed.hosts == ["127.0.0.5"])
            dns.rules["web.test A"] = Reply(("127.0.0.1", "127.0.0.5"))
            dns.asked.clear()
            await followed.until(lambda: dns.asked.count("web.test A") >= 2)
            assert len(followed.items) == 1
            dns.rules["web.test A"] = Reply(("127.0.0.1", "127.0.0.2"))
            await followed.until(lambda: followed.hosts == ["127.0.0.1"])


@pytest.mark.parametrize("reply", [None, SERVFAIL], ids=["no such name", "server failure"])
async def test_a_name_that_fails_keeps_its_address_and_says_why(reply):
    async with scripted() as dns, resolving(dns.address) as resolver:
        dns.rules |= {"web.test": Reply(("127.0.0.1",))}
        source = static(resolver, EndpointSpec("web.test", 80), EndpointSpec("no.test", 80))
        async with following(source) as followed:
            await followed.until(lambda: followed.hosts == ["127.0.0.1"])
            dns.rules = {} if reply is None else {"web.test": reply}
            await followed.until(lambda: len(dict(followed.found[-1].reasons)) == 2)
            why = "server failure" if reply else "no such name"
            assert dict(followed.found[-1].reasons) == {
                "web.test:80": f"web.test does not resolve: {why}",
                "no.test:80": "no.test does not resolve: no such name",
            }
            assert followed.hosts == ["127.0.0.1"]
            dns.rules |= {"web.test": Reply(("127.0.0.2",))}
            await followed.until(lambda: followed.hosts == ["127.0.0.2"])
            assert "web.test:80" not in dict(followed.found[-1].reasons)


async def test_a_zone_that_this_host_lacks_leaves_its_endpoint_out_until_it_is_there(monkeypatch):
    monkeypatch.setattr(refresh, "FIRST_RETRY_S", 0.05)
    here = set()
    monkeypatch.setattr(
        "tenantproxy.discovery.static.zone_is_here", lambda ip: "%" not in ip or ip in here
    )
    endpoints = EndpointSpec("127.0.0.1", 80), EndpointSpec("fe80::1%eth9", 80)
    async with following(static(None, *endpoints)) as followed:
        await followed.until(lambda: len(followed.items) == 2)
        assert followed.hosts == ["127.0.0.1"]
        assert followed.found[-1].reasons == (
            ("[fe80::1%eth9]:80", "fe80::1%eth9 does not resolve: no such interface here"),
        )
        here.add("fe80::1%eth9")
        await followed.until(lambda: followed.hosts == ["127.0.0.1", "fe80::1%eth9"])
        assert followed.found[-1].reasons == ()


def test_an_address_is_kept_as_long_as_it_is_an_answer():
    chosen = {"web": "b", "sql": "x"}
    answers = {"web": ("a", "b"), "new": ("c", "d"), "old": ("e", "f"), "moved": ("g",)}
    choose(chosen, answers, {"old": "f", "moved": "x", "web": "a"})
    assert chosen == {"web": "b", "sql": "x", "new": "c", "old": "f", "moved": "g"}
    choose(chosen, {"web": ("a", "c")}, {"web": "c"})
    assert chosen["web"] == "a"


async def test_a_name_has_the_address_it_had_when_it_is_followed_again():
    async with scripted() as dns, resolving(dns.address) as resolver:
        dns.rules |= {"web.test": Reply(("127.0.0.1", "127.0.0.5"))}
        had = Address("127.0.0.5", 80, name="web.test", listed="web.test:80")
        source = static(resolver, EndpointSpec("web.test", 80))
        async with following(source, (had,)) as followed:
            await followed.until(lambda: followed.items)
            assert followed.items == [Found((had,))]


def test_endpoints_stay_in_the_order_of_the_document_and_one_name_may_have_several_ports():
    endpoints = EndpointSpec("web.", 2), EndpointSpec("127.0.0.1", 1), EndpointSpec("web.", 1)
    chosen = {"web.": "127.0.0.9", "127.0.0.1": "127.0.0.1"}
    found = listed(endpoints, chosen, {"web.": "no"})
    assert [(one.host, one.port, one.name) for one in found.addresses] == [
        ("127.0.0.9", 2, "web"),
        ("127.0.0.1", 1, ""),
        ("127.0.0.9", 1, "web"),
    ]
    assert found.reasons == (("web.:2", "no"), ("web.:1", "no"))


async def test_who_is_cancelled_between_two_items_leaves_no_task_behind():
    async with scripted(web=Reply(("127.0.0.1",))) as dns, resolving(dns.address) as resolver:
        before = asyncio.all_tasks()
        reached = asyncio.Event()

        async def follow():
            async for _ in static(resolver, EndpointSpec("web.test", 80)).follow():
                reached.set()
                await asyncio.sleep(60)

        task = asyncio.ensure_future(follow())
        await asyncio.wait_for(reached.wait(), 10)
        assert any(one.get_name() == "follow web.test" for one in asyncio.all_tasks())
        task.cancel()
        await asyncio.wait([task])
        del task
        await until(lambda: asyncio.all_tasks() <= before)
