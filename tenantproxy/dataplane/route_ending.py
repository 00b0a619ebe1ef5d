"""Live connections of one listener to one upstream that are told to end; the listener goes on."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from heapq import nsmallest

from tenantproxy.dataplane.ending import Drain, last_ms
from tenantproxy.dataplane.flow import Flow
from tenantproxy.dataplane.listener import CLOSED, Listener
from tenantproxy.dataplane.messages import EndRoute


class RouteEndings:
    """Carries out `EndRoute`. `cut(flow, word, abort=)` ends a flow, in whatever state it is.

    `connected(flow)` says whether a flow has a server.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        cut: Callable[..., None],
        connected: Callable[[Flow], bool],
    ) -> None:
        self._loop = loop
        self._cut = cut
        self._connected = connected
        self._drains: dict[int, dict[int, Drain]] = {}
        """Those under way, by listener and upstream."""

    def end(self, listener: Listener, order: EndRoute) -> None:
        """Begin to end those of the listener's connections that the order means.

        What was under way for the same route is over when this returns.
        """
        self._cancel(order.listener, order.upstream)
        flows = [f for f in listener.flows if f.route.upstream_id == order.upstream]
        if order.mode == "rebalance":
            flows = [flow for flow in flows if self._connected(flow)]
        flows = nsmallest(
            order.most or len(flows), flows, _at_s if order.mode == "rebalance" else last_ms
        )
        match order.mode:
            case "kill":
                for flow in flows:
                    self._cut(flow, CLOSED["killed"], abort=True)
            case "drain":
                self._begin(order, flows, self._drain)
            case "rebalance":
                self._begin(order, flows, self._rebalance)

    def forget(self, listener_id: int) -> None:
        """Cut none of the listener's any more: something is ordered for all of them."""
        for upstream_id in tuple(self._drains.get(listener_id, ())):
            self._cancel(listener_id, upstream_id)

    def close(self) -> None:
        """Stop the timers."""
        for listener_id in tuple(self._drains):
            self.forget(listener_id)

    def _begin(self, order: EndRoute, flows: list[Flow], cut: Callable[[Flow], None]) -> None:
        drain = Drain(
            self._loop,
            flows,
            order.window_s,
            cut,
            lambda: self._cancel(order.listener, order.upstream),
        )
        if not drain.over:
            self._drains.setdefault(order.listener, {})[order.upstream] = drain

    def _cancel(self, listener_id: int, upstream_id: int) -> None:
        drains = self._drains.get(listener_id, {})
        drain = drains.pop(upstream_id, None)
        if drain is not None:
            drain.cancel()
            if not drains:
                del self._drains[listener_id]

    def _drain(self, flow: Flow) -> None:
        self._cut(flow, CLOSED["drained"], abort=False)

    def _rebalance(self, flow: Flow) -> None:
        """End a flow, unless bytes wait for one of its ends: it would be reset, and nobody is ill.

        It is the oldest still when the next order comes.
        """
        halves = flow.client, flow.server
        if all(half is not None and half.pending is None for half in halves):
            self._cut(flow, CLOSED["rebalanced"], abort=False)


def _at_s(flow: Flow) -> float:
    return flow.at_s
