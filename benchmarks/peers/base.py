"""What a peer is: a proxy to configure, start on its CPU, ask for its processes, and stop.

Every listener of every peer splits its connections 90 to 10 between two
addresses of one upstream, and has a split of its own, for the port of one
tenant must be reweighed without the others.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import os
import shutil
import socket
import string
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from benchmarks.machine import PROXY_CPU
from tests.e2e import procfs
from tests.e2e.daemon import until

TEMPLATES = Path(__file__).parent / "templates"
OPEN_FILES = 20_000
"""What a proxy may have open: the hard limit of the machine that we measure on."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A port of 127.0.0.1 in front of a port of 127.0.0.1 and 127.0.0.2."""

    port: int
    upstream: int
    weights: tuple[int, int] = (90, 10)

    def values(self) -> dict[str, int]:
        """Return what a template may name."""
        first, second = self.weights
        return {"port": self.port, "upstream": self.upstream, "first": first, "second": second}


def render(template: str, **values: object) -> str:
    """Fill in `templates/NAME`."""
    return string.Template((TEMPLATES / template).read_text()).substitute(values)


def find(program: str) -> str | None:
    """Return the path of a program: beside our Python, on PATH or in sbin."""
    places = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
    return shutil.which(program, path=places)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def asks_well(port: int) -> bool:
    """Tell whether a request through the port reaches the web server.

    traefik accepts before its routes are loaded, and answers 404 then.
    """
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
        return sock.recv(4096).startswith(b"HTTP/1.1 200")
    return False


class Peer(abc.ABC):
    """One proxy; `async with` runs it."""

    key: ClassVar[str]
    """How the command line and the results call it."""
    title: ClassVar[str]
    """How tables call it."""
    program: ClassVar[str]
    opens_by: ClassVar[str | None] = None
    """How listeners come and go at run time; None: they cannot."""
    reweighs_by: ClassVar[str | None] = None
    start_within_s: ClassVar[float] = 60.0

    def __init__(self, folder: Path, listeners: Sequence[Listener], *, workers: int = 1) -> None:
        self.folder = folder / self.key
        self.folder.mkdir(parents=True, exist_ok=True)
        self.listeners = list(listeners)
        self.workers = workers
        self.cpus = str(PROXY_CPU) if workers == 1 else None
        self.start_s = 0.0
        """From the start of its process to the first request served, the last port open."""
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def missing(cls) -> str | None:
        """Return why it cannot be run here; None if it can."""
        return None if find(cls.program) else f"{cls.program} is not installed"

    @classmethod
    @abc.abstractmethod
    def version(cls) -> str:
        """Return what it says of itself."""

    @abc.abstractmethod
    def configure(self) -> None:
        """Write what the configuration is with the present listeners."""

    @abc.abstractmethod
    def command(self) -> list[str]:
        """Return the command that stays in the foreground."""

    async def set_listeners(self, listeners: Sequence[Listener]) -> None:
        """Change the listeners at run time; it may return before all of them are there.

        Only for peers that say by what they do it (`opens_by`).
        """
        raise RuntimeError(f"{self.title} cannot go to {len(listeners)} listeners at run time")

    @abc.abstractmethod
    async def reweigh(self, listener: Listener) -> None:
        """Give the listener of the same port other weights."""

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def pids(self) -> list[int]:
        """Return all its processes: master, control and worker."""
        return [self.pid, *procfs.descendants(self.pid)]

    async def __aenter__(self) -> Self:
        self.configure()
        began_s = time.perf_counter()
        pin = ["taskset", "-c", self.cpus] if self.cpus else []
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*pin, *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(),
            )
        try:
            await until(self._serves, within_s=self.start_within_s)
        except BaseException:
            await self._stop()
            raise
        self.start_s = time.perf_counter() - began_s
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def _serves(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.title} ended: {self.log.read_text()[-2000:]}"
        return answers(self.listeners[-1].port) and asks_well(self.listeners[0].port)

    async def _stop(self) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            return
        children = procfs.descendants(self.pid)
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, 5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid in children:
            if procfs.is_alive(pid):
                os.kill(pid, 9)


def output_of(*command: str) -> str:
    """Return what a program prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout + done.stderr
