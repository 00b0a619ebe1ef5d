"""Looks at a rollout again whenever an event says that it moved, and now and then without one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from tenantproxy.cli.client import Client
from tenantproxy.cli.look import events_of_rollout, of_rollout, rollout_path
from tenantproxy.cli.output import Item
from tenantproxy.tasks import Background


@dataclass(frozen=True, slots=True)
class Look:
    """A rollout as it is, and the event that led there."""

    item: Item
    event: Item | None = None
    """None: time has passed, or see `past`."""
    past: Sequence[Item] | None = None
    """When the stream begins, and when some were missed: every event that is kept of it."""


async def looks(
    client: Client, tenant: str, listener: str, *, every_s: float
) -> AsyncGenerator[Look, None]:
    """Yield the rollout at once, after each of its events, and after `every_s` without one.

    Raises:
        NotFound: there is none, or none any more.
        ServerUnreachable: the daemon went away.
    """
    told: asyncio.Queue[Item | BaseException | None] = asyncio.Queue()
    background = Background(lambda _name, error: told.put_nowait(error))
    # Read in a task of its own: a time-out would end the generator of events in mid-air.
    background.start(_read(client, tenant, listener, told), name="events")
    path = rollout_path(tenant, listener)
    try:
        while True:
            try:
                async with asyncio.timeout(every_s):
                    found = await told.get()
            except TimeoutError:
                yield Look(await client.get(path))
                continue
            if isinstance(found, BaseException):
                raise found
            item = await client.get(path)
            past = await events_of_rollout(client, item) if found is None else None
            yield Look(item, found, past)
    finally:
        await background.close()


async def _read(
    client: Client,
    tenant: str,
    listener: str,
    told: asyncio.Queue[Item | BaseException | None],
) -> None:
    async with aclosing(client.events(tenant=tenant)) as stream:
        async for event in stream:
            if event is None or of_rollout(event, tenant, listener):
                told.put_nowait(event)
