"""Notices of workers become events, thinned out so that trouble does not flood the log."""

from __future__ import annotations

from tenantproxy.control.events import Events
from tenantproxy.dataplane.messages import Notice

QUIET_S = 10.0
"""Time between two events of one kind and subject."""

_LEVEL = {"fd_limit_over": "info", "internal": "error"}


class Notices:
    """Keeps count of what it holds back; the next event says how much that was."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._next_s: dict[tuple[str, str], float] = {}
        self._held_back: dict[tuple[str, str], int] = {}

    def add(self, worker: int, notice: Notice, now_s: float) -> None:
        """Make an event of a notice, or count it."""
        key = (notice.kind, notice.subject)
        count = self._held_back.get(key, 0) + notice.count
        if now_s < self._next_s.get(key, 0.0):
            self._held_back[key] = count
            return
        self._held_back.pop(key, None)
        self._next_s[key] = now_s + QUIET_S
        tenant, _, name = notice.subject.partition("/")
        kind = "upstream" if notice.kind.startswith("upstream_") else "listener"
        self._events.add(
            notice.kind,
            notice.detail,
            tenant=tenant or None,
            about=f"{kind}/{name}" if name else f"worker/{worker}",
            level=_LEVEL.get(notice.kind, "warning"),
            count=count,
        )
