"""Upstreams wake, are checked and rest with their listeners; with real workers and servers."""

import asyncio
import contextlib
import os
import signal
from dataclasses import replace

import pytest
import trustme

from tenantproxy.errors import DocumentError
from tenantproxy.model.lifecycle import State
from tenantproxy.model.spec import (
    EndpointSpec,
    HealthRule,
    OutlierRule,
    SplitMember,
    TcpCheck,
    TlsRule,
    UpstreamSpec,
)
from tests.control.support import (
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

QUICK = HealthRule(tcp=TcpCheck(), every_s=0.05, timeout_s=1.0, fall=2, rise=2)


@contextlib.asynccontextmanager
async def counting_server(port=0):
    """A server that counts who connects."""
    seen = []

    async def serve(reader, writer):
        seen.append(1)
        with contextlib.suppress(ConnectionError):
            await reader.read(-1)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        yield server.sockets[0].getsockname()[1], seen


def view(running, spec):
    return running.upstream(spec.key)


async def test_only_upstreams_of_listeners_that_are_awake_are_checked():
    async with counting_server() as (number, seen):
        spec = upstream("v1", number, health=QUICK)
        async with control(tenant([listener()], [spec])) as running:
            await asyncio.sleep(0.2)
            assert not seen
            assert not view(running, spec).awake
            await running.open(key())
            await until(lambda: view(running, spec).endpoints[0].state == "healthy")
            assert view(running, spec).awake
            assert view(running, spec).checks["passed"] >= 1
            await running.sleep(key())
            assert not view(running, spec).awake
            await asyncio.sleep(0.1)
            before = len(seen)
            await asyncio.sleep(0.3)
            assert len(seen) == before


async def test_a_listener_keeps_its_upstream_awake_while_it_drains(v1):
    async with control(tenant([listener(drain_s=60.0)], [v1])) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.listener(key()).port)
        await reader.read(3)
        await running.sleep(key())
        assert running.listener(key()).state is State.DRAINING
        assert view(running, v1).awake
        writer.close()
        await until(lambda: running.listener(key()).state is State.ASLEEP)
        assert not view(running, v1).awake


async def test_closing_and_deleting_let_upstreams_rest(v1):
    async with control(tenant([listener(), listener("b")], [v1])) as running:
        for name in ("web", "b"):
            await running.open(key(name))
        await running.close(key(), connections="kill")
        assert view(running, v1).awake
        await running.delete_listener(key("b"), connections="kill")
        await until(lambda: not view(running, v1).awake)


async def test_a_new_split_wakes_its_members_and_lets_others_rest(v1):
    both = [v1, replace(v1, name="v2")]
    async with control(tenant([listener("web", ("v1", 1), ("v2", 0))], both)) as running:
        await running.open(key())
        assert [view(running, one).awake for one in both] == [True, True]
        await running.set_split(key(), (SplitMember("v2", 1),))
        assert [view(running, one).awake for one in both] == [False, True]
        await running.sleep(key())
        await running.set_split(key(), (SplitMember("v1", 1),))
        assert not any(view(running, one).awake for one in both)


async def test_connections_avoid_an_endpoint_whose_checks_fail_and_come_back():
    refusing = free_port()
    async with naming_server(b"v1") as number:
        spec = upstream("v1", number, refusing, health=QUICK, connect_tries=1, panic_below=0.0)
        async with control(tenant([listener()], [spec]), workers=2) as running:
            await running.open(key())
            await until(lambda: events(running, "endpoint_unhealthy"))
            await until(lambda: view(running, spec).endpoints[0].state == "healthy")
            await asyncio.sleep(0.1)
            port = running.listener(key()).port
            assert {await ask(port) for _ in range(10)} == {b"v1 hello"}
            async with counting_server(refusing) as (_, seen):
                await until(lambda: view(running, spec).endpoints[1].state == "healthy")
                assert seen
                assert [e.details["endpoint"] for e in events(running, "endpoint_healthy")][
                    -1
                ] == f"127.0.0.1:{refusing}"


async def test_an_endpoint_that_refuses_is_ejected_by_what_connections_meet_and_returns(v1):
    rule = OutlierRule(consecutive_failures=3, eject_for_s=0.5, max_ejected=0.5)
    good = v1.endpoints[0]
    bad = EndpointSpec("127.0.0.1", free_port())
    spec = replace(v1, endpoints=(good, bad), outlier=rule)
    async with control(tenant([listener()], [spec])) as running:
        port = running.listener(key()).port
        for _ in range(8):
            assert await ask(port) == b"v1 hello"
        await until(lambda: events(running, "endpoint_ejected"))
        shown = view(running, spec)
        assert shown.endpoints[1].ejections == shown.ejections == 1
        assert shown.endpoints[1].failures >= 3
        assert shown.retries >= 3
        await until(lambda: events(running, "endpoint_returned"))
        assert view(running, spec).endpoints[1].state == "unchecked"


async def test_connections_of_each_endpoint_are_seen(v1):
    v1 = replace(v1, max_connections=9)  # slots are counted where there is a limit
    async with control(tenant([listener()], [v1]), workers=2) as running:
        port = running.listener(key()).port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.read(3)
        await until(lambda: view(running, v1).endpoints[0].connections == 1)
        assert view(running, v1).slots == 1
        writer.close()
        await until(lambda: view(running, v1).endpoints[0].connections == 0)
        assert view(running, v1).endpoints[0].connections_total == 1


async def test_what_a_dead_worker_left_open_is_settled(v1):
    v1 = replace(v1, max_connections=9)
    async with control(tenant([listener()], [v1])) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.listener(key()).port)
        await reader.read(3)
        await until(lambda: view(running, v1).slots == 1)
        os.kill(running.status().workers[0].pid, signal.SIGKILL)
        await until(lambda: view(running, v1).slots == 0)
        [endpoint] = view(running, v1).endpoints
        assert (endpoint.connections, endpoint.connections_total) == (0, 1)
        writer.close()
        await until(lambda: running.status().workers[0].state == "ready")
        assert await ask(running.listener(key()).port) == b"v1 hello"


async def test_what_a_worker_told_is_forgotten_with_it(v1):
    spec = replace(v1, endpoints=(*v1.endpoints, EndpointSpec("127.0.0.1", free_port())))
    async with control(tenant([listener()], [spec])) as running:
        for _ in range(4):
            await ask(running.listener(key()).port)
        _, refusing = running._upstreams.by_key[spec.key].endpoints.values()
        await until(lambda: refusing.health.seen)
        os.kill(running.status().workers[0].pid, signal.SIGKILL)
        await until(lambda: not refusing.health.seen)


async def test_results_go_on_to_a_worker_that_was_replaced():
    refusing = free_port()
    async with naming_server(b"v1") as number:
        spec = upstream("v1", number, refusing, health=QUICK, connect_tries=1, panic_below=0.0)
        async with control(tenant([listener()], [spec])) as running:
            await running.open(key())
            await until(lambda: events(running, "endpoint_unhealthy"))
            os.kill(running.status().workers[0].pid, signal.SIGKILL)
            await until(lambda: running.status().worker_restarts == 1)
            await until(lambda: running.status().workers[0].state == "ready")
            port = running.listener(key()).port
            assert {await ask(port) for _ in range(6)} == {b"v1 hello"}


async def test_certificates_that_cannot_be_used_refuse_the_whole_generation(v1, tmp_path):
    (tmp_path / "ca.pem").write_text("junk")
    secure = replace(v1, name="secure", tls=TlsRule(ca_file=str(tmp_path / "ca.pem")))
    async with control(tenant([listener()], [v1])) as running:
        for change in (
            lambda: running.put_upstream(secure),
            lambda: running.put_upstream(secure, dry_run=True),
            lambda: reload(running, tenant([listener(), listener("b")], [v1, secure])),
        ):
            with pytest.raises(DocumentError) as caught:
                await change()
            [problem] = caught.value.problems
            assert problem.path == "tenants.acme.upstreams.secure.tls"
        assert [one.spec.name for one in running.listeners()] == ["web"]
        assert running.status().generation == 1
        trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
        await running.put_upstream(secure)
        (tmp_path / "ca.pem").write_text("junk")
        await running.put_listener(listener("b"))


async def test_nothing_is_left_of_names_checks_and_files_when_the_daemon_ends(tmp_path):
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    spec = UpstreamSpec(
        "acme",
        "v1",
        (EndpointSpec("localhost", 1), EndpointSpec("no-such-name.invalid", 1)),
        health=QUICK,
        tls=TlsRule(ca_file=str(tmp_path / "ca.pem")),
    )
    async with control(tenant([listener()], [spec])) as running:
        await running.open(key())
        await until(lambda: view(running, spec).checks["failed"])
    assert len(running._background) == 0
