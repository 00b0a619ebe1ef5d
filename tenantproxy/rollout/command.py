"""A judge that is a program beside the daemon: exit code 0 passes, 1 fails, no other judges.

A program is started without a shell, in a session of its own, with a small
environment; what it says last is the reason. It has no task: the event loop
watches its output and its end. When it ends, or is out of time, every process
of its group is killed, so nothing that it started is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tenantproxy.errors import NoVerdict
from tenantproxy.model.findings import Result, Subject
from tenantproxy.model.rollout_spec import OutsideCheck
from tenantproxy.rollout.words import one_line

MOST_BYTES = 1 << 20
"""Of what a program may say: reading it must not keep the control process busy."""
_PIECE_BYTES = 64 * 1024
"""As much as a pipe holds, pipe(7)."""
_KEPT_BYTES = 4096
_END_WITHIN_S = 5.0
"""For a killed process to be gone; only one that hangs in the kernel takes longer."""


class Commands:
    """Runs programs in a folder and keeps those that have not ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: set[_Running] = set()

    async def ask(self, check: OutsideCheck, about: Subject) -> tuple[Result, str]:
        """Return whether the program passes, and the last line that it said.

        A program that is left by cancellation is killed.

        Raises:
            NoVerdict: it cannot be started, or ended in a way that says neither.
        """
        running = self._start(check, about)
        try:
            await running.gone.wait()
        finally:
            running.kill()
        if running.too_much:
            raise NoVerdict("said more than 1 MiB and was ended")
        last = one_line(running.last_line())
        match running.code:
            case 0:
                return "passed", last or "exit code 0"
            case 1:
                return "failed", last or "exit code 1"
        raise NoVerdict(": ".join(filter(None, (_ended_by(running.code), last))))

    async def close(self) -> None:
        """Kill what runs; when this returns nothing does, but for what hangs in the kernel."""
        for one in self._running:
            one.kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_WITHIN_S):
                for one in tuple(self._running):
                    await one.gone.wait()

    def _start(self, check: OutsideCheck, about: Subject) -> _Running:
        if not check.run:
            raise NoVerdict("it names no program")
        # Not by the loop: uvloop loses a process whose start is cancelled. This takes about a
        # millisecond, and nothing in between can be cancelled.
        try:
            program = subprocess.Popen(  # noqa: S603 - the operator's, and only if they allow it
                check.run,
                cwd=self._folder,
                env=environment(check, about),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:  # ValueError: a zero byte
            why = (error.strerror or "") if isinstance(error, OSError) else "it has a zero byte"
            name = one_line(check.run[0], 80)
            raise NoVerdict(f"{name} cannot be run: {why}") from None
        running = _Running(program, self._running.discard)
        self._running.add(running)
        return running


def environment(check: OutsideCheck, about: Subject) -> dict[str, str]:
    """Return all that a program is told: nothing of the daemon's own environment but two words."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "TENANTPROXY_TENANT": about.tenant,
        "TENANTPROXY_LISTENER": about.listener,
        "TENANTPROXY_STABLE": about.stable,
        "TENANTPROXY_CANARY": about.canary,
        "TENANTPROXY_STATE": about.state,
        "TENANTPROXY_STEP": str(about.step),
        "TENANTPROXY_WEIGHT": str(about.weight),
        "TENANTPROXY_CHECK": check.name,
    }


class _Running:
    """A program that runs; `gone` is set when it has ended and nothing of it is left open."""

    def __init__(
        self, program: subprocess.Popen[bytes], on_gone: Callable[[_Running], None]
    ) -> None:
        self._program, self._on_gone = program, on_gone
        self._loop = asyncio.get_running_loop()
        self._said = b""
        self._read_bytes = 0
        self.too_much = False
        self.gone = asyncio.Event()
        assert program.stdout is not None  # noqa: S101 - for the type checker
        self._output = program.stdout
        try:
            self._pidfd = os.pidfd_open(program.pid)
        except OSError as error:
            self.kill()
            self._output.close()
            program.wait()
            raise NoVerdict(f"cannot watch it: {error.strerror}") from None
        os.set_blocking(self._output.fileno(), False)
        self._loop.add_reader(self._output.fileno(), self._read)
        self._loop.add_reader(self._pidfd, self._end)

    @property
    def code(self) -> int:
        """Return its exit code; when a signal ended it, that number below zero."""
        return self._program.returncode

    def last_line(self) -> str:
        """Return the last line that is not empty."""
        lines = self._said.decode("utf-8", "replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "")

    def kill(self) -> None:
        """Kill it and its group; nothing when it is gone, for its number may be another's."""
        if self._program.returncode is None:
            # PermissionError: it has become somebody else's, and ends in its own time.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._program.pid, signal.SIGKILL)

    def _read(self) -> None:
        try:
            piece = os.read(self._output.fileno(), _PIECE_BYTES)
        except BlockingIOError:
            return
        self._said = (self._said + piece)[-_KEPT_BYTES:]
        self._read_bytes += len(piece)
        if not piece:
            self._loop.remove_reader(self._output.fileno())
        elif self._read_bytes > MOST_BYTES:
            self.too_much = True
            self.kill()

    def _end(self) -> None:
        """Take its end: it is dead, and its number is kept for it until `wait`."""
        self._read()
        self.kill()
        self._program.wait()
        self._loop.remove_reader(self._output.fileno())
        self._loop.remove_reader(self._pidfd)
        self._output.close()
        os.close(self._pidfd)
        self._on_gone(self)
        self.gone.set()


def _ended_by(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"
