"""Endpoints that fail in every way there is: clients see little of it, neighbours nothing."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections import Counter

import pytest

from tests.e2e.apart import serving_apart
from tests.e2e.daemon import Daemon, document, tenant, until
from tests.e2e.latency import p99_s
from tests.e2e.load import Rate, load_for, try_once
from tests.e2e.moods import flapping, moody
from tests.e2e.namespace import server_elsewhere
from tests.e2e.upstreams import echo
from tests.e2e.wire import dialled

RETRY_S = 0.1
"""What a second attempt may cost a client."""
LATER_S = 3.0
"""Within this an endpoint is out after it died, and back after it came back."""
WORSE = 1.5
"""The neighbour's p99 in trouble, to its own without."""


def upstream(*ports, **settings):
    addresses = [port if isinstance(port, str) else f"127.0.0.1:{port}" for port in ports]
    return {"endpoints": addresses, **settings}


def healing(up, *, other=None, **listener):
    """Return a document of one tenant with the upstream, and a neighbour on `other`."""
    tenants = {
        "acme": {
            "upstreams": {"up": up},
            "listeners": {"web": {"split": {"up": 1}, "open": "always", **listener}},
        }
    }
    if other is not None:
        tenants["other"] = tenant({"up": other}, web={"split": {"up": 1}, "open": "always"})
    return document(tenants)


async def endpoints(daemon: Daemon, name: str = "up") -> dict[str, dict]:
    """Return the endpoints of acme's upstream by port."""
    view = await daemon.api("GET", f"tenants/acme/upstreams/{name}")
    return {one["address"].rpartition(":")[2]: one for one in view["endpoints"]}


async def is_in(daemon: Daemon, port: int, *states: str) -> bool:
    return (await endpoints(daemon))[str(port)]["state"] in states


# Refusing ---------------------------------------------------------------------


async def test_with_one_of_two_endpoints_refusing_no_client_sees_an_error(run_daemon):
    async with (
        moody("good") as good,
        moody("bad", "refuse") as bad,
        run_daemon(healing(upstream(good.port, bad.port))) as daemon,
    ):
        port = await daemon.port("acme/web")
        load = await load_for([port], 100, 2, question=b"?")
        assert load.failed == {}
        assert set(load.answers) == {"good"}
        view = (await endpoints(daemon))[str(bad.port)]
        assert view["state"] == "ejected"
        assert "5 failures in a row" in view["reason"]
        print(f"slowest of {load.outcomes['served']}: {load.slowest_s * 1e3:.1f} ms")


@pytest.mark.trial
async def test_a_retry_costs_at_most_a_tenth_of_a_second(run_daemon):
    """Without ejection, so that every second client has to be tried again."""
    async with moody("good") as good, moody("bad", "refuse") as bad:
        up = upstream(good.port, bad.port, outlier=None)
        async with run_daemon(healing(up)) as daemon:
            port = await daemon.port("acme/web")
            took: list[float] = []
            for _ in range(500):
                began_s = time.monotonic()
                assert await try_once(port, question=b"?") == ("served", "good")
                took.append(time.monotonic() - began_s)
            took.sort()
            view = await daemon.api("GET", "tenants/acme/upstreams/up")
            print(f"median {took[250] * 1e3:.2f} ms, slowest {took[-1] * 1e3:.2f} ms,")
            print(f"{view['retries']} retries of 500")
            assert view["retries"] >= 200
            assert took[-1] <= RETRY_S


# Black holes ------------------------------------------------------------------


async def test_a_black_hole_is_given_up_after_the_connect_timeout(run_daemon):
    async with server_elsewhere("there") as there:
        there.swallow()
        address = f"{there.address}:{there.port}"
        up = upstream(address, connect={"timeout": "1500ms", "tries": 1})
        async with run_daemon(healing(up, wake={"timeout": "500ms"})) as daemon:
            port = await daemon.port("acme/web")
            took = []
            for _ in range(3):
                began_s = time.monotonic()
                outcome, _ = await try_once(port)
                took.append(time.monotonic() - began_s)
                assert outcome == "reset"
            print(f"connect timeout 1.5 s: {', '.join(f'{one:.3f}' for one in took)} s")
            assert all(1.35 <= one <= 1.65 for one in took)
            there.heal()
            assert await try_once(port) == ("served", "there")


async def test_a_black_hole_beside_a_server_that_is_well_is_left_out_by_checks(run_daemon):
    async with server_elsewhere("there") as there, moody("good") as good:
        up = upstream(
            f"{there.address}:{there.port}",
            good.port,
            connect={"timeout": "1s"},
            health={"tcp": {}, "every": "300ms", "timeout": "300ms", "fall": 2, "rise": 2},
        )
        async with run_daemon(healing(up)) as daemon:
            port = await daemon.port("acme/web")
            await until(lambda: is_in(daemon, there.port, "healthy"))
            there.swallow()
            await until(lambda: is_in(daemon, there.port, "unhealthy"), within_s=10)
            load = await load_for([port], 50, 1, question=b"?")
            assert load.failed == {}
            assert set(load.answers) == {"good"}
            there.heal()
            await until(lambda: is_in(daemon, there.port, "healthy"), within_s=10)
            await until(lambda: served_by(port, "there"))


async def served_by(port: int, name: str) -> bool:
    return (await try_once(port, question=b"?")) == ("served", name)


# Resetting, silent, slow --------------------------------------------------------


async def test_a_reset_before_the_first_byte_is_tried_elsewhere(run_daemon):
    """Of clients that wait for the server to speak: nothing went either way."""
    async with (
        serving_apart(echo) as other,
        moody("bad", "reset") as bad,
        trickling("good") as good,
    ):
        up = upstream(bad.port, good.port)
        async with run_daemon(healing(up, other=other.port)) as daemon:
            port = await daemon.port("acme/web")
            load = await load_for([port], 50, 2)
            assert load.failed == {}
            view = (await endpoints(daemon))[str(bad.port)]
            assert view["state"] == "ejected"
            assert "reset" in view["reason"]


@contextlib.asynccontextmanager
async def trickling(name):
    async with moody(name, "trickle") as server:
        yield server


async def test_a_server_that_resets_clients_who_spoke_first_is_out_after_five(run_daemon):
    async with (
        moody("good") as good,
        moody("bad", "reset") as bad,
        run_daemon(healing(upstream(good.port, bad.port))) as daemon,
    ):
        port = await daemon.port("acme/web")
        outcomes = Counter([(await try_once(port, question=b"?"))[0] for _ in range(60)])
        # Each of the two workers may see four before one of them sees the fifth.
        assert outcomes["served"] >= 60 - 2 * 5, outcomes
        assert await is_in(daemon, bad.port, "ejected")


async def test_a_slow_server_is_no_bad_server(run_daemon):
    async with (
        moody("slow-and-steady", "trickle") as slow,
        run_daemon(healing(upstream(slow.port))) as daemon,
    ):
        port = await daemon.port("acme/web")
        async with dialled(port) as wire:
            assert await wire.exactly(15) == b"slow-and-steady"
        (one,) = (await endpoints(daemon)).values()
        assert (one["state"], one["failures"]) == ("unchecked", 0)


async def test_a_server_that_accepts_and_says_nothing_is_left_when_that_was_asked_for(run_daemon):
    async with moody("silent", "silent") as silent:
        up = upstream(silent.port, connect={"first_byte": "500ms"})
        async with run_daemon(healing(up)) as daemon:
            port = await daemon.port("acme/web")
            began_s = time.monotonic()
            async with dialled(port) as wire:
                await wire.send(b"?")
                with contextlib.suppress(ConnectionResetError):
                    assert await wire.receive() == b""
            assert time.monotonic() - began_s >= 0.45
            view = await daemon.listener("acme/web")
            assert view["closed"] == {"first_byte_timeout": 1}


async def test_a_silent_server_is_replaced_while_the_client_is_silent_too(run_daemon):
    async with moody("silent", "silent") as silent, trickling("good") as good:
        up = upstream(silent.port, good.port, connect={"first_byte": "500ms"})
        async with run_daemon(healing(up)) as daemon:
            port = await daemon.port("acme/web")
            for _ in range(4):
                outcome, answer = await try_once(port)
                assert (outcome, answer[:1]) == ("served", "g")


# Flapping -----------------------------------------------------------------------


def flap_document(*ports):
    return healing(
        upstream(
            *ports,
            health={"tcp": {}, "every": "300ms", "timeout": "300ms", "fall": 2, "rise": 2},
            outlier={"eject_for": "1s", "max_ejected": "50%"},
        )
    )


@pytest.mark.parametrize(
    "duration_s", [6, pytest.param(60, marks=[pytest.mark.trial, pytest.mark.timeout(180)])]
)
async def test_flapping_every_second_costs_one_client_in_a_hundred_at_most(run_daemon, duration_s):
    async with (
        moody("steady") as steady,
        moody("flapping") as restless,
        run_daemon(flap_document(steady.port, restless.port)) as daemon,
    ):
        port = await daemon.port("acme/web")
        async with Rate([port], 100, question=b"?") as load, flapping(restless, 1.0):
            await asyncio.sleep(duration_s)
            await load.stop()
        total = sum(load.load.outcomes.values())
        failed = sum(load.load.failed.values())
        print(f"{failed} of {total} failed: {load.load.failed}; {dict(load.load.answers)}")
        assert failed <= total / 100
        assert load.load.answers["flapping"] > 0


async def test_an_endpoint_that_dies_is_out_and_back_within_three_seconds(run_daemon):
    async with (
        moody("steady") as steady,
        moody("mortal") as mortal,
        run_daemon(flap_document(steady.port, mortal.port)) as daemon,
    ):
        port = await daemon.port("acme/web")
        async with Rate([port], 50, question=b"?"):
            await until(lambda: is_in(daemon, mortal.port, "healthy"))
            for _ in range(3):
                began_s = time.monotonic()
                await mortal.turn("refuse")
                await until(lambda: is_in(daemon, mortal.port, "unhealthy", "ejected"))
                out_s = time.monotonic() - began_s
                await asyncio.sleep(1)
                began_s = time.monotonic()
                await mortal.turn("well")
                await until(lambda: is_in(daemon, mortal.port, "healthy"))
                back_s = time.monotonic() - began_s
                print(f"out after {out_s:.2f} s, back after {back_s:.2f} s")
                assert max(out_s, back_s) <= LATER_S
            await until(lambda: served_by(port, "mortal"))


async def test_every_change_of_an_endpoint_is_an_event_with_its_reason(run_daemon):
    async with (
        moody("steady") as steady,
        moody("mortal") as mortal,
        run_daemon(flap_document(steady.port, mortal.port)) as daemon,
    ):
        await until(lambda: is_in(daemon, mortal.port, "healthy"))
        await mortal.turn("refuse")
        await until(lambda: is_in(daemon, mortal.port, "unhealthy"))
        await steady.turn("refuse")
        await until(lambda: is_in(daemon, steady.port, "unhealthy"))
        await until(lambda: in_panic(daemon))
        await mortal.turn("well")
        await steady.turn("well")
        await until(lambda: is_in(daemon, mortal.port, "healthy"))
        await until(lambda: is_in(daemon, steady.port, "healthy"))
        events = await daemon.items("events")
        seen = [one["event"] for one in events if one["object"] == "upstream/up"]
        for name in (
            "endpoint_healthy",
            "endpoint_unhealthy",
            "upstream_panic",
            "upstream_panic_over",
        ):
            assert name in seen, seen
        assert all(one["reason"] for one in events)


async def in_panic(daemon: Daemon) -> bool:
    return (await daemon.api("GET", "tenants/acme/upstreams/up"))["panic"]


# Neighbours -----------------------------------------------------------------------


@contextlib.asynccontextmanager
async def trouble(kind: str, bad, there):
    """Break the second endpoint in one way; in the end it is well."""
    if kind == "black hole":
        there.swallow()
    else:
        await bad.turn(kind)
    try:
        yield
    finally:
        if kind == "black hole":
            there.heal()
        else:
            await bad.turn("well")


@pytest.mark.trial
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["refuse", "black hole", "reset", "trickle", "silent", "flap"])
async def test_the_neighbour_does_not_notice(run_daemon, kind):
    """Windows with and without trouble take turns, under the same load; medians are compared."""
    async with (
        serving_apart(echo) as other,
        moody("good") as good,
        moody("bad") as bad,
        server_elsewhere("there") as there,
    ):
        second = f"{there.address}:{there.port}" if kind == "black hole" else bad.port
        up = upstream(good.port, second, connect={"timeout": "1s", "first_byte": "1s"})
        async with run_daemon(healing(up, other=other.port)) as daemon:
            port, neighbour = await daemon.port("acme/web"), await daemon.port("other/web")
            async with Rate([port], 100, question=b"?"):
                calm, troubled = [], []
                await p99_s(neighbour, 1)
                for _ in range(5):
                    calm.append(await p99_s(neighbour, 3))
                    context = flapping(bad, 1.0) if kind == "flap" else trouble(kind, bad, there)
                    async with context:
                        troubled.append(await p99_s(neighbour, 3))
            ratio = statistics.median(troubled) / statistics.median(calm)
            print(
                f"{kind}: p99 {statistics.median(calm) * 1e3:.2f} ms,"
                f" in trouble {statistics.median(troubled) * 1e3:.2f} ms, ratio {ratio:.2f}"
            )
            assert ratio <= WORSE
