"""Following by real sources: names of this host, and the end of every task."""

import asyncio

from tenantproxy.control.events import Events
from tenantproxy.control.following import Following
from tenantproxy.control.upstream import Upstream
from tenantproxy.discovery.build import source_of
from tenantproxy.discovery.resolver import Resolver
from tenantproxy.model.spec import DnsSpec, EndpointSpec, UpstreamSpec
from tenantproxy.tasks import Background
from tests.control.healing_support import found
from tests.control.support import until, upstream


async def test_a_name_of_this_host_is_found_beside_an_address():
    resolver, background, events, seen = Resolver(DnsSpec()), Background(print), Events(), []
    following = Following(lambda s: source_of(s, resolver), background, events, seen.append)
    spec = UpstreamSpec(
        "acme", "v1", (EndpointSpec("192.0.2.1", 80), EndpointSpec("localhost", 81))
    )
    one = Upstream(spec)
    try:
        following.begin(one)
        await until(lambda: len(one.addresses) == 2)
        assert [a.listed for a in one.addresses] == ["192.0.2.1:80", "localhost:81"]
        await until(lambda: len(background) == 0)
        assert seen == [one]
        assert [e.event for e in events.after(0, 9)] == ["upstream_resolved"]
    finally:
        await background.close()
        await resolver.close()


async def test_a_source_with_a_fault_is_told_of_and_hurts_nobody_else():
    class Broken:
        async def follow(self):
            if not wrong:
                yield found()
            raise ValueError("a fault of ours")

    wrong, deaths = True, []
    background = Background(lambda name, error: deaths.append(name))
    following = Following(lambda _: Broken(), background, Events(), print)
    following.begin(Upstream(upstream("v1", 80, host="web")))
    await until(lambda: deaths)
    assert deaths == ["follow acme/v1"]


async def test_ending_ends_the_generator_before_its_task_is_done():
    class Endless:
        ended = False

        async def follow(self):
            try:
                yield found()
                await asyncio.sleep(60)
            finally:
                Endless.ended = True

    background = Background(print)
    one = Upstream(upstream("v1", 80, host="web"))
    one.users = 1
    following = Following(lambda _: Endless(), background, Events(), lambda _: None)
    following.begin(one)
    await until(lambda: one.known)
    following.end(one)
    await until(lambda: len(background) == 0)
    assert Endless.ended
    following.end(one)


async def test_an_event_lists_so_many_addresses_and_counts_the_rest():
    background, events = Background(print), Events()

    class Many:
        async def follow(self):
            addresses = [f"192.0.2.{n}:80" for n in range(100, 130)]
            yield found(*addresses, name="web", listed="web:80")

    following = Following(lambda _: Many(), background, events, lambda _: None)
    following.begin(Upstream(upstream("v1", 80, host="web")))
    await until(lambda: events.after(0, 9))
    [event] = events.after(0, 9)
    assert event.reason.endswith("192.0.2.107 and 22 more")
