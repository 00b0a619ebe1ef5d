"""The resolver, against dnsmasq and a name server that misbehaves."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from pathlib import Path

import pytest

from tenantproxy.discovery import cares
from tenantproxy.discovery import resolver as module
from tenantproxy.discovery.resolver import Service
from tenantproxy.errors import Unresolved
from tests.discovery.dnsmasq import dnsmasq
from tests.discovery.scripted import SERVFAIL, SILENCE, Reply, scripted
from tests.discovery.support import resolving
from tests.e2e.daemon import until


async def why(look_up) -> str:
    with pytest.raises(Unresolved) as caught:
        await look_up
    return str(caught.value)


async def test_addresses_of_both_families_come_sorted_with_their_ttl(tmp_path):
    hosts = {"web.test": ["127.0.0.12", "127.0.0.9", "fd00::2", "fd00::1"]}
    async with dnsmasq(tmp_path, hosts, ttl_s=7) as dns, resolving(dns.address) as resolver:
        answer = await resolver.addresses("web.test", tenant="acme")
        assert set(answer.hosts) == set(hosts["web.test"])
        assert [one for one in answer.hosts if ":" not in one] == ["127.0.0.9", "127.0.0.12"]
        assert [one for one in answer.hosts if ":" in one] == ["fd00::1", "fd00::2"]
        assert answer.ttl_s == 7


async def test_a_rotating_answer_is_the_same_answer():
    ips = ("127.0.0.3", "127.0.0.1", "127.0.0.2")
    async with scripted() as dns, resolving(dns.address) as resolver:
        seen = set()
        for turn in range(3):
            dns.rules["web.test"] = Reply(ips[turn:] + ips[:turn])
            seen.add((await resolver.addresses("web.test", tenant="acme")).hosts)
        assert seen == {("127.0.0.1", "127.0.0.2", "127.0.0.3")}


@pytest.mark.parametrize(
    ("found", "sorted_"),
    [
        (["10.0.0.10", "10.0.0.9", "fd00::1"], ("10.0.0.9", "10.0.0.10", "fd00::1")),
        (["fd00::2", "fd00::1", "10.0.0.9"], ("fd00::1", "fd00::2", "10.0.0.9")),
        (["::1", "127.0.0.1"], ("127.0.0.1", "::1")),
        (["fe80::1%lo", "fe80::1%lo", "fd00::1"], ("fd00::1", "fe80::1%lo")),
        ([], ()),
    ],
)
def test_the_family_that_the_system_prefers_is_first_but_ipv4_on_loopback(found, sorted_):
    assert module._in_order(found) == sorted_


@pytest.mark.parametrize("broken", [Reply(), SERVFAIL], ids=["no data", "server failure"])
async def test_a_name_of_one_family_is_well_when_the_other_has_nothing_or_fails(broken):
    async with scripted() as dns, resolving(dns.address) as resolver:
        dns.rules = {"web.test A": Reply(("127.0.0.1",)), "web.test AAAA": broken}
        answer = await resolver.addresses("web.test", tenant="acme")
        assert answer.hosts == ("127.0.0.1",)


async def test_the_addresses_of_a_family_that_fails_are_kept():
    async with scripted() as dns, resolving(dns.address) as resolver:
        dns.rules = {"web.test A": SERVFAIL, "web.test AAAA": Reply(("fd00::1",))}
        before = ("127.0.0.1", "127.0.0.2", "fd00::7")
        answer = await resolver.addresses("web.test", tenant="acme", before=before)
        assert set(answer.hosts) == {"127.0.0.1", "127.0.0.2", "fd00::1"}
        dns.rules["web.test A"] = Reply()
        answer = await resolver.addresses("web.test", tenant="acme", before=before)
        assert answer.hosts == ("fd00::1",)


async def test_a_ttl_is_the_least_of_the_alias_and_the_addresses(tmp_path):
    async with dnsmasq(tmp_path) as dns, resolving(dns.address) as resolver:
        await dns.start({"web.test": ["127.0.0.1"]}, ttl_s=9, options=["--cname=a.test,web.test,4"])
        assert (await resolver.addresses("a.test", tenant="acme")).ttl_s == 4


async def test_each_failure_has_words_for_people(tmp_path):
    async with (
        dnsmasq(tmp_path) as dns,
        scripted(bad=SERVFAIL, mute=SILENCE) as rogue,
        resolving(dns.address) as resolver,
        resolving(rogue.address, timeout_s=0.5) as other,
    ):
        await dns.start(options=["--txt-record=txt.test,x"])

        async def ask(name, of=resolver):
            return await why(of.addresses(name, tenant="acme"))

        assert await ask("no.test") == "no.test does not resolve: no such name"
        assert await ask("txt.test") == "txt.test does not resolve: no address"
        assert await ask("a.elsewhere") == "a.elsewhere does not resolve: name server refused"
        assert await ask("a..b") == "a..b does not resolve: not a name"
        assert await ask("é" * 70) == f"{'é' * 70} does not resolve: not a name"
        assert await ask("bad.test", other) == "bad.test does not resolve: server failure"
        assert await ask("mute.test", other) == "mute.test does not resolve: no answer within 500ms"
        await dns.stop()
        assert await ask("x.test") == "x.test does not resolve: no name server can be reached"
        assert await why(resolver.services("_w._tcp.test", tenant="acme")) == (
            "_w._tcp.test does not resolve: no name server can be reached"
        )


async def test_a_quick_server_that_falls_silent_has_all_the_time_to_come_back():
    """c-ares expects a server that was quick to be quick, and must not give up for that."""
    async with scripted() as dns, resolving(dns.address, timeout_s=6) as resolver:
        for number in range(8):
            dns.rules[f"q{number}.test"] = Reply(("127.0.0.1",))
            await resolver.addresses(f"q{number}.test", tenant="acme")
        dns.rules["late.test"] = SILENCE
        late = asyncio.ensure_future(resolver.addresses("late.test", tenant="acme"))
        await asyncio.sleep(2.5)
        dns.rules["late.test"] = Reply(("127.0.0.1",))
        assert (await late).hosts == ("127.0.0.1",)
        dns.rules["mute.test"] = SILENCE
        began = time.monotonic()
        assert "no answer within 6s" in await why(resolver.addresses("mute.test", tenant="acme"))
        assert time.monotonic() - began >= 5.9


async def test_services_come_sorted_with_all_that_they_say(tmp_path):
    services = ["_w._tcp.test,b.test,81,20,0", "_w._tcp.test,a.test,80,10,5"]
    async with (
        dnsmasq(tmp_path, ttl_s=6, services=services) as dns,
        resolving(dns.address) as resolver,
    ):
        answer = await resolver.services("_w._tcp.test", tenant="acme")
        assert answer.records == (Service(10, "a.test", 80, 5), Service(20, "b.test", 81, 0))
        assert answer.ttl_s == 6
        failure = await why(resolver.services("_x._tcp.test", tenant="acme"))
        assert failure == "_x._tcp.test does not resolve: no such name"


async def test_names_without_services_say_so(tmp_path):
    async with (
        dnsmasq(tmp_path, {"web.test": ["127.0.0.1"]}) as dns,
        resolving(dns.address) as resolver,
    ):
        failure = await why(resolver.services("web.test", tenant="acme"))
        assert failure == "web.test does not resolve: no service"


async def test_search_domains_are_used_for_addresses_and_for_services(tmp_path, resolv_conf):
    hosts, services = {"web.acme.svc.test": ["127.0.0.1"]}, ["_w._tcp.acme.svc.test,x.test,80,1,1"]
    async with dnsmasq(tmp_path, hosts, services=services) as dns:
        resolv_conf.write_text(
            f"nameserver {dns.address}\nsearch nowhere.test test\noptions ndots:5\n"
        )
        async with resolving() as resolver:
            answer = await resolver.addresses("web.acme.svc", tenant="acme")
            assert answer.hosts == ("127.0.0.1",)
            found = await resolver.services("_w._tcp.acme.svc", tenant="acme")
            assert [one.target for one in found.records] == ["x.test"]


async def test_a_changed_resolv_conf_is_noticed(tmp_path, resolv_conf, monkeypatch):
    monkeypatch.setattr(cares, "RELOAD_EVERY_S", 0.1)
    async with (
        dnsmasq(tmp_path, {"web.test": ["127.0.0.1"]}) as one,
        dnsmasq(tmp_path, {"web.test": ["127.0.0.2"]}) as two,
    ):
        resolv_conf.write_text(f"nameserver {one.address}\n")
        async with resolving() as resolver:

            async def is_now(host):
                answer = await resolver.addresses("web.test", tenant="acme")
                return answer.hosts == (host,)

            assert await is_now("127.0.0.1")
            resolv_conf.write_text(f"nameserver {two.address}\n")
            await until(lambda: is_now("127.0.0.2"))


async def test_servers_that_were_given_stay_when_the_configuration_is_read_again(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(cares, "RELOAD_EVERY_S", 0.02)
    async with (
        dnsmasq(tmp_path, {"web.test": ["127.0.0.1"]}) as dns,
        resolving(dns.address) as resolver,
    ):
        for _ in range(20):
            answer = await resolver.addresses("web.test", tenant="acme")
            assert answer.hosts == ("127.0.0.1",)
            await asyncio.sleep(0.03)


async def test_a_changed_hosts_file_is_noticed(tmp_path, hosts_file):
    hosts_file.write_text("127.0.0.5 box\n")
    async with dnsmasq(tmp_path) as dns, resolving(dns.address) as resolver:
        assert (await resolver.addresses("box", tenant="acme")).hosts == ("127.0.0.5",)
        await asyncio.sleep(1.1)  # c-ares compares whole seconds
        hosts_file.write_text("127.0.0.6 box\n")

        async def changed():
            return (await resolver.addresses("box", tenant="acme")).hosts == ("127.0.0.6",)

        await until(changed)


async def test_what_dns_does_not_know_the_system_may(tmp_path, resolv_conf, hosts_file):
    lines = [one.split() for one in Path("/etc/hosts").read_text().splitlines()]
    known = {parts[1]: parts[0] for parts in lines if len(parts) > 1 and parts[0][0] != "#"}
    name = next((one for one in known if "localhost" not in one and "." in known[one]), None)
    if name is None:
        pytest.skip("/etc/hosts has no name but localhost")
    async with dnsmasq(tmp_path) as dns:
        await dns.start(options=[f"--local=/{name}/"])
        resolv_conf.write_text(f"nameserver {dns.address}\n")
        async with resolving() as resolver:
            answer = await resolver.addresses(name, tenant="acme")
            assert known[name] in answer.hosts
            assert answer.ttl_s == module.SYSTEM_TTL_S
        async with resolving(dns.address) as resolver:  # given servers have the last word
            failure = await why(resolver.addresses(name, tenant="acme"))
            assert failure.endswith("no such name")


def system_that(monkeypatch, answer):
    asked = []

    def look_up(name):
        asked.append(name)
        if isinstance(answer, float):
            time.sleep(answer)
        return ["127.0.0.1"]

    monkeypatch.setattr(module.system, "look_up", look_up)
    return asked


@pytest.mark.parametrize("reply", [SERVFAIL, SILENCE], ids=["server failure", "silence"])
async def test_the_system_is_not_asked_after_a_failure_or_silence(
    tmp_path, resolv_conf, monkeypatch, reply
):
    asked = system_that(monkeypatch, "127.0.0.1")
    async with scripted(web=reply) as dns:
        resolv_conf.write_text(f"nameserver {dns.address}\n")
        async with resolving(timeout_s=0.5) as resolver:
            await why(resolver.addresses("web.test", tenant="acme"))
            assert asked == []
            await resolver.addresses("no.test", tenant="acme")
            assert asked == ["no.test"]


async def test_a_slow_system_does_not_hide_that_dns_knows_no_such_name(
    tmp_path, resolv_conf, monkeypatch
):
    system_that(monkeypatch, 1.0)
    async with scripted() as dns:
        resolv_conf.write_text(f"nameserver {dns.address}\n")
        async with resolving(timeout_s=0.3) as resolver:
            failure = await why(resolver.addresses("no.test", tenant="acme"))
            assert failure == "no.test does not resolve: no such name"
    await until(lambda: threading.active_count() <= 2)


async def test_where_c_ares_cannot_be_used_the_system_answers(monkeypatch):
    def fail(*_args, **_options):
        raise cares.pycares.AresError("out of inotify instances")

    monkeypatch.setattr(cares, "Channel", fail)
    system_that(monkeypatch, "127.0.0.1")
    async with resolving() as resolver:
        assert (await resolver.addresses("web.test", tenant="acme")).hosts == ("127.0.0.1",)
        failure = await why(resolver.services("_w._tcp.test", tenant="acme"))
        assert failure == (
            "_w._tcp.test does not resolve: no name server can be used (out of inotify instances)"
        )


async def test_slow_names_of_one_tenant_do_not_hurt_another():
    async with scripted(web=Reply(("127.0.0.1",))) as dns, resolving(dns.address) as resolver:
        slow = [f"slow{number}.test" for number in range(20)]
        dns.rules.update(dict.fromkeys(slow, Reply(("127.0.0.9",), after_s=30)))
        waiting = [asyncio.ensure_future(resolver.addresses(name, tenant="slow")) for name in slow]
        await until(lambda: len({one for one in dns.asked if "slow" in one}) >= 32)
        began = time.monotonic()
        for _ in range(50):
            answer = await resolver.addresses("web.test", tenant="acme")
            assert answer.hosts == ("127.0.0.1",)
        assert time.monotonic() - began < 3
        assert not any(one.done() for one in waiting)
        assert len({one.split()[0] for one in dns.asked if "slow" in one}) == 16
        for one in waiting:
            one.cancel()
        await asyncio.wait(waiting)
        assert resolver._slots.interested == 0


async def test_of_many_look_ups_at_once_one_is_sent_in_each_pass_of_the_loop(monkeypatch):
    real, sent_in, now = cares.Channel.getaddrinfo, [], 0

    def send(self, *args, **options):
        sent_in.append(now)
        return real(self, *args, **options)

    async def count():
        nonlocal now
        while True:
            now += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(cares.Channel, "getaddrinfo", send)
    async with scripted(web=Reply(("127.0.0.1",))) as dns, resolving(dns.address) as resolver:
        counting = asyncio.ensure_future(count())
        names = (resolver.addresses("web.test", tenant=f"t{n % 20}") for n in range(100))
        await asyncio.gather(*names)
        counting.cancel()
        await asyncio.wait([counting])
    assert len(sent_in) == 100
    assert max(sent_in.count(one) for one in sent_in) <= 2


async def test_a_look_up_that_waits_for_its_tenants_slots_has_its_whole_time(monkeypatch):
    monkeypatch.setattr(module, "LOOKUPS_EACH", 1)
    async with scripted(mute=SILENCE) as dns, resolving(dns.address, timeout_s=1) as resolver:
        dns.rules["web.test"] = Reply(("127.0.0.1",))
        mute = asyncio.ensure_future(resolver.addresses("mute.test", tenant="acme"))
        await until(lambda: dns.asked)
        assert (await resolver.addresses("web.test", tenant="acme")).hosts == ("127.0.0.1",)
        assert "no answer within 1s" in await why(mute)


async def test_fifty_addresses_with_both_families_come_by_tcp(tmp_path):
    hosts = {"web.test": [f"127.1.0.{n}" for n in range(50)] + [f"fd00::{n:x}" for n in range(50)]}
    async with dnsmasq(tmp_path, hosts) as dns, resolving(dns.address) as resolver:
        answer = await resolver.addresses("web.test", tenant="acme")
        assert set(answer.hosts) == {*hosts["web.test"]} - {"fd00::0"} | {"fd00::"}
        assert answer.ttl_s == 0


def open_things() -> tuple[int, int]:
    gc.collect()
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


async def test_nothing_is_left_after_close(tmp_path):
    async with scripted(web=Reply(("127.0.0.1",)), mute=SILENCE) as dns:
        async with resolving(dns.address) as resolver:  # pycares keeps one thread for all channels
            await resolver.addresses("web.test", tenant="acme")
        before = open_things()
        for _ in range(5):
            async with resolving(dns.address) as resolver:
                await resolver.addresses("web.test", tenant="acme")
                under_way = asyncio.ensure_future(resolver.addresses("mute.test", tenant="acme"))
                given_up = asyncio.ensure_future(resolver.addresses("mute.test", tenant="acme"))
                await until(lambda: any("mute" in one for one in dns.asked))
                given_up.cancel()
                dns.asked.clear()
            assert "the resolver is closed" in await why(under_way)
            assert "the resolver is closed" in await why(
                resolver.addresses("web.test", tenant="acme")
            )
        await until(lambda: open_things()[1] <= before[1] and open_things()[0] <= before[0])
        assert not cares.pycares._handle_to_channel


async def test_cancelled_look_ups_leave_nothing():
    async with scripted(mute=SILENCE) as dns, resolving(dns.address, timeout_s=0.5) as resolver:
        look_ups = [
            asyncio.ensure_future(resolver.addresses("mute.test", tenant="acme")) for _ in range(40)
        ]
        await asyncio.sleep(0.05)
        for one in look_ups:
            one.cancel()
        await asyncio.wait(look_ups)
        assert resolver._slots.interested == 0
        assert "no answer" in await why(resolver.addresses("mute.test", tenant="acme"))
