"""One conversation at random, and what must be true of it whatever happens.

Each end sends, stops reading, reads on, says FIN or resets; meanwhile the
engine may be told to kill it, to drain it, to let it idle, or to change its
split. What an end sends at place n is the n-th byte of a fixed stream, so that
each byte that arrives is compared.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import socket
from collections import deque
from collections.abc import Callable

from tenantproxy.dataplane import messages as m
from tests.dataplane.support import Rig, listener, reset

MIB = 1 << 20
_PERIOD = MIB + 7
_STREAM = hashlib.shake_256(b"storm").digest(_PERIOD)
_TWICE = memoryview(_STREAM * 2)
CHUNK = 1 << 18
_STEPS = 30 * ["small"] + 10 * ["burst"] + 8 * ["big", "stop", "read"] + 3 * ["fin", "rst"]
_STEPS += ["kill", "idle"] + 2 * ["drain"] + 4 * ["update"]
PATIENCE_S = 40.0
"""Longer than the relay waits for a dead connection's last bytes."""


class End:
    """One socket: a queue of what to send, and a reader that can be stopped."""

    def __init__(self, name: str, sock: socket.socket) -> None:
        self.name = name
        self.sock = sock
        self.loop = asyncio.get_running_loop()
        self.sent = self.received = 0
        self.said_fin = self.has_reset = False
        self.saw = ""
        """`fin` or `rst`, once the other way has ended."""
        self.wrong = ""
        self.reading = asyncio.Event()
        self.reading.set()
        self._told_by_sending = False
        self._queue: deque[int | None] = deque()
        self._more = asyncio.Event()
        self._tasks = [
            asyncio.ensure_future(self._send()),
            asyncio.ensure_future(self._read()),
        ]

    def send(self, length: int) -> None:
        """Send so many bytes, after what is queued."""
        self._queue.append(length)
        self._more.set()

    def fin(self) -> None:
        """Say FIN after what is queued."""
        self._queue.append(None)
        self._more.set()

    def rst(self) -> None:
        """Reset now."""
        self.has_reset = True
        self.loop.remove_reader(self.sock.fileno())
        self.loop.remove_writer(self.sock.fileno())
        for task in self._tasks:
            task.cancel()
        reset(self.sock)

    async def over(self) -> None:
        """Return when the other way has ended."""
        with contextlib.suppress(asyncio.CancelledError):
            await self._tasks[1]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.sock.close()

    async def _send(self) -> None:
        try:
            while True:
                while not self._queue:
                    self._more.clear()
                    await self._more.wait()
                length = self._queue.popleft()
                if length is None:
                    self.sock.shutdown(socket.SHUT_WR)
                    self.said_fin = True
                    return
                while length:
                    at = self.sent % _PERIOD
                    piece = min(length, CHUNK)
                    try:
                        took = self.sock.send(_TWICE[at : at + piece])
                    except BlockingIOError:
                        await self._ready(self.loop.add_writer, self.loop.remove_writer)
                        continue
                    self.sent += took
                    length -= took
        except ConnectionError:
            self._told_by_sending = True  # the reader is told no more than that there is no more
        except OSError:
            pass  # shutdown of what was reset before

    async def _ready(self, add: Callable[..., None], remove: Callable[[int], object]) -> None:
        # Not the loop's own calls on sockets: those put a close off.
        ready = self.loop.create_future()
        fd = self.sock.fileno()
        add(fd, lambda: ready.done() or ready.set_result(None))
        try:
            await ready
        finally:
            if self.sock.fileno() == fd:
                remove(fd)

    async def _read(self) -> None:
        view = memoryview(bytearray(CHUNK))
        while not self.saw:
            await self.reading.wait()
            try:
                got = self.sock.recv_into(view)
            except BlockingIOError:
                await self._ready(self.loop.add_reader, self.loop.remove_reader)
                continue
            except ConnectionError:
                self.saw = "rst"
                return
            if not got:
                self.saw = "rst" if self._told_by_sending else "fin"
            at = self.received % _PERIOD
            if view[:got] != _TWICE[at : at + got] and not self.wrong:
                self.wrong = f"{self.name}: wrong bytes after {self.received}"
            self.received += got
            await asyncio.sleep(0)


class Talk:
    """A client and a server with a listener of their own, number 1 to 7."""

    def __init__(self, rig: Rig, number: int, client: End, server: End) -> None:
        self.rig = rig
        self.number = number
        self.client, self.server = client, server
        self.story: list[str] = []
        self.cut = ""
        """`kill`, `drain` or `idle`, once that was ordered."""

    @property
    def ends(self) -> tuple[End, End]:
        return self.client, self.server

    async def chat(self, rounds: int, dice: random.Random) -> None:
        """Take turns, and wait for each word."""
        for _ in range(rounds):
            for a, b in (self.ends, self.ends[::-1]):
                a.send(dice.randrange(1, 2000))
                while a._queue or b.received < a.sent:
                    await asyncio.sleep(0)

    async def storm(self, steps: int, dice: random.Random) -> None:
        """Do random things; afterwards both read again, and both have ended one way or other."""
        for _ in range(steps):
            self._step(dice)
            if self.cut or any(end.has_reset for end in self.ends):
                break
            await asyncio.sleep(dice.choice((0, 0, 0, 0.001, 0.003, 0.02)))
        await asyncio.sleep(dice.choice((0, 0, 0.002, 0.05)))
        for end in dice.sample(self.ends, 2):
            end.reading.set()
            if self.cut != "idle" and not end.has_reset:
                end.fin()
            await asyncio.sleep(dice.choice((0, 0, 0.002)))

    def _step(self, dice: random.Random) -> None:
        end = dice.choice(self.ends)
        what = dice.choice(_STEPS)
        self.story.append(f"{what}:{end.name}")
        match what:
            case "small":
                end.send(dice.randrange(1, 3000))
            case "burst":
                for _ in range(dice.randrange(20)):
                    end.send(dice.randrange(1, 20_000))
            case "big":
                end.send(dice.randrange(MIB, 4 * MIB))
            case "stop":
                end.reading.clear()
            case "read":
                end.reading.set()
            case "fin":
                end.fin()
            case "rst":
                end.rst()
            case _:
                self._order(what, dice)

    def _order(self, what: str, dice: random.Random) -> None:
        number, order = self.number, self.rig.order
        match what:
            case "update":
                order(m.UpdateListeners((listener(number, {number: dice.randrange(1, 9)}),)))
                return
            case "kill":
                order(m.EndConnections((number,), "kill", 0, forget=False))
            case "drain":
                window_s = dice.choice((0.0, 0.01, 0.05))
                order(m.EndConnections((number,), "drain", window_s, forget=False))
            case "idle":
                changed = listener(number, {number: 1}, idle_timeout_s=0.05)
                order(m.UpdateListeners((changed,)))
        self.cut = what

    def complaints(self, counted_in: int, counted_out: int) -> list[str]:
        """Say what is wrong, now that all is over; `counted` is what the books say."""
        told = [end.wrong for end in self.ends if end.wrong]
        any_reset = any(end.has_reset for end in self.ends)
        for a, b, counted in (
            (self.client, self.server, counted_in),
            (self.server, self.client, counted_out),
        ):
            way = f"{a.name} to {b.name}: sent {a.sent}, counted {counted}, got {b.received}"
            if not b.received <= counted <= a.sent:
                told.append(f"{way}, miscounted")
            if b.has_reset:
                continue
            if not b.saw:
                told.append(f"{way}, and it never ended")
            elif b.saw == "rst":
                if not any_reset and not self.cut:
                    told.append(f"{way}, reset by nobody")
                elif not self.cut and a.has_reset and b.received != counted:
                    told.append(f"{way}, cut by a reset")
            elif a.has_reset and not a.said_fin:
                told.append(f"{way}, a reset came as FIN")
            elif b.received != counted:
                told.append(f"{way}, cut short")
            elif not self.cut and b.received != a.sent:
                told.append(f"{way}, not whole")
        if told:
            told.append(" ".join(self.story))
        return told
