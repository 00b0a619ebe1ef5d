"""Endpoints that fail, counted, and in a row told to control: never those that are well.

Two rows are kept of an endpoint, for an endpoint that accepts and resets has
no failed connects: one that a connect ends, and one that the server's first
byte (or a FIN without any) ends. What is told is the longer.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable

from tenantproxy.dataplane import counters
from tenantproxy.dataplane.endpoint import Endpoint
from tenantproxy.dataplane.messages import Outcome, Outcomes
from tenantproxy.dataplane.upstream import Upstream

_FAILED = int(counters.Endpoint.FAILED)  # an IntEnum is slower as an index
_AFTER_CONNECTING = frozenset(("reset", "early_reset"))
"""Failures of a connection that was there: an RST to a SYN is `refused`."""

DELAY_S = 0.01
"""Time in which reports are gathered into one."""
MOST = 2000
"""Endpoints of one message, which has to stay below `messages.MAX_BYTES`."""


class Trouble:
    """What goes wrong with an endpoint."""

    __slots__ = ("connects", "early", "reason", "told")

    def __init__(self) -> None:
        self.connects = 0
        """Failed connects in a row."""
        self.early = 0
        """Connections in a row that broke before the first byte."""
        self.reason = ""
        """Of the last failure."""
        self.told = 0
        """The number that control has heard last."""


class Reports:
    """Keeps `Endpoint.trouble`; `send` gets what has changed, within `DELAY_S`.

    Call `connected` and `answered` only for endpoints that have a trouble.
    """

    def __init__(self, loop: AbstractEventLoop, send: Callable[[Outcomes], None]) -> None:
        self._loop = loop
        self._send = send
        self._changed: set[Endpoint] = set()
        self._timer: TimerHandle | None = None

    def close(self) -> None:
        """Say no more."""
        if self._timer is not None:
            self._timer.cancel()

    def count(
        self, upstream: Upstream, endpoint: Endpoint, reason: str, *, early: bool = False
    ) -> None:
        """Count a failure of the endpoint, as `failed` if its upstream wants that told.

        A spare's too, though no client has met it.
        """
        endpoint.cells[_FAILED] += 1
        if upstream.report and upstream.endpoints.get(endpoint.id) is endpoint:
            self.failed(endpoint, reason, early=early or reason in _AFTER_CONNECTING)

    def failed(self, endpoint: Endpoint, reason: str, *, early: bool) -> None:
        """One more; `early`: it was connected, and broke before the first byte."""
        trouble = endpoint.trouble
        if trouble is None:
            trouble = endpoint.trouble = Trouble()
        if early:
            trouble.early += 1
        else:
            trouble.connects += 1
        trouble.reason = reason
        self._change(endpoint)

    def connected(self, endpoint: Endpoint) -> None:
        """A connect worked."""
        trouble = endpoint.trouble
        if trouble is not None and trouble.connects:
            trouble.connects = 0
            self._change(endpoint)

    def spare_connected(self, upstream: Upstream, endpoint: Endpoint) -> None:
        """A spare's connect worked."""
        if endpoint.trouble is not None and upstream.seal is None:  # else TLS has the last word
            self.connected(endpoint)

    def answered(self, endpoint: Endpoint) -> None:
        """A server spoke, or ended without a word and without an error."""
        trouble = endpoint.trouble
        if trouble is not None and trouble.early:
            trouble.early = 0
            self._change(endpoint)

    def _change(self, endpoint: Endpoint) -> None:
        self._changed.add(endpoint)
        if self._timer is None:
            self._timer = self._loop.call_later(DELAY_S, self._flush)

    def _flush(self) -> None:
        self._timer = None
        changed, self._changed = self._changed, set()
        outcomes = []
        for endpoint in changed:
            trouble = endpoint.trouble
            if trouble is None:  # it has left the order
                continue
            failures = max(trouble.connects, trouble.early)
            if failures != trouble.told:
                trouble.told = failures
                outcomes.append(Outcome(endpoint.id, failures, trouble.reason))
            if not failures:
                endpoint.trouble = None
        for start in range(0, len(outcomes), MOST):
            self._send(Outcomes(tuple(outcomes[start : start + MOST])))
