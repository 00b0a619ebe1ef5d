"""New connections by rate or by count, and what became of each of them."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from tests.e2e.wire import dial

OUTCOMES = ("served", "refused", "reset", "closed", "timeout", "wrong")
"""`refused`: at connect, so the client knows that nobody took it. `reset`, `closed`: accepted
and then dropped without an answer, which a client cannot tell from a lost request."""


@dataclass(slots=True)
class Load:
    """Outcomes of many connections."""

    outcomes: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    failures: list[tuple[float, int, str]] = field(default_factory=list)
    """(seconds since the start, port, outcome) of everything not served, the first 100."""

    @property
    def failed(self) -> dict[str, int]:
        return {name: n for name, n in self.outcomes.items() if name != "served"}


async def try_once(
    port: int, *, question: bytes = b"", deadline_s: float = 15.0
) -> tuple[str, str]:
    """Connect, send, take the first bytes of the answer; return outcome and answer."""
    connected = False
    try:
        async with asyncio.timeout(deadline_s):
            wire = await dial(port, timeout_s=deadline_s)
            connected = True
            try:
                if question:
                    await wire.send(question)
                answer = await wire.receive(64)
            finally:
                wire.close()
    except ConnectionRefusedError:
        return "refused", ""
    except TimeoutError:
        return "timeout", ""
    except (ConnectionResetError, BrokenPipeError):
        return ("reset" if connected else "refused"), ""
    return ("served", answer.decode()) if answer else ("closed", "")


class Rate:
    """`rate` new connections a second, in turn over the ports, until `stop` is called."""

    def __init__(self, ports: Sequence[int], rate: float, *, question: bytes = b"") -> None:
        self.ports, self.rate, self.question = ports, rate, question
        self.load = Load()
        self._tasks: set[asyncio.Task[None]] = set()
        self._driver: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._driver = asyncio.ensure_future(self._drive())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> Load:
        """Start no more and wait for those on their way."""
        if self._driver is not None:
            self._driver.cancel()
            await asyncio.gather(self._driver, return_exceptions=True)
            self._driver = None
        await asyncio.gather(*self._tasks)
        return self.load

    async def _drive(self) -> None:
        start, number = time.monotonic(), 0
        while True:
            # An open loop: what the schedule asks for is started, however slow answers are.
            while number < (time.monotonic() - start) * self.rate:
                port = self.ports[number % len(self.ports)]
                task = asyncio.ensure_future(self._one(port, start))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                number += 1
            await asyncio.sleep(0.002)

    async def _one(self, port: int, start: float) -> None:
        began = time.monotonic()
        outcome, answer = await try_once(port, question=self.question)
        load = self.load
        load.outcomes[outcome] += 1
        if outcome == "served":
            load.answers[answer] += 1
            load.slowest_s = max(load.slowest_s, time.monotonic() - began)
        elif len(load.failures) < 100:
            load.failures.append((began - start, port, outcome))


async def load_for(
    ports: Sequence[int], rate: float, duration_s: float, *, question: bytes = b""
) -> Load:
    """Run a `Rate` for a time."""
    async with Rate(ports, rate, question=question) as running:
        await asyncio.sleep(duration_s)
        return await running.stop()


def burst(port: int, count: int, threads: int = 8) -> Counter[str]:
    """Open `count` connections as fast as they go; count the answers (or exceptions)."""
    answers: Counter[str] = Counter()
    lock = threading.Lock()

    def work(mine: int) -> None:
        seen: Counter[str] = Counter()
        for _ in range(mine):
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
                    seen[sock.recv(64).decode() or "closed"] += 1
            except OSError as error:
                seen[type(error).__name__] += 1
        with lock:
            answers.update(seen)

    shares = [count // threads + (n < count % threads) for n in range(threads)]
    workers = [threading.Thread(target=work, args=(share,)) for share in shares]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return answers


async def hammer(ports: Sequence[int], threads: int, most_s: float) -> Counter[str]:
    """Connect without a pause until the port refuses; count what became of each connection.

    `refused` is the only honest end: every connection before it was answered.
    """
    outcomes: Counter[str] = Counter()
    until = time.monotonic() + most_s

    def work(port: int) -> None:
        while time.monotonic() < until:
            outcome = _blocking_try(port)
            outcomes[outcome] += 1
            if outcome == "refused":
                return

    await asyncio.gather(*(asyncio.to_thread(work, ports[n % len(ports)]) for n in range(threads)))
    return outcomes


def _blocking_try(port: int) -> str:
    try:
        sock = socket.create_connection(("127.0.0.1", port), timeout=20)
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return f"not connected: {type(error).__name__}"
    with sock:
        try:
            return "served" if sock.recv(64) else "closed"
        except OSError as error:
            return f"lost: {type(error).__name__}"
