"""What rollouts do: weights and previews reach clients, and nothing of it is declared."""

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tenantproxy.control.books import Blocks
from tenantproxy.control.registry import RESERVED_S
from tenantproxy.dataplane.counters import Signal
from tenantproxy.dataplane.messages import EndRoute, UpdateListeners
from tenantproxy.errors import ListenFailed
from tenantproxy.model.derive import Carried
from tenantproxy.model.lifecycle import State
from tenantproxy.model.sides import NOTHING
from tenantproxy.model.spec import IdleRule, SplitMember
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

PREVIEW = key("web.preview")


def split(*pairs):
    return tuple(SplitMember(*pair) for pair in pairs)


@pytest.fixture
async def pair(v1):
    async with naming_server(b"v2") as number:
        yield [v1, upstream("v2", number)]


@asynccontextmanager
async def carrying(pair, weight, preview=None, **more):
    async with control(tenant([listener("web", ("v1", 1), **more)], pair)) as running:
        running._hands.carry(key(), Carried("v1", "v2", weight, preview))
        yield running, running._hands


def orders(running, name="web"):
    return running._ports.orders._order(running._registry.by_key[key(name)])


def sent(running, monkeypatch):
    """Note what goes to the workers from now on, instead of sending it."""
    found = []
    send = lambda worker, message, _fds=(): found.append((worker, message))  # noqa: E731
    monkeypatch.setattr(running._fleet, "send", send)
    return found


# Weights ---------------------------------------------------------------------------------


async def test_a_weight_is_in_force_at_once_and_makes_no_generation(pair):
    async with carrying(pair, 100) as (running, _):
        view = running.listener(key())
        assert view.spec.split == split(("v1", 0), ("v2", 100))
        assert await ask(view.port) == b"v2 hello"
        assert events(running, "reweighed")[-1].reason == "v1=0 v2=100"
        assert running.status().generation == len(running.generations()) == 1
        assert running.document().tenants["acme"].listeners["web"].split == split(("v1", 1))


async def test_the_same_weight_twice_is_one_order(pair):
    async with carrying(pair, 100) as (running, hands):
        hands.carry(key(), Carried("v1", "v2", 100))
        assert len(events(running, "reweighed")) == 1


async def test_without_a_rollout_the_declared_split_is_in_force_again(pair):
    async with carrying(pair, 100, preview="auto") as (running, hands):
        hands.carry(key(), None)
        assert await ask(running.listener(key()).port) == b"v1 hello"
        assert [view.spec.name for view in running.listeners()] == ["web"]


async def test_weights_move_where_no_descriptor_is_left(pair, monkeypatch):
    async with carrying(pair, 5) as (running, hands):
        monkeypatch.setattr("tenantproxy.control.sockets.FD_RESERVE", 10**9)
        hands.carry(key(), Carried("v1", "v2", 0, "auto"))
        assert running.listener(key()).spec.split == split(("v1", 100), ("v2", 0))
        assert hands.listener(PREVIEW) is None
        assert events(running, "failed")[-1].object == "listener/web.preview"
        assert events(running, "failed")[-1].details["code"] == "fd_limit"


async def test_each_rollout_has_sticky_clients_fall_anew(pair):
    async with carrying(pair, 5, sticky="source_ip") as (running, hands):
        assert orders(running).salt == "acme/web"
        hands.carry(key(), Carried("v1", "v2", 5, None, "#7"))
        assert orders(running).salt == "acme/web#7"


# Previews --------------------------------------------------------------------------------


async def test_a_preview_is_a_port_of_its_own_that_only_the_canary_answers(pair):
    async with carrying(pair, 0, preview="auto") as (running, hands):
        web, preview = running.listeners("acme")
        assert (web.spec.preview_of, preview.spec.preview_of) == (None, "web")
        assert preview.state is State.ASLEEP
        assert preview.port != web.port
        assert running.status().ports_used == 2
        assert await ask(preview.port) == b"v2 hello"
        assert await ask(web.port) == b"v1 hello"
        assert hands.listener(PREVIEW).state is State.OPEN
        assert running.upstream(pair[1].key).listeners == ("web", "web.preview")
        assert running.tenant("acme").states == {"open": 2}
        assert set(running.tenant("acme").spec.listeners) == {"web"}


async def test_a_preview_has_the_number_that_was_asked_for(pair):
    number = free_port()
    async with carrying(pair, 0, preview=number) as (running, _):
        assert await ask(number) == b"v2 hello"
        assert running.listener(PREVIEW).port == number


async def test_a_preview_sleeps_and_closes_as_any_port_does(pair):
    async with carrying(pair, 0, preview="auto", idle=IdleRule(0.2, "sleep")) as (running, hands):
        port = running.listener(PREVIEW).port
        await running.open(PREVIEW)
        await until(lambda: running.listener(PREVIEW).state is State.ASLEEP)
        await running.close(PREVIEW)
        hands.carry(key(), Carried("v1", "v2", 5, "auto"))
        assert running.listener(PREVIEW).state is State.COOLING
        await running.open(PREVIEW)
        assert await ask(port) == b"v2 hello"
        await running.sleep(PREVIEW)
        assert running.listener(PREVIEW).state is State.ASLEEP


async def test_a_preview_that_goes_lets_its_clients_finish_and_keeps_its_number(pair):
    async with carrying(pair, 0, preview="auto") as (running, hands):
        port = running.listener(PREVIEW).port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.readexactly(3) == b"v2 "
        hands.carry(key(), Carried("v1", "v2", 0))
        assert hands.listener(PREVIEW) is None
        await until(lambda: port in running._registry.reserved)
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"
        writer.close()
        await writer.wait_closed()
        await until(lambda: not running._registry.retired)
        hands.carry(key(), Carried("v1", "v2", 0, "auto"))
        assert running.listener(PREVIEW).port == port
        assert RESERVED_S > 0


async def test_a_preview_whose_number_a_stranger_has_fails_alone(pair):
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", free_port()))
        stranger.listen()
        async with carrying(pair, 100, preview=stranger.getsockname()[1]) as (running, _):
            assert await ask(running.listener(key()).port) == b"v2 hello"
            assert running.listener(PREVIEW).state is State.FAILED
            # It stands in the way of no other change, and is tried again with each of it.
            running._registry.by_key[PREVIEW].retry_at_s = 0.0
            spec = replace(running.document().tenants["acme"].listeners["web"], drain_s=7.0)
            await running.put_listener(spec)
            assert running.listener(PREVIEW).spec.drain_s == 7.0
            stranger.close()
            await until(lambda: running.listener(PREVIEW).state is State.ASLEEP)


async def test_a_preview_whose_number_is_another_listeners_is_left_out_and_said(pair):
    number = free_port()
    specs = [listener("web", ("v1", 1)), listener("b", port=number)]
    async with control(tenant(specs, pair)) as running:
        running._hands.carry(key(), Carried("v1", "v2", 100, number))
        assert await ask(running.listener(key()).port) == b"v2 hello"
        assert await ask(number) == b"v1 hello"
        assert [view.spec.name for view in running.listeners()] == ["b", "web"]
        [event] = events(running, "failed")
        assert (event.object, event.details["code"]) == ("listener/web.preview", "port_clash")


async def test_a_preview_has_the_source_of_its_listener(pair):
    async with carrying(pair, 0, preview="auto") as (running, _):
        assert running.listener(PREVIEW).source == "file"
        spec = replace(running.document().tenants["acme"].listeners["web"], drain_s=7.0)
        await running.put_listener(spec)
        view = running.listener(PREVIEW)
        assert (view.source, view.split_source) == ("api", "api")


# Counting --------------------------------------------------------------------------------


async def test_what_shall_be_counted_stands_in_the_orders(pair, monkeypatch):
    async with carrying(pair, 5) as (running, hands):
        await ask(running.listener(key()).port)
        found = sent(running, monkeypatch)
        hands.count(key(), ("v1", "v2"))
        hands.count(key(), ("v1", "v2"))
        [(_, update)] = found
        assert isinstance(update, UpdateListeners)
        assert [route.signals for route in update.listeners[0].routes] == [0, 1]
        hands.count(key(), ())
        assert [route.signals for route in orders(running).routes] == [-1, -1]


async def test_a_port_that_nobody_has_opened_counts_from_its_first_connection(pair):
    async with carrying(pair, 0, preview="auto") as (running, hands):
        hands.count(PREVIEW, ("v2",))
        assert [route.signals for route in orders(running, "web.preview").routes] == [0]
        assert hands.side(PREVIEW, "v2") == NOTHING


async def test_a_side_is_what_all_workers_counted(pair):
    async with carrying(pair, 5) as (running, hands):
        hands.count(key(), ("v2",))
        for file in running._books.files:
            file.words[file.signals_at(0) + Signal.RESETS] += 3
        assert hands.side(key(), "v2").resets == 3
        assert hands.side(key(), "v1") == hands.side(key("gone"), "v1") == NOTHING


async def test_where_no_counters_are_left_that_is_said_and_clients_are_served(pair):
    async with carrying(pair, 100) as (running, hands):
        running._books._signals = Blocks(1, "signal")
        hands.count(key(), ("v1", "v2"))
        assert hands.side(key(), "v2") == NOTHING
        assert events(running, "rollout_uncounted")[0].object == "listener/web"
        assert await ask(running.listener(key()).port) == b"v2 hello"


async def test_that_no_counters_are_left_is_said_once(pair):
    async with carrying(pair, 100) as (running, hands):
        running._books._signals = Blocks(1, "signal")
        assert not hands.count(key(), ("v1", "v2"))
        assert not hands.count(key(), ("v1", "v2"))
        assert len(events(running, "rollout_uncounted")) == 1
        assert hands.count(key(), ("v1",))
        assert not hands.count(key(), ("v1", "v2"))
        assert len(events(running, "rollout_uncounted")) == 2


async def test_a_listener_that_drains_gives_its_counters_back_when_it_is_gone(pair):
    async with carrying(pair, 5) as (running, hands):
        hands.count(key(), ("v1", "v2"))
        reader, writer = await asyncio.open_connection("127.0.0.1", running.listener(key()).port)
        writer.write(b"hello")
        await reader.read(1)
        await running.delete_listener(key())
        hands.count(key(), ())
        assert running._registry.counted(key())
        writer.close()
        await until(lambda: not running._registry.retired)
        assert not running._registry.counted(key())


async def test_a_listener_that_goes_gives_its_counters_back(pair):
    async with carrying(pair, 5) as (running, hands):
        hands.count(key(), ("v1", "v2"))
        await running.delete_listener(key())
        await until(lambda: not running._registry.retired)
        assert list(running._books._signals._free) == [0, 1]
        hands.count(key(), ())


async def test_what_a_dead_worker_left_is_settled_in_the_signals_too(pair, monkeypatch):
    async with carrying(pair, 5) as (running, hands):
        hands.count(key(), ("v1", "v2"))
        settled = []
        monkeypatch.setattr(
            running._books.files[0], "settle", lambda *blocks: settled.append(blocks)
        )
        running._registry.settle(0, 1.0)
        assert settled[0][-1] == [0, 1]


# Connections -----------------------------------------------------------------------------


async def test_live_connections_are_told_by_worker(pair):
    async with carrying(pair, 100) as (running, hands):
        assert hands.live(key(), "v2") == hands.live(key("gone"), "v2") == (0,)
        reader, writer = await asyncio.open_connection("127.0.0.1", running.listener(key()).port)
        await reader.readexactly(3)
        await until(lambda: hands.live(key(), "v2") == (1,))
        assert hands.live(key(), "v1") == (0,)
        writer.close()
        await writer.wait_closed()
        await until(lambda: hands.live(key(), "v2") == (0,))


async def test_workers_are_told_which_connections_end(pair, monkeypatch):
    async with carrying(pair, 100) as (running, hands):
        await ask(running.listener(key()).port)
        found = sent(running, monkeypatch)
        hands.end(key(), "v2", "kill", 0.0)
        hands.end(key(), "v2", "rebalance", 10.0, {0: 3})
        hands.end(key(), "v2", "rebalance", 10.0, {0: 0})
        for nobody in ((key("gone"), "v2"), (key(), "gone")):
            hands.end(*nobody, "kill", 0.0)
        one = running._registry.by_key[key()].id
        two = running._upstreams.by_key[pair[1].key].id
        assert found == [
            (0, EndRoute(one, two, "kill", 0.0)),
            (0, EndRoute(one, two, "rebalance", 10.0, 3)),
        ]


async def test_endpoints_are_told_while_the_upstream_is_awake(pair):
    async with carrying(pair, 0, preview="auto") as (running, hands):
        assert hands.endpoints("acme", "v2") is None
        assert hands.endpoints("acme", "gone") is None
        await running.open(PREVIEW)
        assert hands.endpoints("acme", "v2") == (1, 1)
        await running.sleep(PREVIEW)
        assert hands.endpoints("acme", "v2") is None


async def test_endpoints_that_nobody_has_found_yet_are_none_that_lack(v1):
    named = upstream("v2", 80, host="no-such-name.invalid")
    async with carrying([v1, named], 0, preview="auto") as (running, hands):
        one = running._upstreams.by_key[named.key]
        one.known = False
        one.discovery_reason = ""
        one.users += 1
        assert hands.endpoints("acme", "v2") is None
        one.discovery_reason = "the name server is out of reach"
        assert hands.endpoints("acme", "v2") == (0, 0)
        one.users -= 1


# Declaring -------------------------------------------------------------------------------


async def test_a_promotion_is_declared_as_by_the_api_and_outlives_reloads(pair):
    async with carrying(pair, 100) as (running, hands):
        web = [listener("web", ("v1", 1))]
        assert hands.declared(key()) == split(("v1", 1))
        hands.declare(key(), split(("v1", 0), ("v2", 100)))
        hands.carry(key(), None)
        hands.declare(key(), split(("v1", 0), ("v2", 100)))
        assert running.listener(key()).split_source == "api"
        assert [(one.number, one.source) for one in running.generations()] == [
            (2, "api"),
            (1, "file"),
        ]
        await reload(running, tenant([*web, listener("new")], pair))
        assert hands.declared(key()) == split(("v1", 0), ("v2", 100))
        assert await ask(running.listener(key()).port) == b"v2 hello"
        await reload(running, tenant([listener("web", ("v1", 2))], pair))
        assert hands.declared(key()) == split(("v1", 2))


async def test_whether_a_file_has_to_be_committed_is_known(pair):
    async with carrying(pair, 5) as (running, hands):
        await running.put_listener(listener("api"))
        assert hands.from_file(key())
        for other in (key("api"), key("gone"), key(tenant="gone")):
            assert not hands.from_file(other)


async def test_of_a_listener_that_is_gone_nothing_is_said_and_nothing_done(pair):
    async with carrying(pair, 5) as (running, hands):
        await running.delete_tenant("acme", connections="kill")
        assert hands.declared(key()) == ()
        assert hands.drain_s(key()) == 0.0
        hands.declare(key(), split(("v1", 1)))
        hands.carry(key(), None)
        assert running.document().tenants == {}


async def test_the_drain_window_is_the_listeners(pair):
    async with carrying(pair, 5, drain_s=12.0) as (_, hands):
        assert hands.drain_s(key()) == 12.0


async def test_what_fails_without_a_preview_is_no_previews_fault(pair, monkeypatch):
    async with carrying(pair, 5) as (running, hands):

        def refuse(*_args, **_more):
            raise ListenFailed("no")

        monkeypatch.setattr(running._reconciler, "prepare", refuse)
        with pytest.raises(ListenFailed, match="no"):
            hands.carry(key(), Carried("v1", "v2", 10))
        assert running.listener(key()).spec.split[1].weight == 5
