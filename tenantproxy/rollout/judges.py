"""Asks judges and gates outside of the proxy, so many at once, each within its time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import structlog

from tenantproxy.errors import NoVerdict
from tenantproxy.model.findings import Finding, GateAnswer, Result, Subject
from tenantproxy.model.rollout_spec import Gate, GateName, OutsideCheck
from tenantproxy.rollout import prometheus, webhook
from tenantproxy.rollout.command import Commands
from tenantproxy.rollout.http import Http
from tenantproxy.rollout.words import span
from tenantproxy.turns import Turns

AT_ONCE = 64
"""Questions under way: each is a connection or a process."""
AT_ONCE_PER_TENANT = 16

_COMMANDS_OFF = "commands are off: proxy.rollout_commands"
_ENDS = "the daemon ends"
_log = structlog.get_logger("tenantproxy.rollout")

T = TypeVar("T")


class OutsideJudges:
    """The `Judges` of a daemon; has no task, and no connection while nobody is asked."""

    def __init__(self, *, commands: bool, folder: Path) -> None:
        """Ask nobody yet.

        Args:
            commands: whether programs may be run (`proxy.rollout_commands`).
            folder: where they run, and where relative paths of programs begin.
        """
        self._http = Http()
        self._commands = Commands(folder) if commands else None
        self._turns = Turns(AT_ONCE, AT_ONCE_PER_TENANT)
        self._under_way: set[asyncio.Timeout] = set()
        self._quiet = asyncio.Event()
        self._closed = False

    async def judge(self, check: OutsideCheck, about: Subject) -> Finding:
        """Return what the judge found, within the check's timeout; it never raises."""
        result: Result
        try:
            result, reason = await self._within(
                check.timeout_s, about, lambda: self._judge(check, about)
            )
        except NoVerdict as error:
            result, reason = "inconclusive", str(error)
        return Finding(check.name, result, reason, dry_run=check.dry_run)

    async def ask(self, name: GateName, gate: Gate, about: Subject) -> GateAnswer:
        """Return what the gate says, within its timeout; it never raises."""
        try:
            answer, reason = await self._within(
                gate.timeout_s, about, lambda: webhook.knock(self._http, name, gate, about)
            )
        except NoVerdict as error:
            return GateAnswer(name, "unreachable", str(error))
        return GateAnswer(name, answer, reason)

    async def close(self) -> None:
        """End every question under way: its answer is that the daemon ends.

        When this returns no program runs and no connection is open, and later questions are
        answered the same.
        """
        self._closed = True
        now_s = asyncio.get_running_loop().time()
        for deadline in self._under_way:
            if not deadline.expired():
                deadline.reschedule(now_s)
        while self._under_way:
            self._quiet.clear()
            await self._quiet.wait()
        if self._commands is not None:
            await self._commands.close()
        await self._http.close()

    async def _judge(self, check: OutsideCheck, about: Subject) -> tuple[Result, str]:
        match check.kind:
            case "prometheus":
                return await prometheus.ask(self._http, check, about)
            case "webhook":
                return await webhook.ask(self._http, check, about)
            case "command":
                if self._commands is None:
                    raise NoVerdict(_COMMANDS_OFF)
                return await self._commands.ask(check, about)

    async def _within(
        self, timeout_s: float, about: Subject, work: Callable[[], Awaitable[T]]
    ) -> T:
        """Do the work when it is its turn; waiting for that is part of the time it has.

        Raises:
            NoVerdict: it is out of time, or broke.
        """
        if self._closed:
            raise NoVerdict(_ENDS)
        began = False
        deadline = asyncio.timeout(timeout_s)
        try:
            async with deadline:
                self._under_way.add(deadline)
                async with self._turns.slot(about.tenant):
                    began = True
                    return await work()
        except NoVerdict:
            raise
        except Exception as error:  # noqa: BLE001 - whoever rolls out must not end because of it
            if not deadline.expired():
                _log.exception("judge_broke", tenant=about.tenant, listener=about.listener)
                raise NoVerdict(f"could not be asked: {type(error).__name__}") from None
            if self._closed:
                raise NoVerdict(_ENDS) from None
            late = "no answer" if began else "too many questions before it: not asked"
            raise NoVerdict(f"{late} within {span(timeout_s)}") from None
        finally:
            self._under_way.discard(deadline)
            self._quiet.set()
