"""Versions of a service for rollouts, good and bad ones, and questions about a rollout."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from tests.e2e import ports
from tests.e2e.apart import serving_apart
from tests.e2e.daemon import Daemon, document, until
from tests.e2e.upstreams import Behaviour
from tests.e2e.wire import Wire

Fault = Literal["none", "resets", "slow", "closes", "refuses"]
THINKS_S = 0.004
"""What a good server needs for an answer, give or take a half."""
ENDED = ("succeeded", "rolled_back", "failed", "aborted")

NAME = "acme/web"
STABLE, CANARY = "web-v1", "web-v2"


def version(name: str, fault: Fault = "none") -> Behaviour:
    """Return a server that answers each question with its name.

    `resets`: 1 of 20 connections; `slow`: three times as long to the first byte; `closes`: with
    nothing said, 1 of 5.
    """
    return functools.partial(_version, name.encode(), fault)


async def _version(name: bytes, fault: Fault, wire: Wire) -> None:
    if not await wire.receive(64):
        return
    await asyncio.sleep(THINKS_S * random.uniform(0.5, 1.5) * (3 if fault == "slow" else 1))
    if fault == "resets" and random.random() < 0.05:
        wire.reset()
        return
    if fault == "closes" and random.random() < 0.2:
        return
    await wire.send(name)
    while await wire.receive():
        pass


@contextlib.asynccontextmanager
async def nobody() -> AsyncIterator[int]:
    """Give a port that refuses, and that nobody else gets."""
    with socket.socket() as keeper:
        keeper.bind(("127.0.0.1", 0))
        yield keeper.getsockname()[1]


@contextlib.asynccontextmanager
async def versions(fault: Fault = "none") -> AsyncIterator[tuple[int, int]]:
    """Run both versions, each in its process, the canary with this fault; give their ports."""
    async with contextlib.AsyncExitStack() as stack:
        one = await stack.enter_async_context(serving_apart(version, "v1"))
        if fault == "refuses":
            yield one.port, await stack.enter_async_context(nobody())
        else:
            two = await stack.enter_async_context(serving_apart(version, "v2", fault))
            yield one.port, two.port


def canary_document(stable: int, canary: int, rollout: dict[str, Any], **listener: Any) -> dict:
    """Return a document of one tenant whose listener `web` has the rollout."""
    plan = {"from": STABLE, "to": CANARY, **rollout}
    tenants = {
        "acme": {
            "upstreams": {
                STABLE: {"endpoints": [f"127.0.0.1:{stable}"]},
                CANARY: {"endpoints": [f"127.0.0.1:{canary}"]},
            },
            "listeners": {
                "web": {
                    "split": {STABLE: 100, CANARY: 0},
                    "open": "always",
                    "rollout": plan,
                    **listener,
                }
            },
        }
    }
    return document(tenants)


async def rollout(daemon: Daemon, name: str = NAME) -> dict[str, Any]:
    """Return the rollout of a listener."""
    owner, listener = name.split("/")
    return await daemon.api("GET", f"tenants/{owner}/listeners/{listener}/rollout")


async def command(daemon: Daemon, verb: str, name: str = NAME) -> dict[str, Any]:
    """POST `start`, `pause`, `resume`, `promote`, `abort` or `rollback`."""
    owner, listener = name.split("/")
    return await daemon.api("POST", f"tenants/{owner}/listeners/{listener}/rollout/{verb}")


async def until_state(
    daemon: Daemon, *states: str, step: int | None = None, within_s: float = 60.0
) -> dict[str, Any]:
    """Wait until the rollout is in one of the states, and in the step; return it."""
    seen: dict[str, Any] = {}

    async def look() -> dict[str, Any] | None:
        nonlocal seen
        seen = await rollout(daemon)
        there = seen["state"] in states and step in (None, seen["step"])
        return seen if there else None

    def say() -> str:
        return f"{seen.get('state')}, step {seen.get('step')}: {seen.get('reason')}"

    return await until(look, within_s=within_s, every_s=0.02, say=say)


@dataclass
class History:
    """What a rollout was seen to be, one entry for each change of state or step."""

    seen: list[tuple[str, int, int]] = field(default_factory=list)
    """(state, step, weight)."""
    opened: dict[int, dict[str, int]] = field(default_factory=dict)
    """By step: connections to stable and canary, as last seen in it."""
    at_s: dict[str, float] = field(default_factory=dict)
    """First time that each state was seen."""


@contextlib.asynccontextmanager
async def watched(daemon: Daemon) -> AsyncIterator[History]:
    """Look at the rollout all the time."""
    history = History()

    async def watch() -> None:
        while True:
            view = await rollout(daemon)
            entry = (view["state"], view["step"], view["weight"])
            if not history.seen or history.seen[-1] != entry:
                history.seen.append(entry)
                history.at_s.setdefault(view["state"], time.monotonic())
            if view["state"] == "running":
                history.opened[view["step"]] = {
                    STABLE: view["stable"]["opened"],
                    CANARY: view["canary"]["opened"],
                }
            await asyncio.sleep(0.03)

    task = asyncio.ensure_future(watch())
    try:
        yield history
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def office(said: list[tuple[str, dict]], answers: dict[str, int]) -> AsyncIterator[int]:
    """Run who is asked: keeps what was said, answers as told, and 404 to what it does not know."""

    async def hear(request: web.Request) -> web.Response:
        said.append((request.path, await request.json()))
        status = answers.get(request.path, 404)
        return web.Response(status=status, text="not yet" if status >= 400 else "fine")

    app = web.Application()
    app.router.add_post("/{rest:.*}", hear)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port := ports.block(1))
        await site.start()
        yield port
    finally:
        await runner.cleanup()
