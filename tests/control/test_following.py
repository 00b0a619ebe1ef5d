"""Following by real sources: names of this host, and the end of every task."""

import asyncio

from tenantproxy.control.events import Events
from tenantproxy.control.following import Following
from tenantproxy.control.upstream import Upstream
from tenantproxy.discovery.build import source_of
from tenantproxy.discovery.resolver import Addresses, Resolver, Service, Services
from tenantproxy.discovery.srv import SrvSource
from tenantproxy.errors import Unresolved
from tenantproxy.model.spec import Discovery, DnsSpec, EndpointSpec, UpstreamSpec
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
        async def follow(self, before=()):
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

        async def follow(self, before=()):
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
        async def follow(self, before=()):
            addresses = [f"192.0.2.{n}:80" for n in range(100, 130)]
            yield found(*addresses, name="web", listed="web:80")

    following = Following(lambda _: Many(), background, events, lambda _: None)
    following.begin(Upstream(upstream("v1", 80, host="web")))
    await until(lambda: events.after(0, 9))
    [event] = events.after(0, 9)
    assert event.reason.endswith("192.0.2.107 and 22 more")


class Targets:
    """Resolves one service with three targets, each when its turn comes."""

    def __init__(self):
        self.may_answer = {name: asyncio.Event() for name in ("a.", "b.", "c.")}
        self.failing = set()
        self.before = {}

    async def services(self, name, *, tenant):
        return Services(tuple(Service(0, target, 80, 1) for target in "abc"), 60.0)

    async def addresses(self, name, *, tenant, before=()):
        self.before[name] = before
        await self.may_answer[name].wait()
        if name in self.failing:
            raise Unresolved(name, "server failure")
        return Addresses((f"192.0.2.{ord(name[0])}",), 60.0)

    def answer(self, *names):
        for name in names:
            self.may_answer[name].set()

    def hold(self):
        for event in self.may_answer.values():
            event.clear()


ALL = ["192.0.2.97", "192.0.2.98", "192.0.2.99"]


async def test_a_service_is_looked_at_until_every_target_has_answered_and_waking_keeps_them_all():
    targets, background, events, seen = Targets(), Background(print), Events(), []
    one = Upstream(UpstreamSpec("acme", "v1", discovery=Discovery("srv", "_web._tcp")))

    def source_of(spec):
        return SrvSource(spec.discovery.name, tenant=spec.tenant, resolver=targets)

    def hosts():
        return [address.host for address in one.addresses]

    following = Following(source_of, background, events, lambda u: seen.append(hosts()))
    try:
        following.begin(one)
        for name, number in (("b.", 1), ("a.", 2)):
            targets.answer(name)
            await until(lambda number=number: len(hosts()) == number)
            assert not one.task.done(), "some have not answered yet"
        targets.answer("c.")
        await until(lambda: one.task.done())
        assert hosts() == ALL

        targets.hold()
        targets.failing = {"b."}
        one.users = 1
        seen.clear()
        following.begin(one)
        for name in ("c.", "b.", "a."):
            targets.answer(name)
            for _ in range(20):
                await asyncio.sleep(0)
            assert hosts() == ALL
        assert one.reasons == {"b:80": "b does not resolve: server failure"}
        assert targets.before == {f"{n}.": (f"192.0.2.{ord(n)}",) for n in "abc"}
        assert seen == [], "nothing has changed"
    finally:
        await background.close()
