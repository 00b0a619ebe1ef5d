"""Bad input and bad luck: a clear word, a way out, and nobody else is touched."""

import asyncio
import signal
import socket
import time

import pytest

from tests.e2e.apart import serving_apart
from tests.e2e.daemon import Daemon, Refused, document, range_of, tenant, until
from tests.e2e.load import burst, try_once
from tests.e2e.upstreams import echo, name_and_close, serving
from tests.e2e.wire import ask, dialled


@pytest.fixture
async def up():
    async with serving(name_and_close("up")) as server:
        yield server


@pytest.fixture
def foreign():
    """A listening socket of somebody else on 127.0.0.1; bind it by calling with a port."""
    held = []

    def bind(port):
        sock = socket.socket()
        held.append(sock)
        sock.bind(("127.0.0.1", port))
        sock.listen(1)
        return sock

    yield bind
    for sock in held:
        sock.close()


async def start_that_fails(folder, doc):
    """Run a daemon that must refuse to start; return exit code and what it said."""
    daemon = Daemon(folder, doc, fails_to_stop=True)
    if isinstance(doc, str):
        daemon.write(doc)
    try:
        daemon.launch(write=not isinstance(doc, str))
        code = await daemon.wait_end(within_s=10)
        said = daemon.log()
        assert "Traceback" not in said, said
        return code, said
    finally:
        await daemon._clean_up()


# Ports ------------------------------------------------------------------------


async def test_a_port_taken_at_start_fails_alone_and_is_tried_again(run_daemon, up, foreign):
    doc = document(
        {
            "acme": tenant({"up": up.port}, web={"split": {"up": 1}}, db={"split": {"up": 1}}),
            "other": tenant({"up": up.port}, web={"split": {"up": 1}}),
        }
    )
    taken = range_of(doc)[7]
    doc["tenants"]["acme"]["listeners"]["web"]["port"] = taken
    intruder = foreign(taken)
    async with run_daemon(doc) as daemon:
        view = await daemon.wait_state("acme/web", "failed")
        assert str(taken) in view["reason"]
        for name in ("acme/db", "other/web"):
            assert await ask(await daemon.port(name), b"") == b"up"
        intruder.close()
        await daemon.wait_state("acme/web", "asleep", "open", within_s=10)
        assert await ask(taken, b"") == b"up"


async def test_a_port_taken_at_reload_refuses_the_whole_document(run_daemon, up, foreign):
    doc = document({"acme": tenant({"up": up.port}, web={"split": {"up": 1}})})
    taken = range_of(doc)[7]
    foreign(taken)
    async with run_daemon(doc) as daemon:
        before = await daemon.generation()
        port = await daemon.port("acme/web")
        changed = {**doc, "tenants": dict(doc["tenants"])}
        changed["tenants"]["new"] = tenant({"up": up.port}, web={"split": {"up": 1}})
        changed["tenants"]["late"] = tenant(
            {"up": up.port}, web={"split": {"up": 1}, "port": taken}
        )
        daemon.write(changed)

        async def refused():
            made = await daemon.items("generations")
            return [g for g in made if g["result"] == "refused"]

        (refusal,) = await until(refused)
        assert str(taken) in str(refusal)
        assert await daemon.generation() == before
        assert [t["tenant"] for t in await daemon.items("tenants")] == ["acme"]
        assert await ask(port, b"") == b"up"


async def test_a_port_taken_at_an_api_call_is_refused(run_daemon, up, foreign):
    doc = document({"acme": tenant({"up": up.port}, web={"split": {"up": 1}})})
    taken = range_of(doc)[7]
    foreign(taken)
    async with run_daemon(doc) as daemon:
        before = await daemon.generation()
        with pytest.raises(Refused) as refusal:
            await daemon.api(
                "PUT", "tenants/acme/listeners/late", {"split": {"up": 1}, "port": taken}
            )
        assert (refusal.value.status, refusal.value.code) == (409, "port_taken")
        assert await daemon.generation() == before
        with pytest.raises(Refused) as refusal:
            await daemon.listener("acme/late")
        assert refusal.value.status == 404


async def test_each_clash_of_ports_has_its_own_code(run_daemon, up):
    doc = document({"acme": tenant({"up": up.port}, web={"split": {"up": 1}})}, room=10)
    numbers = range_of(doc)
    async with run_daemon(doc) as daemon:
        used = await daemon.port("acme/web")
        for port, code in (
            (used, "port_clash"),
            (numbers[-1] + 10, "port_outside_range"),
            (80, "port_outside_range"),
        ):
            with pytest.raises(Refused) as refusal:
                await daemon.api(
                    "PUT", "tenants/acme/listeners/late", {"split": {"up": 1}, "port": port}
                )
            assert code in refusal.value.codes, refusal.value


async def test_the_range_can_be_full(run_daemon, up):
    doc = document({"acme": tenant({"up": up.port}, web={"split": {"up": 1}})}, room=2)
    async with run_daemon(doc) as daemon:
        await daemon.api("PUT", "tenants/acme/listeners/two", {"split": {"up": 1}})
        with pytest.raises(Refused) as refusal:
            await daemon.api("PUT", "tenants/acme/listeners/three", {"split": {"up": 1}})
        assert "port_range_full" in refusal.value.codes


@pytest.mark.parametrize("which", ["admin", "metrics"])
async def test_our_own_port_taken_ends_the_start(folder, up, foreign, which):
    doc = document({"acme": tenant({"up": up.port}, web={"split": {"up": 1}})})
    taken = doc["proxy"][which]["port"]
    foreign(taken)
    code, said = await start_that_fails(folder, doc)
    assert code == 1
    assert str(taken) in said
    assert which in said


# Documents --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ("version: 1\ntenants:\n  acme: [1\n", ":4:", ""),
        ("version: 1\nproxy:\n  wokers: 2\n", ":3:3", "workers"),
        ("version: 1\ntenants:\n  acme: {}\n  acme: {}\n", ":4:3", "acme"),
        ("version: 1\nproxy:\n  database: sqlite:///x\n", ":3:", "database"),
    ],
    ids=["not-yaml", "unknown-key", "duplicate-key", "not-supported-yet"],
)
async def test_a_broken_document_at_start(folder, text, place, word):
    code, said = await start_that_fails(folder, text)
    assert code == 1
    assert f"tenantproxy.yaml{place}" in said
    assert word in said


async def test_a_document_that_is_not_there(folder):
    daemon = Daemon(folder, {"version": 1}, fails_to_stop=True)
    try:
        daemon.launch(write=False)
        assert await daemon.wait_end() == 1
        assert "Traceback" not in daemon.log()
        assert "tenantproxy.yaml" in daemon.log()
    finally:
        await daemon._clean_up()


async def test_an_api_without_token_refuses_to_face_the_network(folder, up):
    doc = document({"acme": tenant({"up": up.port}, web={"split": {"up": 1}})})
    doc["proxy"]["admin"]["address"] = "0.0.0.0"
    code, said = await start_that_fails(folder, doc)
    assert code == 1
    assert "token" in said


# Upstreams ----------------------------------------------------------------------


async def test_a_dead_upstream_costs_its_own_connections_only(run_daemon, up):
    doc = document(
        {
            "dead": tenant({"up": ["127.0.0.1:1"]}, web={"split": {"up": 1}, "open": "always"}),
            "fine": tenant({"up": up.port}, web={"split": {"up": 1}}),
        }
    )
    doc["tenants"]["dead"]["listeners"]["web"]["wake"] = {"timeout": "1s"}
    async with run_daemon(doc) as daemon:
        await daemon.wait_state("dead/web", "open")
        port = await daemon.port("dead/web")
        assert (await try_once(port))[0] in ("reset", "closed")
        assert await ask(await daemon.port("fine/web"), b"") == b"up"
        view = await daemon.listener("dead/web")
        assert view["connections"] == 0
        samples = await daemon.metrics()
        errors = sum(
            value
            for name, value in samples.items()
            if name.startswith("tenantproxy_upstream_connect_errors_total")
            and 'tenant="dead"' in name
        )
        assert errors >= 1


@pytest.mark.both_movers
async def test_the_next_endpoint_is_tried(run_daemon, up):
    doc = document(
        {"acme": tenant({"up": ["127.0.0.1:1", f"127.0.0.1:{up.port}"]}, web={"split": {"up": 1}})}
    )
    async with run_daemon(doc) as daemon:
        port = await daemon.port("acme/web")
        assert await asyncio.to_thread(burst, port, 50) == {"up": 50}


@pytest.mark.both_movers
async def test_an_upstream_that_never_answers_a_connect_gives_up_in_time(run_daemon):
    """A full accept queue drops handshakes, as a dead host does."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
            fillers.append(filler)
        doc = document(
            {
                "acme": tenant(
                    {"up": deaf.getsockname()[1]},
                    web={"split": {"up": 1}, "open": "always", "wake": {"timeout": "500ms"}},
                )
            }
        )
        upstream = doc["tenants"]["acme"]["upstreams"]["up"]
        upstream["connect"] = {"timeout": "300ms", "tries": 2}
        async with run_daemon(doc) as daemon:
            await daemon.wait_state("acme/web", "open")
            port = await daemon.port("acme/web")
            began = time.monotonic()
            assert (await try_once(port))[0] in ("reset", "closed")
            assert time.monotonic() - began < 3
        for filler in fillers:
            filler.close()


async def test_a_name_that_does_not_resolve(run_daemon, up):
    doc = document(
        {
            "lost": tenant({"up": ["no-such-host.invalid:80"]}, web={"split": {"up": 1}}),
            "fine": tenant({"up": up.port}, web={"split": {"up": 1}}),
            "named": tenant({"up": [f"localhost:{up.port}"]}, web={"split": {"up": 1}}),
        }
    )
    doc["tenants"]["lost"]["listeners"]["web"]["wake"] = {"timeout": "500ms"}
    async with run_daemon(doc) as daemon:
        for name in ("fine/web", "named/web"):
            assert await ask(await daemon.port(name), b"") == b"up"
        assert (await try_once(await daemon.port("lost/web")))[0] in ("reset", "closed")
        view = await daemon.api("GET", "tenants/lost/upstreams/up")
        assert "no-such-host.invalid" in str(view)


async def test_a_listener_that_leads_to_itself_is_refused(folder):
    doc = document({"acme": tenant({"up": 1}, web={"split": {"up": 1}})})
    port = range_of(doc)[0]
    doc["tenants"]["acme"]["listeners"]["web"]["port"] = port
    doc["tenants"]["acme"]["upstreams"]["up"]["endpoints"] = [f"127.0.0.1:{port}"]
    code, said = await start_that_fails(folder, doc)
    assert code == 1
    assert "itself" in said


@pytest.mark.both_movers
async def test_a_ring_of_listeners_ends_with_its_client(run_daemon, up):
    """Nothing can tell it from a service; it may fill one worker, and it must let go."""
    doc = document(
        {
            "a": tenant({"up": 1}, web={"split": {"up": 1}}),
            "b": tenant({"up": 1}, web={"split": {"up": 1}}),
            "fine": tenant({"up": up.port}, web={"split": {"up": 1}}),
        },
        workers=1,
    )
    numbers = range_of(doc)
    for name, port, leads_to in (("a", numbers[0], numbers[1]), ("b", numbers[1], numbers[0])):
        doc["tenants"][name]["listeners"]["web"]["port"] = port
        doc["tenants"][name]["upstreams"]["up"]["endpoints"] = [f"127.0.0.1:{leads_to}"]
    async with run_daemon(doc, fd_limit=256) as daemon:
        (worker,) = daemon.workers()
        async with dialled(numbers[0]) as wire:
            await wire.send(b"round and round")
            await asyncio.sleep(1)
            assert (await daemon.listener("a/web"))["state"] == "open"
            wire.reset()
        assert (await try_once(await daemon.port("fine/web"))) == ("served", "up")
        assert daemon.workers() == [worker]


# Signals ------------------------------------------------------------------------


async def test_sighup_with_the_same_document_changes_nothing(run_daemon):
    async with serving_apart(echo) as server:
        doc = document({"acme": tenant({"up": server.port}, web={"split": {"up": 1}})})
        async with run_daemon(doc) as daemon, dialled(await daemon.port("acme/web")) as wire:
            await wire.send(b"x")
            assert await wire.exactly(1) == b"x"
            before = await daemon.generation()
            for _ in range(5):
                daemon.process.send_signal(signal.SIGHUP)
                await asyncio.sleep(0.05)
            assert await daemon.generation() == before
            await wire.send(b"y")
            assert await wire.exactly(1) == b"y"
