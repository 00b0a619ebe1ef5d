"""A daemon that dies in the middle of a rollout: the next one never gives the canary more."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal

import pytest

from tests.e2e.canaries import (
    CANARY,
    NAME,
    canary_document,
    command,
    office,
    rollout,
    until_state,
    versions,
)
from tests.e2e.daemon import Daemon
from tests.e2e.wire import dial

QUICK = {"every": "200ms", "checks": []}
STEPS = [{"weight": 10, "hold": "100ms"}, {"pause": True}, {"weight": 40, "hold": "1h"}]


async def waiting(daemon: Daemon) -> None:
    await until_state(daemon, "waiting")


async def running(daemon: Daemon) -> None:
    await command(daemon, "start")
    await until_state(daemon, "paused")
    await command(daemon, "resume")
    await until_state(daemon, "running", step=3)


async def paused(daemon: Daemon) -> None:
    await command(daemon, "start")
    await until_state(daemon, "paused")


async def promoting(daemon: Daemon) -> None:
    await running(daemon)
    await command(daemon, "promote")
    assert (await rollout(daemon))["state"] in ("promoting", "succeeded")


async def succeeded(daemon: Daemon) -> None:
    await promoting(daemon)
    await until_state(daemon, "succeeded")


async def aborted(daemon: Daemon) -> None:
    await running(daemon)
    await command(daemon, "abort")
    await until_state(daemon, "aborted")


async def rolling_back(daemon: Daemon) -> None:
    """A connection that the canary has keeps the rollback from its end."""
    await running(daemon)
    port = await daemon.port(NAME)
    for _ in range(50):
        wire = await dial(port)
        daemon.held.append(wire)
        await wire.send(b"?")
        if await wire.receive() == b"v2":
            break
    await command(daemon, "abort")
    assert (await rollout(daemon))["state"] == "rolling_back"


async def failed(daemon: Daemon) -> None:
    """The gate before the start says no until the deadline."""
    daemon.answers["/may-start"] = 409
    await command(daemon, "start")
    await until_state(daemon, "failed")


async def rolled_back(daemon: Daemon) -> None:
    await succeeded(daemon)
    await command(daemon, "rollback")
    await until_state(daemon, "rolled_back")


STATES = (
    waiting, running, paused, promoting, succeeded, rolling_back, aborted, rolled_back, failed,
)  # fmt: skip
QUICKLY = {(running, "auto"), (promoting, "auto"), (aborted, "manual")}


@pytest.mark.parametrize(
    ("reach", "start"),
    [
        pytest.param(
            *one,
            id=f"{one[0].__name__}-{one[1]}",
            marks=() if one in QUICKLY else [pytest.mark.trial],
        )
        for one in itertools.product(STATES, ("manual", "auto"))
    ],
)
async def test_after_a_kill_the_canary_gets_no_more_than_in_the_step_it_was_in(
    folder, reach, start
):
    """The document says 0 for the canary, so the next daemon begins again, from the beginning."""
    answers = {"/may-start": 200}
    async with versions() as (one, two), office([], answers) as gate:
        first = {
            "steps": STEPS,
            "analysis": QUICK,
            "start": "manual",
            "gates": {"before_start": {"url": f"http://127.0.0.1:{gate}/may-start"}},
            "deadline": "1s",
            "canary_connections": "drain",
        }
        doc = canary_document(one, two, first)
        daemon = Daemon(folder, doc, fails_to_stop=True)
        daemon.answers, daemon.held = answers, []
        async with daemon:
            await reach(daemon)
            assert (await rollout(daemon))["state"] in (reach.__name__, "succeeded")
            answers["/may-start"] = 200
            was = await rollout(daemon)
            step_weight = max(was["weight"], 10)
            os.kill(daemon.pid, signal.SIGKILL)
            await daemon.wait_end()
        for wire in daemon.held:
            wire.close()
        doc["tenants"]["acme"]["listeners"]["web"]["rollout"]["start"] = start
        async with Daemon(folder, doc) as after:
            for _ in range(20):
                view = await rollout(after)
                split = (await after.listener(NAME))["split"]
                assert split[CANARY] <= step_weight, view
                assert view["weight"] <= step_weight, view
                await asyncio.sleep(0.05)
            assert view["state"] == ("waiting" if start == "manual" else "paused"), view
            assert view["weight"] == (0 if start == "manual" else 10)


async def test_a_document_that_says_what_a_rollout_reached_is_taken_up_from_there(run_daemon):
    async with versions() as (one, two):
        doc = canary_document(one, two, {"steps": STEPS, "analysis": QUICK})
        web = doc["tenants"]["acme"]["listeners"]["web"]
        web["split"] = {"web-v1": 60, "web-v2": 40}
        async with run_daemon(doc) as daemon:
            view = await until_state(daemon, "running")
            assert (view["step"], view["weight"]) == (3, 40)
            web["split"] = {"web-v1": 0, "web-v2": 100}
            await command(daemon, "abort")
            daemon.write(doc)
            await asyncio.sleep(2)
            assert (await daemon.listener(NAME))["split"] == {"web-v1": 0, "web-v2": 100}
