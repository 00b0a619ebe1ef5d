"""The worker processes: started, replaced, and spoken to.

A worker that dies after it has served is replaced at once. One that dies
young is replaced after a pause that doubles with each early death, so a
worker that cannot live does not spin.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import tenantproxy
from tenantproxy import clock
from tenantproxy.dataplane.channel import Channel, channel_pair
from tenantproxy.dataplane.counters import CounterFile
from tenantproxy.dataplane.messages import VERSION, Message, Quit, Ready
from tenantproxy.model.views import RelayView, WorkerView
from tenantproxy.tasks import Background

YOUNG_S = 1.0
"""A worker that dies within this time of being ready died young."""
LONGEST_PAUSE_S = 10.0


def respawn_pause_s(early_deaths: int) -> float:
    """Return how long to wait before the next start: 0 after a full life, then 0.1 s doubling."""
    if early_deaths == 0:
        return 0.0
    return min(0.1 * 2.0 ** (early_deaths - 1), LONGEST_PAUSE_S)


class Worker:
    """One slot; the process in it may change."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.counters, self.counters_fd = CounterFile.create(f"counters-{index}")
        self.process: asyncio.subprocess.Process | None = None
        self.channel: Channel | None = None
        self.state = "starting"
        self.reason = ""
        """Why the last process ended."""
        self.fault = ""
        """Why we killed it, if we did."""
        self.restarts = 0
        self.ready_since_s: float | None = None
        """CLOCK_MONOTONIC; None while not ready."""
        self.ready_since_wall_s: float | None = None
        self.relay: RelayView | None = None
        """What the present process said of it."""


class Fleet:
    """Keeps `count` workers alive from `start()` to `quit()`.

    `on_ready(index)`, `on_lost(index, reason)` and `on_report(index,
    message)` are called on the loop. A lost worker is lost once; its slot
    becomes ready again with a new process. Workers see each other's counters;
    with `shared` they accept from the same sockets, and take turns.
    """

    def __init__(
        self,
        count: int,
        *,
        shared: bool,
        on_ready: Callable[[int], None],
        on_lost: Callable[[int, str], None],
        on_report: Callable[[int, Message], None],
    ) -> None:
        self.workers = [Worker(index) for index in range(count)]
        self._on_ready, self._on_lost, self._on_report = on_ready, on_lost, on_report
        self._shared = shared
        self._ending = False

    def start(self, background: Background) -> None:
        """Start every worker and a task for each that replaces it."""
        for worker in self.workers:
            background.start(self._keep(worker), name=f"worker {worker.index}")

    def ready(self) -> list[int]:
        """Return the indexes of workers that take orders."""
        return [w.index for w in self.workers if w.state == "ready"]

    def send(self, index: int, message: Message, fds: Sequence[int] = ()) -> None:
        """Send an order; a worker that is not ready gets it not at all."""
        worker = self.workers[index]
        if worker.state == "ready" and worker.channel is not None:
            worker.channel.send(message, fds)

    def broadcast(self, messages: Iterable[Message]) -> None:
        """Send orders without descriptors to every ready worker."""
        ready = self.ready()
        for message in messages:
            for index in ready:
                self.send(index, message)

    async def quit(self, within_s: float) -> None:
        """Let the workers cut what is left and end; kill those that do not."""
        self._ending = True
        self.broadcast([Quit()])
        processes = [worker.process for worker in self.workers if worker.process is not None]
        waits = [asyncio.ensure_future(process.wait()) for process in processes]
        if waits:
            await asyncio.wait(waits, timeout=within_s)
        for process in processes:
            if process.returncode is None:
                process.kill()
        if waits:
            await asyncio.wait(waits)

    def close(self) -> None:
        """Close channels and counter descriptors; the mapped counters stay with the books."""
        for worker in self.workers:
            if worker.channel is not None:
                worker.channel.close()
            os.close(worker.counters_fd)

    def kill(self, index: int, why: str) -> None:
        """Kill a worker that is of no use; its successor starts by itself."""
        worker = self.workers[index]
        if worker.process is not None and worker.process.returncode is None:
            worker.fault = why
            worker.process.kill()

    def views(self) -> tuple[WorkerView, ...]:
        """Return every slot as people see it."""
        return tuple(
            WorkerView(
                index=w.index,
                pid=w.process.pid if w.process and w.process.returncode is None else None,
                state=w.state,  # type: ignore[arg-type]
                restarts=w.restarts,
                loop_lag_s=0.0,
                connections=0,
                ready_since_s=w.ready_since_wall_s,
                reason=w.reason,
                relay=w.relay,
            )
            for w in self.workers
        )

    async def _keep(self, worker: Worker) -> None:
        early_deaths = 0
        while not self._ending:
            worker.state, worker.fault = "starting", ""
            try:
                process = await self._spawn(worker)
            except Exception as error:  # noqa: BLE001 - whatever it is, the slot is tried again
                why, lived_s = f"cannot start: {error}", 0.0
            else:
                code = await process.wait()
                lived_s = self._lived_s(worker)
                why = f"killed by signal {-code}" if code < 0 else f"exited with {code}"
            self._lost(worker, why)
            if self._ending:
                return
            early_deaths = 0 if lived_s >= YOUNG_S else early_deaths + 1
            worker.restarts += 1
            pause_s = respawn_pause_s(early_deaths)
            if pause_s:
                worker.state = "backing_off"
                await asyncio.sleep(pause_s)

    async def _spawn(self, worker: Worker) -> asyncio.subprocess.Process:
        ours, theirs = channel_pair()
        peers = [one.counters_fd for one in self.workers if one is not worker]
        try:
            worker.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the working directory is nobody's business
                "-m",
                "tenantproxy.dataplane.worker",
                f"--channel-fd={theirs.fileno()}",
                f"--counters-fd={worker.counters_fd}",
                f"--index={worker.index}",
                f"--peer-fds={','.join(map(str, peers))}",
                *(["--shared"] if self._shared else []),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), worker.counters_fd, *peers),
                env={**os.environ, "PYTHONPATH": _import_path()},
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._connect(worker, ours)
        return worker.process

    def _connect(self, worker: Worker, ours: socket.socket) -> None:
        def on_message(message: Message, fds: list[int]) -> None:
            for fd in fds:
                os.close(fd)
            if isinstance(message, Ready):
                self._became_ready(worker, message)
            elif worker.channel is channel:
                self._on_report(worker.index, message)

        def on_close() -> None:
            # The process is gone, or of no use without its channel.
            if worker.channel is channel and worker.process and worker.process.returncode is None:
                worker.process.kill()

        channel = Channel(ours, on_message=on_message, on_close=on_close)
        worker.channel = channel
        channel.start()

    def _became_ready(self, worker: Worker, message: Ready) -> None:
        if message.version != VERSION:
            worker.fault = f"speaks protocol {message.version}, not {VERSION}"
            if worker.process:
                worker.process.kill()
            return
        worker.state, worker.reason = "ready", ""
        worker.ready_since_s, worker.ready_since_wall_s = clock.monotonic_s(), clock.wall_s()
        self._on_ready(worker.index)

    def _lost(self, worker: Worker, why: str) -> None:
        worker.state = "stopping" if self._ending else "starting"
        worker.reason = worker.fault or why
        worker.ready_since_s = worker.ready_since_wall_s = worker.relay = None
        if worker.channel is not None:
            worker.channel.close()
            worker.channel = None
        self._on_lost(worker.index, worker.reason)

    @staticmethod
    def _lived_s(worker: Worker) -> float:
        since = worker.ready_since_s
        return 0.0 if since is None else clock.monotonic_s() - since


def _import_path() -> str:
    """Return a PYTHONPATH under which the worker finds the very package that runs here."""
    parent = str(Path(tenantproxy.__file__).resolve().parent.parent)
    rest = os.environ.get("PYTHONPATH")
    return f"{parent}{os.pathsep}{rest}" if rest else parent
