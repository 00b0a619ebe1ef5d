"""Connected flows whose server breaks before its first byte: elsewhere, if that can do no harm."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable

from tenantproxy.dataplane import counters, unspoken
from tenantproxy.dataplane.deadlines import Deadlines
from tenantproxy.dataplane.flow import Flow
from tenantproxy.dataplane.listener import CLOSED
from tenantproxy.dataplane.outcomes import Reports
from tenantproxy.dataplane.relay.switch import RelaySwitch
from tenantproxy.dataplane.upstream import Upstream

_ENDPOINT_CLOSED = int(counters.Endpoint.CLOSED)  # an IntEnum is slower as an index


class Elsewhere:
    """Takes flows back from their servers; each begins again by `again(flow, reason)`, soon."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        *,
        relay: RelaySwitch,
        upstreams: dict[int, Upstream],
        reports: Reports,
        deadlines: Deadlines,
        again: Callable[[Flow, str], None],
    ) -> None:
        self._loop = loop
        self._relay = relay
        self._upstreams = upstreams
        self._reports = reports
        self._deadlines = deadlines
        self._again = again

    def answered(self, flow: Flow) -> None:
        """The server spoke, or ended without a word and without an error."""
        self._reports.answered(flow.endpoint)
        self._deadlines.drop(flow)

    def reset(self, flow: Flow) -> bool:
        """Return True when the flow is tried elsewhere; False: the reset is the client's too."""
        if unspoken.server_spoke(flow):
            return False
        if flow.spare and self._afresh(flow):
            return True
        sample = flow.sample
        fault = not unspoken.only_said_fin(flow)
        if fault:
            self._blame(flow, "early_reset")
        if not self._try_another(flow, "early_reset"):
            return False
        if fault and sample is not None:
            sample.reset()
        return True

    def late(self, flow: Flow) -> None:
        """The server should have said something by now."""
        if not unspoken.server_spoke(flow):
            self._blame(flow, "timeout")
            if not self._try_another(flow, "timeout"):
                # With RST: the client shall not take an empty answer for the server's.
                self._relay.mover.end(flow, CLOSED["first_byte_timeout"], abort=True)
        elif unspoken.may_be_tickets(flow):
            self._deadlines.set(flow, flow.at_s)  # soon: they will have been read by then

    def _blame(self, flow: Flow, reason: str) -> None:
        flow.upstream.failed(reason)
        self._reports.count(flow.upstream, flow.endpoint, reason, early=True)

    def _try_another(self, flow: Flow, reason: str) -> bool:
        """Take a connected flow back and try another endpoint, if that can do no harm."""
        upstream, endpoint = flow.upstream, flow.endpoint
        tried = (*flow.tried, endpoint)
        if (
            len(tried) >= upstream.tries
            or self._upstreams.get(upstream.id) is not upstream
            or not upstream.has_other(tried)
            or unspoken.client_was_heard(flow)
        ):
            return False
        if not self._take_back(flow, reason):
            return False
        flow.tried = tried
        return True

    def _afresh(self, flow: Flow) -> bool:
        """Take a flow back from a spare that failed it, and try as if there had been none."""
        if unspoken.client_was_heard(flow) or not self._take_back(flow, "early_reset"):
            return False
        flow.stale = True
        return True

    def _take_back(self, flow: Flow, reason: str) -> bool:
        """Take a connected flow back from its server; it begins again soon."""
        if not self._relay.mover.release(flow):
            return False
        endpoint = flow.endpoint
        self._deadlines.drop(flow)  # it was this connection's, and not the flow's
        endpoint.live -= 1
        endpoint.cells[_ENDPOINT_CLOSED] += 1
        flow.said_bytes = 0
        if flow.sample is not None:
            flow.sample.taken_back(flow, late=reason == "timeout")
            flow.sample = None
        # Not in this batch of events, see `Pump.later`; a deadline passes outside of any.
        self._loop.call_soon(self._again, flow, reason)
        return True
