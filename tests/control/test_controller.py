"""The facade: changes by API and by file, look-ups, and what is kept when something is wrong."""

import asyncio
from dataclasses import replace

import pytest

from tenantproxy.errors import Conflict, DocumentError, NotFound
from tenantproxy.model.lifecycle import State
from tenantproxy.model.spec import DnsSpec, Document, SplitMember
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
from tests.e2e.ports import HIGHEST, LOWEST


async def test_a_listener_made_by_api_is_served_and_says_so(v1):
    async with control(tenant([], [v1])) as running:
        lines = await running.put_listener(listener())
        assert [(line.op, line.kind) for line in lines] == [("add", "listener")]
        view = running.listener(key())
        assert (view.source, view.generation) == ("api", 2)
        assert await ask(view.port) == b"v1 hello"


async def test_a_dry_run_tells_and_changes_nothing(v1):
    async with control(tenant([listener()], [v1])) as running:
        number = free_port()
        lines = await running.put_listener(listener("new", port=number), dry_run=True)
        assert [line.name for line in lines] == ["acme/new"]
        assert running.status().generation == 1
        with pytest.raises(NotFound):
            running.listener(key("new"))
        with pytest.raises(ConnectionRefusedError):
            await ask(number)


async def test_a_split_that_names_no_upstream_is_refused(v1):
    async with control(tenant([listener()], [v1])) as running:
        with pytest.raises(DocumentError, match="v9"):
            await running.set_split(key(), (SplitMember("v9", 1),))
        assert running.listener(key()).spec.split == (SplitMember("v1", 1),)


async def test_an_upstream_in_use_cannot_be_taken_away(v1):
    async with control(tenant([listener()], [v1])) as running:
        with pytest.raises(DocumentError):
            await running.delete_upstream(v1.key)
        assert await ask(running.listener(key()).port) == b"v1 hello"


async def test_an_upstream_that_moves_takes_new_connections_along(v1):
    async with naming_server(b"v2") as number, control(tenant([listener()], [v1])) as running:
        port = running.listener(key()).port
        assert await ask(port) == b"v1 hello"
        await running.put_upstream(upstream("v1", number))
        assert await ask(port) == b"v2 hello"


async def test_a_reweigh_by_api_survives_a_reload_that_does_not_touch_it(v1):
    both = [v1, replace(v1, name="v2")]
    async with control(tenant([listener("web", ("v1", 9), ("v2", 1))], both)) as running:
        await running.set_split(key(), (SplitMember("v1", 1), SplitMember("v2", 1)))
        view = running.listener(key())
        assert (view.source, view.split_source) == ("file", "api")
        await reload(
            running, tenant([listener("web", ("v1", 9), ("v2", 1)), listener("new")], both)
        )
        assert running.listener(key()).spec.split[0].weight == 1
        await reload(running, tenant([listener("web", ("v1", 5), ("v2", 5))], both))
        view = running.listener(key())
        assert (view.spec.split[0].weight, view.split_source) == (5, "file")
        assert events(running, "api_change_ended")


async def test_an_api_listener_whose_upstream_the_file_removes_gives_way(v1):
    other = replace(v1, name="other")
    async with control(tenant([listener()], [v1, other])) as running:
        await running.put_listener(listener("extra", ("other", 1)))
        await reload(running, tenant([listener()], [v1]))
        assert [view.spec.name for view in running.listeners()] == ["web"]


async def test_a_whole_document_by_api_replaces_what_was(v1):
    async with control(tenant([listener()], [v1])) as running:
        wanted = Document(running.proxy, {"acme": tenant([listener("only")], [v1])})
        assert {line.op for line in running.diff(wanted)} == {"add", "remove"}
        await running.put_document(wanted)
        assert [view.spec.name for view in running.listeners()] == ["only"]
        assert running.diff(wanted) == []


async def test_the_proxy_part_cannot_change_at_run_time(v1):
    async with control(tenant([listener()], [v1])) as running:
        other = replace(running.proxy, workers=7)
        with pytest.raises(Conflict, match="workers"):
            await running.put_document(Document(other, {}))
        await running.apply_source(
            Document(other, {"acme": tenant([listener()], [v1])}), (), source="file"
        )
        assert running.status().restart_needed == ("proxy.workers",)


async def test_a_broken_document_is_told_and_what_runs_stays(v1):
    async with control(tenant([listener()], [v1])) as running:
        running.refuse_source(["tenantproxy.yaml:3:5: nonsense"], source="file")
        status = running.status()
        assert status.document_problems == ("tenantproxy.yaml:3:5: nonsense",)
        assert status.reloads["file", "refused"] == 1
        assert status.generation == 1
        assert await ask(running.listener(key()).port) == b"v1 hello"
        await reload(running, tenant([listener()], [v1]))
        assert running.status().document_problems == ()
        assert running.status().reloads["file", "unchanged"] == 1


async def test_unknown_names_are_told_with_the_known_ones(v1):
    async with control(tenant([listener()], [v1])) as running:
        for look in (
            lambda: running.tenant("nobody"),
            lambda: running.listener(key("nothing")),
            lambda: running.upstream(v1.key._replace(upstream="nothing")),
        ):
            with pytest.raises(NotFound) as caught:
                look()
            assert any(name in caught.value.hint for name in ("acme", "web", "v1"))


async def test_a_closed_port_stays_closed_through_a_reweigh_and_opens_with_a_change(v1):
    both = [v1, replace(v1, name="v2")]
    async with control(tenant([listener("web", ("v1", 1), ("v2", 1))], both)) as running:
        await running.close(key())
        await running.set_split(key(), (SplitMember("v1", 1), SplitMember("v2", 0)))
        assert running.listener(key()).state is State.COOLING
        await running.put_listener(listener("web", ("v1", 1), ("v2", 0), drain_s=5.0))
        assert running.listener(key()).state is State.ASLEEP
        assert await ask(running.listener(key()).port) == b"v1 hello"


async def test_a_closed_port_cannot_sleep(v1):
    async with control(tenant([listener()], [v1])) as running:
        await running.close(key())
        with pytest.raises(Conflict, match="cooling"):
            await running.sleep(key())


async def test_a_deleted_tenant_takes_its_ports_along_and_touches_no_other(v1):
    other = tenant([listener(tenant="other")], [replace(v1, tenant="other")], name="other")
    async with control(tenant([listener()], [v1]), other) as running:
        port = running.listener(key(tenant="other")).port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.read(3)
        await running.delete_tenant("acme", connections="kill")
        await until(lambda: len(running._registry.holders) == 1)
        writer.write(b"alive")
        assert await reader.read(5) == b"alive"
        writer.close()


async def test_totals_of_an_upstream_outlive_its_listeners(v1):
    async with control(tenant([listener(), listener("two")], [v1])) as running:
        await ask(running.listener(key()).port)
        await until(lambda: running.upstream(v1.key).totals.bytes_in == 5)
        await running.delete_listener(key())
        await until(lambda: not running._registry.retired)
        assert running.upstream(v1.key).totals.bytes_in == 5
        assert running.upstream(v1.key).listeners == ("two",)


async def test_a_name_that_does_not_resolve_is_told_and_hurts_nobody_else(v1):
    lost = upstream("lost", 80, host="no-such-name.invalid")
    specs = [listener("bad", ("lost", 1)), listener("good")]
    async with control(tenant(specs, [lost, v1])) as running:
        await until(lambda: events(running, "upstream_unresolved"))
        [endpoint] = running.upstream(lost.key).endpoints
        assert endpoint.resolved is None
        assert "no-such-name.invalid" in endpoint.reason
        assert await ask(running.listener(key("good")).port) == b"v1 hello"


async def test_a_name_is_resolved(v1):
    named = replace(v1, endpoints=(replace(v1.endpoints[0], host="localhost"),))
    async with control(tenant([listener()], [named])) as running:
        assert await ask(running.listener(key()).port) == b"v1 hello"
        [endpoint] = running.upstream(v1.key).endpoints
        assert endpoint.resolved in ("127.0.0.1", "::1")


async def test_status_counts_ports_and_workers(v1):
    async with control(tenant([listener(), listener("b")], [v1]), workers=2) as running:
        status = running.status()
        assert (status.ports_used, status.ports_capacity) == (2, HIGHEST - LOWEST + 1)
        await until(lambda: all(w.state == "ready" for w in running.status().workers))
        assert status.ready


async def test_the_file_gets_a_number_back_that_an_api_listener_has(v1):
    number = free_port()
    async with control(tenant([listener()], [v1])) as running:
        await running.put_listener(listener("extra", port=number))
        await reload(running, tenant([listener()], [v1]))
        assert running.listener(key("extra")).port == number
        await reload(running, tenant([listener(), listener("mine", port=number)], [v1]))
        assert [view.spec.name for view in running.listeners()] == ["mine", "web"]
        assert await ask(number) == b"v1 hello"
        assert events(running, "api_change_ended")


async def test_another_way_to_look_names_up_waits_for_a_restart(v1):
    async with control(tenant([listener()], [v1])) as running:
        other = replace(running.proxy, dns=DnsSpec(("192.0.2.53",), 1.0))
        document = Document(other, {"acme": tenant([listener()], [v1])})
        await running.apply_source(document, (), source="file")
        assert running.status().restart_needed == ("proxy.dns",)


async def test_a_sticky_listener_that_falls_back_says_so_to_the_workers(v1):
    sticky = listener("web", sticky="source_ip", fallback=True)
    async with control(tenant([sticky, listener("plain")], [v1])) as running:
        orders = {
            name: running._ports.orders._order(running._registry.by_key[key(name)])
            for name in ("web", "plain")
        }
        assert (orders["web"].sticky, orders["web"].salt) == (True, "acme/web")
        assert orders["web"].fallback
        assert not orders["plain"].sticky
        assert not orders["plain"].fallback
