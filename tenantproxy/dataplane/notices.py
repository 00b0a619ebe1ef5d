"""Notices to the control process, at most one a second of each kind and subject."""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from typing import Literal

from tenantproxy.dataplane.messages import Notice

Kind = Literal["fd_limit", "fd_limit_over", "upstream_unreachable", "upstream_tls", "internal"]
EVERY_S = 1.0


class Notices:
    """The first is sent at once; more within the second are counted into the next."""

    def __init__(self, loop: AbstractEventLoop, send: Callable[[Notice], None]) -> None:
        self._loop = loop
        self._send = send
        self._open: dict[tuple[Kind, str], tuple[int, str]] = {}
        self._timers: dict[tuple[Kind, str], TimerHandle] = {}

    def add(self, kind: Kind, subject: str, detail: str) -> None:
        """Say it, now or within a second."""
        key = (kind, subject)
        count, _ = self._open.get(key, (0, ""))
        self._open[key] = (count + 1, detail)
        if key not in self._timers:
            self._flush(key)

    def close(self) -> None:
        """Forget what was not sent."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _flush(self, key: tuple[Kind, str]) -> None:
        self._timers.pop(key, None)
        waiting = self._open.pop(key, None)
        if waiting is not None:
            self._timers[key] = self._loop.call_later(EVERY_S, self._flush, key)
            count, detail = waiting
            self._send(Notice(kind=key[0], subject=key[1], detail=detail[:500], count=count))
