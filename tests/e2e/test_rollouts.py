"""Good canaries are promoted and bad ones rolled back, under the eyes of real clients."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.e2e.canaries import (
    CANARY,
    NAME,
    STABLE,
    canary_document,
    command,
    rollout,
    until_state,
    versions,
    watched,
)
from tests.e2e.daemon import Refused, until
from tests.e2e.load import Rate
from tests.e2e.sizes import sizes
from tests.e2e.statistics import chi_square_p
from tests.e2e.wire import dial

CHECKS = [
    {"signal": "connect_failures", "over_stable": "1%"},
    {"signal": "resets", "over_stable": "1%"},
    {"signal": "early_closes", "over_stable": "1%"},
    {"signal": "first_byte_p50", "over_stable": "50%"},
]


def plan(every: str, hold: str, *weights: int, **more) -> dict:
    """Return a rollout with these steps."""
    return {
        "steps": [{"weight": weight, "hold": hold} for weight in weights],
        "analysis": {"every": every, "checks": CHECKS},
        **more,
    }


@sizes("every,hold,rate", ("500ms", "2s", 250), ("2s", "10s", 500), timeout_s=120)
async def test_a_good_canary_reaches_everything_through_every_step_and_hurts_nobody(
    run_daemon, every, hold, rate
):
    async with versions() as (one, two):
        doc = canary_document(one, two, plan(every, hold, 5, 25, 50, start="manual"))
        async with run_daemon(doc) as daemon:
            port = await daemon.port(NAME)
            async with Rate([port], rate, question=b"?") as load, watched(daemon) as history:
                await asyncio.sleep(0.3)
                await command(daemon, "start")
                ended = await until_state(daemon, "succeeded", "rolled_back", within_s=90)
                await asyncio.sleep(0.3)
                seen = await load.stop()
            assert ended["state"] == "succeeded", ended
            assert seen.failed == {}
            steps = [(step, weight) for state, step, weight in history.seen if state == "running"]
            assert steps == [(1, 5), (2, 25), (3, 50)]
            for step, weight in steps:
                wanted = {STABLE: 100 - weight, CANARY: weight}
                p = chi_square_p(history.opened[step], wanted)
                print(f"step {step}: wanted {weight}%, opened {history.opened[step]}, p={p:.3f}")
                assert p > 0.01
            assert (await daemon.listener(NAME))["split"] == {STABLE: 0, CANARY: 100}
            assert (await rollout(daemon))["commit"]


@pytest.mark.parametrize("fault", ["resets", "slow", "closes", "refuses"])
@sizes("every_s,rate", (4, 400), (5, 400), timeout_s=120)
async def test_a_bad_canary_is_rolled_back_before_it_hurts_many(run_daemon, fault, every_s, rate):
    """The hurt: those who got no answer, or waited for a slow one.

    At most the canary's share of all clients, for two analyses: the first finds it, the second
    is the verdict.
    """
    weight = 50 if every_s < 5 else 20
    async with versions(fault) as (one, two):
        steps = plan(f"{every_s}s", "60s", weight, start="manual")
        async with run_daemon(canary_document(one, two, steps)) as daemon:
            port = await daemon.port(NAME)
            async with Rate([port], rate, question=b"?") as load:
                await asyncio.sleep(1)
                assert load.load.failed == {}
                before = load.load.outcomes.total()
                await command(daemon, "start")
                began_s = time.monotonic()
                ended = await until_state(daemon, "rolled_back", within_s=60)
                took_s = time.monotonic() - began_s
                clients = load.load.outcomes.total() - before
                await asyncio.sleep(0.1)  # those on their way
                hurt = load.load.answers["v2"] if fault == "slow" else 0
                hurt += sum(load.load.failed.values())
                failed = dict(load.load.failed)
                await asyncio.sleep(1)
                seen = await load.stop()
            print(f"{fault}: {ended['cause']}")
            print(
                f"rolled back after {took_s:.2f} s; hurt {hurt} of {clients} ({hurt / clients:.2%})"
            )
            assert hurt <= clients * weight / 100 + 3 * (clients * weight / 100) ** 0.5
            assert took_s <= 2 * every_s + 1
            assert ended["cause"]
            late = {name: n - failed.get(name, 0) for name, n in seen.failed.items()}
            assert not any(late.values()), f"after the rollback: {late}"
            assert (await daemon.listener(NAME))["split"] == {STABLE: 100, CANARY: 0}
            told = [e["event"] for e in await daemon.items("events") if "rollout" in e["event"]]
            assert "rollout_check_failed" in told
            assert told[-1] == "rollout_rolled_back"


async def test_a_rollback_reaches_new_connections_within_a_second_of_the_verdict(run_daemon):
    async with versions("closes") as (one, two):
        doc = canary_document(one, two, plan("500ms", "60s", 50, start="manual"))
        async with run_daemon(doc) as daemon:
            port = await daemon.port(NAME)
            async with Rate([port], 400, question=b"?") as load:
                await command(daemon, "start")
                await until_state(daemon, "rolled_back", within_s=30)
                events = await daemon.items("events")
                verdict = next(e for e in events if e["event"] == "rollout_rolling_back")
                split = [e for e in events if e["event"] == "reweighed"][-1]
                assert split["number"] <= verdict["number"] + 2
                await asyncio.sleep(0.5)
                seen = load.load.answers["v2"]
                await asyncio.sleep(1)
                assert load.load.answers["v2"] == seen


@pytest.mark.parametrize("how", ["keep", "kill", "drain"])
async def test_connections_of_a_canary_that_is_rolled_back_are_kept_or_ended_as_asked(
    run_daemon, how
):
    async with versions() as (one, two):
        steps = plan("1s", "60s", 50, start="manual", canary_connections=how)
        async with run_daemon(canary_document(one, two, steps, drain="2s")) as daemon:
            port = await daemon.port(NAME)
            await command(daemon, "start")
            wires = [await dial(port) for _ in range(20)]
            names = []
            for wire in wires:
                await wire.send(b"?")
                names.append(await wire.receive())
            assert {*names} == {b"v1", b"v2"}
            await command(daemon, "abort")
            ended = await until_state(daemon, "aborted", within_s=20)
            if how == "keep":
                assert ended["canary"]["connections"] == names.count(b"v2")
                await asyncio.sleep(0.3)
            gone = 0
            for wire, name in zip(wires, names, strict=True):
                try:
                    async with asyncio.timeout(0.1):
                        assert await wire.receive() == b""
                        over = True
                except TimeoutError:
                    over = False
                except ConnectionResetError:
                    over = True
                assert not over or name == b"v2", "a connection of the stable side was ended"
                gone += over
                wire.close()
            assert gone == (0 if how == "keep" else names.count(b"v2"))


async def test_while_a_rollout_is_on_its_way_nobody_else_moves_its_weights(run_daemon):
    async with versions() as (one, two):
        doc = canary_document(one, two, {"steps": [{"weight": 20}, {"pause": True}]})
        doc["tenants"]["acme"]["listeners"]["web"]["rollout"]["analysis"] = {
            "every": "100ms", "checks": [],
        }  # fmt: skip
        async with run_daemon(doc) as daemon:
            await until_state(daemon, "paused")
            with pytest.raises(Refused) as refusal:
                await daemon.set_split(NAME, web_v1=1, web_v2=1)
            assert (refusal.value.status, refusal.value.code) == (409, "rollout_owns_split")
            await command(daemon, "abort")
            await until_state(daemon, "aborted")
            assert (await daemon.listener(NAME))["split"] == {STABLE: 100, CANARY: 0}
            await daemon.set_split(NAME, web_v1=60, web_v2=40)
            assert (await daemon.listener(NAME))["split"] == {STABLE: 60, CANARY: 40}


async def test_a_pause_step_waits_for_a_person_and_promote_skips_the_rest(run_daemon):
    steps = [{"weight": 10}, {"pause": True}, {"weight": 40}, {"pause": True}, {"weight": 60}]
    quick = {"every": "100ms", "checks": []}
    async with versions() as (one, two):
        doc = canary_document(one, two, {"steps": steps, "analysis": quick})
        async with run_daemon(doc) as daemon:
            view = await until_state(daemon, "paused")
            assert (view["step"], view["weight"]) == (2, 10)
            await asyncio.sleep(0.5)
            assert (await rollout(daemon))["step"] == 2
            await command(daemon, "resume")
            view = await until_state(daemon, "paused", step=4)
            assert view["weight"] == 40
            await command(daemon, "promote")
            await until_state(daemon, "succeeded")
            assert (await daemon.listener(NAME))["split"] == {STABLE: 0, CANARY: 100}
            await command(daemon, "rollback")
            await until_state(daemon, "rolled_back")
            assert (await daemon.listener(NAME))["split"] == {STABLE: 100, CANARY: 0}


async def test_too_little_traffic_holds_the_step_until_there_is_some(run_daemon):
    async with versions() as (one, two):
        doc = canary_document(one, two, plan("200ms", "400ms", 50))
        async with run_daemon(doc) as daemon:
            await until_state(daemon, "running")
            await asyncio.sleep(1.5)
            view = await rollout(daemon)
            assert (view["state"], view["step"]) == ("running", 1)
            assert "samples" in view["waits_for"]
            async with Rate([await daemon.port(NAME)], 200, question=b"?"):
                await until_state(daemon, "succeeded", within_s=20)


async def test_the_preview_port_goes_to_the_canary_alone_and_ends_with_the_rollout(run_daemon):
    async with versions() as (one, two):
        steps = [{"experiment": True, "hold": "200ms"}, {"pause": True}, {"weight": 100}]
        quick = {"every": "200ms", "checks": []}
        doc = canary_document(one, two, {"steps": steps, "analysis": quick})
        async with run_daemon(doc) as daemon:
            view = await until_state(daemon, "paused")
            assert view["weight"] == 0
            preview = view["preview"]
            assert preview["state"] == "asleep"
            async with Rate([preview["port"]], 100, question=b"?") as load:
                await asyncio.sleep(0.5)
                assert set((await load.stop()).answers) == {"v2"}
            async with Rate([await daemon.port(NAME)], 100, question=b"?") as load:
                await asyncio.sleep(0.5)
                assert set((await load.stop()).answers) == {"v1"}
            assert (await daemon.listener("acme/web.preview"))["state"] == "open"
            await command(daemon, "promote")
            assert (await until_state(daemon, "succeeded"))["preview"] is None

            async def gone() -> bool:
                return all(v["listener"] != "web.preview" for v in await daemon.items("listeners"))

            await until(gone, within_s=10)


async def test_a_canary_is_judged_by_its_preview_port_while_it_is_an_experiment(run_daemon):
    async with versions("closes") as (one, two):
        steps = [{"experiment": True, "hold": "60s"}, {"weight": 50}]
        doc = canary_document(
            one, two, {"steps": steps, "analysis": {"every": "500ms", "checks": CHECKS}}
        )
        async with run_daemon(doc) as daemon:
            view = await until_state(daemon, "running")
            ports = [await daemon.port(NAME), view["preview"]["port"]]
            async with (
                Rate(ports[:1], 200, question=b"?") as everybody,
                Rate(ports[1:], 200, question=b"?"),
            ):
                view = await until_state(daemon, "rolled_back", within_s=30)
                assert (await everybody.stop()).failed == {}
            assert "early_closes" in view["cause"]


@sizes("connections,share", (20, 0.25), (200, 0.8), timeout_s=200)
async def test_long_connections_follow_the_weights_at_the_pace_asked_for(
    run_daemon, connections, share
):
    """Clients that stay for ever come back when they are drained, and then go by the weights."""
    async with versions() as (one, two):
        doc = canary_document(one, two, plan("60s", "10m", 90, start="manual", rebalance="100%/m"))
        async with run_daemon(doc) as daemon:
            port = await daemon.port(NAME)
            ended = asyncio.Event()
            lost = 0

            async def stay() -> None:
                nonlocal lost
                while not ended.is_set():
                    wire = await dial(port)
                    await wire.send(b"?")
                    assert await wire.receive() in (b"v1", b"v2")
                    over = asyncio.ensure_future(wire.receive())
                    end = asyncio.ensure_future(ended.wait())
                    await asyncio.wait((over, end), return_when=asyncio.FIRST_COMPLETED)
                    over.cancel()
                    end.cancel()
                    await asyncio.gather(over, end, return_exceptions=True)
                    lost += not ended.is_set()
                    wire.close()

            stays = [asyncio.ensure_future(stay()) for _ in range(connections)]
            try:
                await asyncio.sleep(1)
                await command(daemon, "start")

                async def even() -> bool:
                    view = await rollout(daemon)
                    return view["canary"]["connections"] >= connections * share

                await until(even, within_s=150)
                view = await rollout(daemon)
                print(
                    f"{view['stable']['connections']}:{view['canary']['connections']}, {lost} moved"
                )
                closed = (await daemon.listener(NAME))["closed"]
                assert closed["rebalanced"] == lost
                assert lost <= connections * 1.2
            finally:
                ended.set()
                for one_done in await asyncio.gather(*stays, return_exceptions=True):
                    assert one_done is None, one_done
