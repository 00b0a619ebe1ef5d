"""A port's life as its clients and its operator see it."""

import asyncio
import socket
import struct

import pytest

from tests.e2e.daemon import Refused, document, range_of, tenant, until
from tests.e2e.load import burst, try_once
from tests.e2e.upstreams import echo, name_and_close, serving
from tests.e2e.wire import ask, dial, dialled

IDLE = {"after": "300ms"}


@pytest.fixture
async def up():
    async with serving(name_and_close("up")) as server:
        yield server


@pytest.fixture
async def echoing():
    async with serving(echo) as server:
        yield server


async def test_a_sleeping_port_is_opened_by_its_first_connection(run_daemon, up):
    doc = document({"acme": tenant({"up": up.port}, web={"split": {"up": 1}})})
    async with run_daemon(doc) as daemon:
        view = await daemon.listener("acme/web")
        assert view["state"] == "asleep"
        assert view["port"] in range_of(doc)
        assert await ask(view["port"], b"") == b"up"
        assert (await daemon.listener("acme/web"))["state"] == "open"


async def test_a_crowd_at_a_sleeping_port_is_served_to_the_last(run_daemon, up):
    doc = document({"acme": tenant({"up": up.port}, web={"split": {"up": 1}})})
    async with run_daemon(doc) as daemon:
        port = await daemon.port("acme/web")
        answers = await asyncio.gather(*(try_once(port) for _ in range(300)))
        assert answers == [("served", "up")] * 300


async def test_open_always_is_open_without_a_client(run_daemon, up):
    doc = document({"acme": tenant({"up": up.port}, web={"split": {"up": 1}, "open": "always"})})
    async with run_daemon(doc) as daemon:
        await daemon.wait_state("acme/web", "open")


@pytest.mark.parametrize("then", ["sleep", "close"])
async def test_an_idle_port_goes(run_daemon, up, then):
    doc = document(
        {"acme": tenant({"up": up.port}, web={"split": {"up": 1}, "idle": IDLE | {"then": then}})}
    )
    async with run_daemon(doc) as daemon:
        port = await daemon.port("acme/web")
        assert await ask(port, b"") == b"up"
        if then == "sleep":
            await daemon.wait_state("acme/web", "asleep", within_s=5)
            assert await ask(port, b"") == b"up"
        else:
            view = await daemon.wait_state("acme/web", "cooling", "closed", within_s=5)
            assert view["port"] == port, "the number stays its owner's"
            assert (await try_once(port))[0] == "refused"
            assert (await daemon.act("acme/web", "open"))["state"] == "open"
            assert await ask(port, b"") == b"up"


async def test_an_idle_port_with_an_open_connection_stays(run_daemon, echoing):
    doc = document(
        {
            "acme": tenant(
                {"up": echoing.port}, web={"split": {"up": 1}, "idle": IDLE | {"then": "sleep"}}
            )
        }
    )
    async with run_daemon(doc) as daemon:
        async with dialled(await daemon.port("acme/web")) as wire:
            await wire.send(b"x")
            assert await wire.exactly(1) == b"x"
            await asyncio.sleep(1)
            assert (await daemon.listener("acme/web"))["state"] == "open"
        await daemon.wait_state("acme/web", "asleep", within_s=5)


async def test_a_policy_document_puts_ports_to_sleep(run_daemon, folder, up):
    (folder / "policies").mkdir()
    (folder / "policies" / "idle.yaml").write_text(
        "name: idle-sleep\nkind: idle\nmatch: {tenants: [acme], listeners: ['*']}\n"
        "after: 300ms\nthen: sleep\n"
    )
    web = {"split": {"up": 1}}
    doc = document(
        {
            "acme": tenant(
                {"up": up.port}, web=web, kept={**web, "idle": IDLE | {"then": "never"}}
            ),
            "other": tenant({"up": up.port}, web=web),
        }
    )
    async with run_daemon(doc) as daemon:
        for name in ("acme/web", "acme/kept", "other/web"):
            assert await ask(await daemon.port(name), b"") == b"up"
        await daemon.wait_state("acme/web", "asleep", within_s=5)
        await asyncio.sleep(0.5)
        for name in ("acme/kept", "other/web"):
            assert (await daemon.listener(name))["state"] == "open"
        actions = [
            value
            for name, value in (await daemon.metrics()).items()
            if name.startswith("tenantproxy_policy_actions_total") and "idle-sleep" in name
        ]
        assert sum(actions) >= 1


async def test_open_and_sleep_by_the_api(run_daemon, up):
    doc = document({"acme": tenant({"up": up.port}, web={"split": {"up": 1}})})
    async with run_daemon(doc) as daemon:
        assert (await daemon.act("acme/web", "open"))["state"] == "open"
        assert (await daemon.act("acme/web", "sleep"))["state"] == "asleep"
        port = await daemon.port("acme/web")
        assert await ask(port, b"") == b"up"


@pytest.mark.parametrize(
    ("connections", "whole"), [("keep", True), ("kill", False), ("drain", None)]
)
async def test_close_says_what_becomes_of_connections(run_daemon, echoing, connections, whole):
    doc = document({"acme": tenant({"up": echoing.port}, web={"split": {"up": 1}, "drain": "1s"})})
    async with run_daemon(doc) as daemon:
        port = await daemon.port("acme/web")
        wires = [await dial(port) for _ in range(10)]
        for wire in wires:
            await wire.send(b"x")
            assert await wire.exactly(1) == b"x"
        await daemon.act("acme/web", "close", connections=connections)
        assert (await try_once(port))[0] == "refused"
        lived = [await _lives(wire) for wire in wires]
        if whole is None:
            assert any(lived), "drain spreads the end over its window"
            await daemon.wait_state("acme/web", "closed", "cooling", within_s=5)
            lived = [await _lives(wire) for wire in wires]
            assert not any(lived)
        else:
            assert lived == [whole] * 10
        for wire in wires:
            wire.close()


async def _lives(wire):
    try:
        async with asyncio.timeout(3):
            await wire.send(b"y")
            return await wire.exactly(1) == b"y"
    except ConnectionError:
        return False


async def test_a_deleted_listener_frees_nothing_for_strangers(run_daemon, up):
    doc = document(
        {
            "acme": tenant({"up": up.port}, web={"split": {"up": 1}}),
            "other": tenant({"up": up.port}),
        },
        room=5,
    )
    async with run_daemon(doc) as daemon:
        port = await daemon.port("acme/web")
        assert await ask(port, b"") == b"up"
        await daemon.api("DELETE", "tenants/acme/listeners/web", connections="kill")

        async def gone():
            return (await try_once(port))[0] == "refused"

        await until(gone, within_s=5)
        with pytest.raises(Refused) as refusal:
            await daemon.api(
                "PUT", "tenants/other/listeners/web", {"split": {"up": 1}, "port": port}
            )
        assert "port_reserved" in refusal.value.codes
        await daemon.api("PUT", "tenants/acme/listeners/web", {"split": {"up": 1}, "port": port})
        assert await ask(port, b"") == b"up"


async def test_a_scanner_wakes_nothing(run_daemon, up):
    """Connect and leave, connect and reset, connect and stay silent: asleep. Speak: served."""
    doc = document(
        {
            "acme": tenant(
                {"up": up.port}, web={"split": {"up": 1}, "wake": {"after_first_bytes": True}}
            )
        }
    )
    async with run_daemon(doc) as daemon:
        port = await daemon.port("acme/web")
        silent = await dial(port)
        for _ in range(20):
            (await dial(port)).close()
            with socket.create_connection(("127.0.0.1", port)) as rude:
                rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await asyncio.sleep(1)
        assert (await daemon.listener("acme/web"))["state"] == "asleep"
        assert up.accepted == 0
        assert await ask(port, b"hello") == b"up"
        assert (await daemon.listener("acme/web"))["state"] == "open"
        await silent.send(b"now")  # it waited, and is served as well
        assert await silent.exactly(2) == b"up"
        silent.close()


async def test_a_client_that_speaks_and_ends_before_it_is_held_is_served(run_daemon, up):
    doc = document(
        {
            "acme": tenant(
                {"up": up.port}, web={"split": {"up": 1}, "wake": {"after_first_bytes": True}}
            )
        }
    )
    async with run_daemon(doc) as daemon:
        port = await daemon.port("acme/web")
        for _ in range(5):
            assert await ask(port, b"all at once") == b"up"
            await daemon.act("acme/web", "sleep")


async def test_the_first_connection_waits_for_an_upstream_that_starts_late(run_daemon):
    doc = document({"acme": tenant({"up": 1}, web={"split": {"up": 1}})}, room=3)
    late = range_of(doc)[-1]  # a number that nobody else takes meanwhile
    doc["tenants"]["acme"]["upstreams"]["up"]["endpoints"] = [f"127.0.0.1:{late}"]
    async with run_daemon(doc) as daemon:
        port = await daemon.port("acme/web")
        waiting = [asyncio.ensure_future(try_once(port)) for _ in range(5)]
        await asyncio.sleep(1)
        async with serving(name_and_close("late"), late):
            assert await asyncio.gather(*waiting) == [("served", "late")] * 5


async def test_more_waiting_connections_than_hold_allows_are_refused(run_daemon):
    wake = {"hold": 3, "timeout": "2s"}
    doc = document(
        {"acme": tenant({"up": ["127.0.0.1:1"]}, web={"split": {"up": 1}, "wake": wake})}
    )
    doc["proxy"]["workers"] = 1
    async with run_daemon(doc) as daemon:
        port = await daemon.port("acme/web")
        outcomes = await asyncio.gather(*(try_once(port) for _ in range(10)))
        # Reset before the client has looked is "refused" to it.
        assert {outcome for outcome, _ in outcomes} <= {"reset", "closed", "refused"}
        rejected = {
            name: value
            for name, value in (await daemon.metrics()).items()
            if name.startswith("tenantproxy_listener_connections_rejected_total") and value
        }
        assert sum(v for n, v in rejected.items() if "hold_full" in n) == 7, rejected
        assert sum(v for n, v in rejected.items() if "wake_timeout" in n) == 3, rejected


async def test_automatic_ports_are_the_same_after_a_restart(run_daemon, up):
    listeners = {f"l{n}": {"split": {"up": 1}} for n in range(15)}
    doc = document({"acme": tenant({"up": up.port}, **listeners)}, room=40)

    async def numbers(daemon):
        views = await daemon.items("tenants/acme/listeners")
        return {view["listener"]: view["port"] for view in views}

    async with run_daemon(doc) as daemon:
        first = await numbers(daemon)
    doc["tenants"]["acme"]["listeners"] = dict(reversed(listeners.items()))
    async with run_daemon(doc) as daemon:
        assert await numbers(daemon) == first


async def test_reuseport_serves_too(run_daemon, up):
    doc = document({"acme": tenant({"up": up.port}, web={"split": {"up": 1}})}, accept="reuseport")
    async with run_daemon(doc) as daemon:
        port = await daemon.port("acme/web")
        for _ in range(3):
            assert await asyncio.to_thread(burst, port, 200) == {"up": 200}
            await daemon.act("acme/web", "sleep")
