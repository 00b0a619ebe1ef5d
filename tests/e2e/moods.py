"""An upstream server whose behaviour changes while it runs: well, dead, resetting, silent, slow.

It keeps its port in every mood, so an endpoint can be broken and mended under a running daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Literal

from tests.e2e.upstreams import Server, swallow
from tests.e2e.wire import Wire

Mood = Literal["well", "refuse", "reset", "silent", "trickle"]
TRICKLE_S = 0.02
"""Pause between two bytes."""


class Moody:
    """Answers each question with its name, when it is well."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.mood: Mood = "refuse"
        self.port = 0
        self.accepted = 0
        self._server: Server | None = None
        self._keeper: socket.socket | None = None

    async def turn(self, mood: Mood) -> None:
        """Be in this mood for connections from now on; those that live keep theirs.

        Turning to `refuse` closes the listening socket and resets live connections, as a server
        that dies does.
        """
        if mood == "refuse" and self._server is not None:
            self.accepted += self._server.accepted
            await self._server.stop()
            self._server = None
            self._keep()
        elif mood != "refuse" and self._server is None:
            if self._keeper is not None:
                self._keeper.close()
                self._keeper = None
            self._server = Server(self._serve)
            self._server.start(self.port)
            self.port = self._server.port
        self.mood = mood

    async def close(self) -> None:
        if self._server is not None:
            await self._server.stop()
        if self._keeper is not None:
            self._keeper.close()

    def _keep(self) -> None:
        """Hold the port without listening: whoever connects is refused, nobody else gets it."""
        self._keeper = socket.socket()
        self._keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._keeper.bind(("127.0.0.1", self.port))

    async def _serve(self, wire: Wire) -> None:
        match self.mood:
            case "reset":
                wire.reset()
            case "silent":
                await swallow(wire)
            case "trickle":
                for byte in self.name.encode():
                    await wire.send(bytes((byte,)))
                    await asyncio.sleep(TRICKLE_S)
            case _:
                if await wire.receive(64):
                    await wire.send(self.name.encode())
                    while await wire.receive():
                        pass


@contextlib.asynccontextmanager
async def moody(name: str, mood: Mood = "well") -> AsyncIterator[Moody]:
    """Run one on the present loop; it begins well, which gives it its port."""
    server = Moody(name)
    await server.turn("well")
    await server.turn(mood)
    try:
        yield server
    finally:
        await server.close()


@contextlib.asynccontextmanager
async def flapping(server: Moody, every_s: float) -> AsyncIterator[None]:
    """Let a server die and come back, `every_s` each; in the end it is well."""

    async def flap() -> None:
        while True:
            await server.turn("refuse")
            await asyncio.sleep(every_s)
            await server.turn("well")
            await asyncio.sleep(every_s)

    task = asyncio.ensure_future(flap())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.turn("well")
