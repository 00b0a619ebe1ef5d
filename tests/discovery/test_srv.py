"""SRV: what records and targets become, and what is told when some of them fail."""

from __future__ import annotations

from tenantproxy.discovery.resolver import Service
from tenantproxy.discovery.source import Address, Failed, Found
from tenantproxy.discovery.srv import MOST_TARGETS, SrvSource, Told, fewer, joined
from tests.discovery.dnsmasq import dnsmasq
from tests.discovery.scripted import SERVFAIL, Reply, scripted
from tests.discovery.support import following, resolving


def web(resolver, name="_web._tcp.acme.test"):
    return SrvSource(name, tenant="acme", resolver=resolver)


async def test_targets_have_their_ports_weights_and_priorities(tmp_path):
    services = [
        "_web._tcp.acme.test,b.test,82,20,0",
        "_web._tcp.acme.test,a.test,81,10,5",
    ]
    hosts = {"a.test": ["127.0.0.1", "127.0.0.2"], "b.test": ["127.0.0.3"]}
    async with (
        dnsmasq(tmp_path, hosts, services=services) as dns,
        resolving(dns.address) as resolver,
        following(web(resolver)) as followed,
    ):
        await followed.until(lambda: followed.hosts and len(followed.hosts) == 3)
        assert followed.found[-1] == Found(
            (
                Address("127.0.0.1", 81, 5, 10, name="a.test"),
                Address("127.0.0.2", 81, 5, 10, name="a.test"),
                Address("127.0.0.3", 82, 1, 20, name="b.test"),
            )
        )


async def test_changes_of_targets_and_of_records_are_followed(tmp_path):
    hosts = {"a.test": ["127.0.0.1"], "b.test": ["127.0.0.2"]}
    service = "_web._tcp.acme.test,{},80,10,5".format
    async with (
        dnsmasq(tmp_path, hosts, services=[service("a.test")]) as dns,
        resolving(dns.address) as resolver,
        following(web(resolver)) as followed,
    ):
        await followed.until(lambda: followed.hosts == ["127.0.0.1"])
        await dns.change({"a.test": ["127.0.0.9"]})
        await followed.until(lambda: followed.hosts == ["127.0.0.9"])
        await dns.start(services=[service("a.test"), service("b.test")])
        await followed.until(lambda: followed.hosts == ["127.0.0.9", "127.0.0.2"])
        await dns.start(services=[service("b.test")])
        await followed.until(lambda: followed.hosts == ["127.0.0.2"])
        await dns.start(services=[])
        await followed.until(
            lambda: "_web._tcp.acme.test does not resolve: no such name" in followed.failed
        )
        assert followed.hosts == ["127.0.0.2"]
        await dns.start(services=[service("b.test")])
        await followed.until(lambda: isinstance(followed.items[-1], Found))
        assert followed.hosts == ["127.0.0.2"]


async def test_a_dot_means_that_there_are_decidedly_none():
    async with scripted() as dns, resolving(dns.address) as resolver:
        dns.rules["_web._tcp.acme.test SRV"] = Reply(("0 0 0 .",))
        async with following(web(resolver)) as followed:
            await followed.until(lambda: followed.items)
            assert followed.items == [Found(())]


async def test_a_target_that_fails_keeps_its_addresses_and_one_that_never_resolved_is_left_out():
    async with scripted() as dns, resolving(dns.address) as resolver:
        dns.rules |= {
            "_web._tcp.acme.test SRV": Reply(
                ("1 1 80 a.test.", "1 1 80 b.test.", "1 1 80 c.test.")
            ),
            "a.test": Reply(("127.0.0.1",)),
            "b.test": Reply(("127.0.0.2",)),
        }
        async with following(web(resolver)) as followed:
            await followed.until(lambda: followed.hosts == ["127.0.0.1", "127.0.0.2"])
            no_c = ("c.test:80", "c.test does not resolve: no such name")
            await followed.until(lambda: followed.found[-1].reasons == (no_c,))
            dns.rules["b.test"] = SERVFAIL
            no_b = ("b.test:80", "b.test does not resolve: server failure")
            await followed.until(lambda: followed.found[-1].reasons == (no_b, no_c))
            assert followed.hosts == ["127.0.0.1", "127.0.0.2"]
            assert followed.failed == []


async def test_records_none_of_whose_targets_resolve_are_a_failure():
    async with scripted() as dns, resolving(dns.address) as resolver:
        dns.rules["_web._tcp.acme.test SRV"] = Reply(("1 1 80 a.test.",))
        async with following(web(resolver)) as followed:
            await followed.until(lambda: followed.items)
            assert followed.items == [Failed("a.test does not resolve: no such name")]
            dns.rules |= {"a.test": Reply(("127.0.0.1",))}
            await followed.until(lambda: followed.hosts == ["127.0.0.1"])


async def test_a_target_is_a_whole_name_that_search_domains_do_not_touch(tmp_path, resolv_conf):
    services = ["_web._tcp.test,a.b,80,1,1"]
    hosts = {"a.b.test": ["127.0.0.1"]}
    async with dnsmasq(tmp_path, hosts, services=services) as dns:
        resolv_conf.write_text(f"nameserver {dns.address}\nsearch test\noptions ndots:5\n")
        async with resolving() as resolver, following(web(resolver, "_web._tcp")) as followed:
            await followed.until(lambda: followed.items)
            assert followed.items == [Failed("a.b does not resolve: name server refused")]


def service(target, priority=1, port=80, weight=1):
    return Service(priority, target, port, weight)


def test_an_address_that_two_records_give_stands_for_the_first():
    records = (service("a", 1, weight=3), service("b", 2, weight=4), service("b", 2, port=81))
    found = joined(records, {"a": ("h",), "b": ("h",)}, {})
    assert found == Found((Address("h", 80, 3, 1, name="a"), Address("h", 81, 1, 2, name="b")))


def test_nothing_is_said_while_no_target_has_been_heard_of():
    records = service("a"), service("b")
    assert joined(records, {}, {"a": "no"}) is None
    only_b = (Address("h", 80, 1, 1, name="b"),)
    assert joined(records, {"b": ("h",)}, {}) == Found(only_b, (("a:80", "not resolved yet"),))
    assert joined(records, {}, {"a": "no", "b": "no, too"}) == Failed("no")
    assert joined((service(""),), {}, {}) == Found(())


def test_nothing_is_told_twice_and_the_last_word_is_the_truth():
    told, one, two = Told(), Found((Address("a", 1),)), Found((Address("b", 1),))
    assert told.next(None, "") == []
    assert told.next(one, "") == [one]
    assert told.next(one, "") == []
    assert told.next(one, "x") == [Failed("x")]
    assert told.next(one, "x") == []
    assert told.next(two, "x") == [two, Failed("x")]
    assert told.next(two, "y") == [Failed("y")]
    assert told.next(None, "") == []
    assert told.next(two, "") == [two]
    assert told.next(two, "") == []


def test_of_too_many_targets_the_first_are_followed_with_all_their_ports():
    many = [service(f"t{n:03}", priority=n, port=port) for n in range(70) for port in (80, 81)]
    kept, said = fewer(tuple(many))
    assert kept == tuple(many[: 2 * MOST_TARGETS])
    assert said == "64 of 70 targets are used"
    assert fewer(kept) == (kept, "")


async def test_targets_that_are_left_out_are_said_and_not_asked_for():
    async with scripted() as dns, resolving(dns.address) as resolver:
        records = tuple(f"{n} 1 80 t{n}.test." for n in range(MOST_TARGETS + 1))
        dns.rules |= {"_web._tcp.acme.test SRV": Reply(records, ttl_s=60)}
        dns.rules |= {f"t{n}.test": Reply(("127.0.0.1",), ttl_s=60) for n in (0, MOST_TARGETS)}
        async with following(web(resolver)) as followed:
            await followed.until(lambda: followed.found)
            assert followed.found[-1].shortened == "64 of 65 targets are used"
            assert f"t{MOST_TARGETS}.test A" not in dns.asked
