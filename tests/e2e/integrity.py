"""Random conversations whose every byte is accounted for at both ends.

The client opens with a header that says how long both directions are and who
ends how; then both sides write at once, in random sizes, and hash what they
send and what they receive.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import struct
from collections import Counter
from dataclasses import dataclass

from tests.e2e.upstreams import POOL
from tests.e2e.wire import CHUNK, Wire, dial

HEADER = struct.Struct("!IIIB")
MIB = 1 << 20
ENDINGS = ("client_half_closes", "server_half_closes", "client_closes", "server_closes")
RESETS = ("client_resets", "server_resets")
_ALL = ENDINGS + RESETS
STOOD_STILL = "stood still until it was reset by us"
TORN_WITHIN_S = 60
"""A talk that ends in a reset ends so by then, wherever it is. Its end that writes and never reads
can stand still for good: its kernel took the window back for want of room (ICSK_ACK_NOMEM) while a
segment shorter than the window's scale was under way, so every ACK bears a number behind the window
and is dropped (tcp_sequence, tcp_acceptable_seq; Linux 6.18). No proxy can help that."""


@dataclass(frozen=True, slots=True)
class Talk:
    """What one connection is to do."""

    number: int
    up: int
    down: int
    ending: str
    """`*_half_closes`: FIN after the last byte written, go on reading; `*_closes`: close()
    when both directions are complete; `*_resets`: RST in the middle."""


@dataclass(frozen=True, slots=True)
class Account:
    """What one end saw of it."""

    number: int
    sent: int
    received: int
    sent_hash: str
    received_hash: str
    end: str = "whole"


def random_talks(
    count: int, largest: int, endings: tuple[str, ...], *, seed: int, first: int = 0
) -> list[Talk]:
    """Return talks of 0 to `largest` bytes each way, both limits among them."""
    rng = random.Random(seed)

    def size() -> int:
        kind = rng.random()
        if kind < 0.03:
            return 0
        if kind < 0.06:
            return largest
        if kind < 0.2:
            return rng.randint(0, largest)
        return int(largest ** rng.random())

    return [Talk(first + n, size(), size(), rng.choice(endings)) for n in range(count)]


class _Side:
    """One end: both directions at once."""

    def __init__(self, wire: Wire, seed: int) -> None:
        self.wire = wire
        self.rng = random.Random(seed)
        self.sent = self.received = 0
        self.out, self.come = hashlib.sha256(), hashlib.sha256()

    async def raw(self, data: bytes | memoryview) -> None:
        await self.wire.send(data)
        self.sent += len(data)
        self.out.update(data)

    async def write(self, length: int) -> None:
        """Send `length` bytes in random sizes, with pauses now and then."""
        rng, view = self.rng, memoryview(POOL)
        coarsest = max(1, length // 2000, int(CHUNK ** rng.random()))
        while length:
            size = min(length, rng.randint(1, coarsest))
            start = rng.randint(0, len(POOL) - size)
            await self.raw(view[start : start + size])
            length -= size
            if rng.random() < 0.02:
                await asyncio.sleep(rng.random() * 0.01)

    async def tear(self, length: int) -> str:
        """Send `length` bytes, or as many as can be sent in time, and reset; return the end."""
        end = "reset by us"
        try:
            async with asyncio.timeout(TORN_WITHIN_S) as limit:
                await self.write(length)
        except TimeoutError:
            if not limit.expired():
                raise
            end = STOOD_STILL
        self.wire.reset()
        return end

    async def read(self, length: int | None) -> None:
        """Take exactly `length` bytes, or all up to the end."""
        buffer = bytearray(CHUNK)
        view = memoryview(buffer)
        left = length
        while left is None or left > 0:
            got = await self.wire.receive_into(view if left is None else view[: min(CHUNK, left)])
            if not got:
                return
            self.received += got
            self.come.update(view[:got])
            if left is not None:
                left -= got

    def account(self, number: int, end: str = "whole") -> Account:
        return Account(
            number, self.sent, self.received, self.out.hexdigest(), self.come.hexdigest(), end
        )


async def _both(*work: asyncio.Future[None]) -> None:
    """Run both directions; when one fails, the other is cancelled too."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def converse(wire: Wire) -> Account | None:
    """Be the server's end of a talk; the record is its account."""
    side = _Side(wire, 0)
    header = await wire.exactly(HEADER.size)
    if len(header) < HEADER.size:
        return None
    side.received += len(header)
    side.come.update(header)
    number, up, down, how = HEADER.unpack(header)
    side.rng.seed(number)
    ending = _ALL[how]
    try:
        if ending == "server_resets":
            return side.account(number, await side.tear(down // 2))

        async def write() -> None:
            await side.write(down)
            if ending == "server_half_closes":
                wire.finish()

        await _both(write(), side.read(None if ending != "server_closes" else up))
    except ConnectionError as error:
        return side.account(number, type(error).__name__)
    return side.account(number)


async def _talk(port: int, talk: Talk) -> Account:
    wire = await dial(port, timeout_s=60)
    side = _Side(wire, ~talk.number)
    ending = talk.ending
    try:
        header = HEADER.pack(talk.number, talk.up, talk.down, _ALL.index(ending))
        await side.raw(header)
        if ending == "client_resets":
            return side.account(talk.number, await side.tear(talk.up // 2))

        async def write() -> None:
            await side.write(talk.up)
            if ending == "client_half_closes":
                wire.finish()

        to_the_end = ending in ("server_half_closes", "server_closes", "server_resets")
        await _both(write(), side.read(None if to_the_end else talk.down))
    except ConnectionError as error:
        return side.account(talk.number, type(error).__name__)
    finally:
        wire.close()
    return side.account(talk.number)


async def hold_talks(
    work: list[tuple[int, Talk]], at_once: int, deadline_s: float
) -> tuple[list[Account], Counter[str]]:
    """Have every (port, talk), `at_once` at a time; return the accounts and what went wrong."""
    turns = asyncio.Semaphore(at_once)
    trouble: Counter[str] = Counter()
    accounts: list[Account] = []

    async def one(port: int, talk: Talk) -> None:
        async with turns:
            try:
                async with asyncio.timeout(deadline_s):
                    accounts.append(await _talk(port, talk))
            except OSError as error:
                trouble[f"{talk.ending}: {type(error).__name__}"] += 1

    await asyncio.gather(*(one(port, talk) for port, talk in work))
    return accounts, trouble


def compare(clients: list[Account], servers: list[Account]) -> list[str]:
    """Return every difference between the two ends of the talks that ended whole."""
    theirs = {account.number: account for account in servers}
    wrong = []
    for ours in clients:
        other = theirs.get(ours.number)
        if other is None:
            wrong.append(f"{ours.number}: the server has no account of it")
        elif (ours.end, other.end) != ("whole", "whole"):
            wrong.append(f"{ours.number}: ended {ours.end} / {other.end}: {ours} / {other}")
        elif ours.sent_hash != other.received_hash or ours.received_hash != other.sent_hash:
            wrong.append(f"{ours.number}: bytes differ: {ours} / {other}")
    return wrong
