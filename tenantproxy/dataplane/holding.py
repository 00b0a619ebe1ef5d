"""Flows that wait for an upstream to appear while their listener wakes."""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Collection

from tenantproxy.dataplane.flow import Flow, has_left
from tenantproxy.dataplane.listener import REJECTED

BACKOFF_S = 0.02
"""First pause of a held flow; doubles at each try."""
BACKOFF_MAX_S = 0.5
KICK_SPACING_S = 0.0002
"""Between held flows that are tried at once because their upstream appeared."""


class Holding:
    """Each flow begins again (`begin`) after a pause, unless its client has left (`reject`)."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        begin: Callable[[Flow], None],
        reject: Callable[[Flow, int], None],
    ) -> None:
        self._loop = loop
        self._begin = begin
        self._reject = reject
        self._timers: dict[Flow, TimerHandle] = {}

    def reason_not_to(self, flow: Flow, now_s: float) -> str:
        """Return why the flow cannot be held (any longer), or nothing; it is counted then."""
        listener = flow.listener
        in_time = now_s < listener.hold_until_s
        if flow.backoff_s:
            return "" if in_time else "wake_timeout"
        if not listener.waking:
            return "connect_failed" if flow.tried else "no_endpoint"
        if not in_time:
            listener.waking = False
            return "connect_failed" if flow.tried else "no_endpoint"
        if listener.held >= listener.order.hold:
            return "hold_full"
        listener.held += 1
        return ""

    def hold(self, flow: Flow, now_s: float) -> None:
        """Let the flow begin again after a pause."""
        flow.backoff_s = min(flow.backoff_s * 2, BACKOFF_MAX_S) or BACKOFF_S
        delay_s = min(flow.backoff_s, flow.listener.hold_until_s - now_s)
        self._timers[flow] = self._loop.call_later(delay_s, self._again, flow)

    def kick(self, upstream_ids: Collection[int]) -> None:
        """Let the flows of these upstreams begin now: something about them changed."""
        due = [flow for flow in self._timers if flow.route.upstream_id in upstream_ids]
        for i, flow in enumerate(due):
            self._timers[flow].cancel()
            self._timers[flow] = self._loop.call_later(i * KICK_SPACING_S, self._again, flow)

    def forget(self, flow: Flow) -> None:
        """A flow that was held is connected, or has ended."""
        flow.listener.held -= 1
        flow.backoff_s = 0.0
        timer = self._timers.pop(flow, None)
        if timer is not None:
            timer.cancel()

    def _again(self, flow: Flow) -> None:
        del self._timers[flow]
        if has_left(flow.client):
            self._reject(flow, REJECTED["client_gone"])
        else:
            self._begin(flow)
