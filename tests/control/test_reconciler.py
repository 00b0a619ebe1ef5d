"""From documents to ports: whole or not at all, and nobody else is touched."""

import asyncio
import resource
import socket
from dataclasses import replace

import pytest

from tenantproxy.errors import DocumentError, FdLimit, PortClash, PortReserved, PortTaken
from tenantproxy.model.lifecycle import State
from tenantproxy.model.ports import candidates
from tenantproxy.model.spec import AdminSpec
from tests.control.support import (
    PROXY,
    ask,
    control,
    events,
    free_port,
    key,
    listener,
    naming_server,
    reload,
    tenant,
    until,
    upstream,
)


@pytest.fixture
def foreign():
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", free_port()))
        other.listen()
        yield other


def number_of(foreign):
    return foreign.getsockname()[1]


def states(running):
    return {view.spec.name: view.state for view in running.listeners()}


async def test_at_start_a_foreign_port_fails_its_listener_alone(v1, foreign):
    specs = [listener("bad", port=number_of(foreign)), listener("good")]
    async with control(tenant(specs, [v1])) as running:
        assert states(running) == {"bad": State.FAILED, "good": State.ASLEEP}
        view = running.listener(key("bad"))
        assert str(number_of(foreign)) in view.reason
        assert await ask(running.listener(key("good")).port) == b"v1 hello"
        assert [event.details["code"] for event in events(running, "failed")] == ["port_taken"]


async def test_a_failed_listener_comes_back_when_the_port_is_free(v1, foreign):
    async with control(tenant([listener(port=number_of(foreign))], [v1])) as running:
        assert states(running) == {"web": State.FAILED}
        number = number_of(foreign)
        foreign.close()
        await until(lambda: states(running) == {"web": State.ASLEEP})
        assert await ask(number) == b"v1 hello"


async def test_a_reload_with_a_foreign_port_is_refused_whole(v1, foreign):
    async with control(tenant([listener()], [v1])) as running:
        port = running.listener(key()).port
        worse = tenant([listener("new"), listener("bad", port=number_of(foreign))], [v1])
        with pytest.raises(PortTaken):
            await reload(running, worse)
        assert states(running) == {"web": State.ASLEEP}
        assert running.status().generation == 1
        assert running.status().document_problems
        assert running.generations()[0].result == "refused"
        assert await ask(port) == b"v1 hello"


async def test_several_foreign_ports_are_told_at_once(v1, foreign):
    with socket.socket() as second:
        second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        second.bind(("127.0.0.1", free_port()))
        second.listen()
        specs = [
            listener("a", port=number_of(foreign)),
            listener("b", port=second.getsockname()[1]),
        ]
        async with control(tenant([], [v1])) as running:
            with pytest.raises(DocumentError) as caught:
                await reload(running, tenant(specs, [v1]))
            assert [problem.code for problem in caught.value.problems] == ["port_taken"] * 2


async def test_an_automatic_port_walks_around_a_foreign_one(v1):
    first, second, *_ = candidates(key(), PROXY.port_range)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", first))
        other.listen()
        async with control(tenant([listener()], [v1])) as running:
            assert running.listener(key()).port == second
            assert await ask(second) == b"v1 hello"


async def test_automatic_ports_are_the_same_after_a_restart(v1):
    specs = [listener(name) for name in ("a", "b", "c")]
    async with control(tenant(specs, [v1])) as running:
        first = {view.spec.name: view.port for view in running.listeners()}
    async with control(tenant(reversed(specs), [v1])) as running:
        assert {view.spec.name: view.port for view in running.listeners()} == first


async def test_an_unchanged_listener_keeps_its_connections_through_a_reload(v1):
    async with control(tenant([listener(), listener("other")], [v1])) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.listener(key()).port)
        await reader.read(3)
        await reload(running, tenant([listener(), listener("new")], [v1]))
        writer.write(b"alive")
        assert await reader.read(5) == b"alive"
        assert running.listener(key()).generation == 1
        writer.close()


async def test_a_reweigh_moves_new_connections_and_keeps_the_old(v1):
    async with naming_server(b"v2") as number:
        both = [v1, upstream("v2", number)]
        async with control(tenant([listener("web", ("v1", 1), ("v2", 0))], both)) as running:
            port = running.listener(key()).port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read(3) == b"v1 "
            await reload(running, tenant([listener("web", ("v1", 0), ("v2", 1))], both))
            assert await ask(port) == b"v2 hello"
            writer.write(b"alive")
            assert await reader.read(5) == b"alive"
            writer.close()
            assert [event.reason for event in events(running, "reweighed")] == ["v1=0 v2=1"]


async def test_a_listener_that_moves_to_another_port_leaves_the_old_one(v1):
    async with control(tenant([listener()], [v1])) as running:
        old = running.listener(key()).port
        await ask(old)
        new = free_port()
        await reload(running, tenant([listener(port=new)], [v1]))
        assert await ask(new) == b"v1 hello"
        await until(lambda: old not in running._registry.holders)
        with pytest.raises(ConnectionRefusedError):
            await ask(old)


async def test_a_port_passes_to_another_listener_of_the_tenant_without_a_gap(v1):
    number = free_port()
    async with control(tenant([listener("old", port=number)], [v1])) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        await reader.read(3)
        await reload(running, tenant([listener("new", port=number)], [v1]))
        for _ in range(50):  # the first may still be accepted by the old one; none is lost
            assert await ask(number) == b"v1 hello"
        assert running.listener(key("new")).totals.connections_total > 40
        writer.write(b"alive")
        assert await reader.read(5) == b"alive"
        writer.close()


async def test_a_number_stays_reserved_for_its_tenant(v1):
    number = free_port()
    other_upstream = replace(v1, tenant="other")
    async with control(tenant([listener(port=number)], [v1])) as running:
        await reload(running, tenant([], [v1]))
        await until(lambda: number in running._registry.reserved)
        thief = tenant([listener("x", tenant="other", port=number)], [other_upstream], name="other")
        with pytest.raises(PortReserved, match="acme"):
            await running.put_tenant(thief)
        await reload(running, tenant([listener("again", port=number)], [v1]))
        assert await ask(number) == b"v1 hello"


async def test_a_number_that_another_listener_has_is_a_clash(v1):
    async with control(tenant([listener()], [v1])) as running:
        taken = running.listener(key()).port
        with pytest.raises(PortClash, match="acme/web"):
            await running.put_listener(listener("second", port=taken))


async def test_the_admin_port_is_a_clash_of_its_own(v1):
    proxy = replace(PROXY, admin=AdminSpec(port=free_port()))
    async with control(tenant([], [v1]), proxy=proxy) as running:
        with pytest.raises(DocumentError, match=r"proxy\.admin") as caught:
            await running.put_listener(listener(port=proxy.admin.port))
        assert [problem.code for problem in caught.value.problems] == ["port_clash"]


async def test_more_listeners_than_descriptors_are_refused_and_nothing_changes(v1):
    async with control(tenant([listener()], [v1])) as running:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        try:
            with pytest.raises(FdLimit):
                await reload(running, tenant([listener(f"w{n}") for n in range(150)], [v1]))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert states(running) == {"web": State.ASLEEP}


async def test_a_number_does_not_pass_to_another_tenant_in_one_document(v1):
    number = free_port()
    corp = tenant([listener(port=number, tenant="corp")], [replace(v1, tenant="corp")], name="corp")
    async with control(tenant([listener(port=number)], [v1])) as running:
        with pytest.raises(PortReserved, match="acme"):
            await reload(running, corp)
        assert await ask(number) == b"v1 hello"


async def test_a_sleeping_listener_that_becomes_always_open_opens(v1):
    async with control(tenant([listener()], [v1])) as running:
        await reload(running, tenant([listener(open="always")], [v1]))
        await until(lambda: states(running) == {"web": State.OPEN})
