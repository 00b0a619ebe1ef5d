"""What a rollout counts of one side: a route's signal block, and connections that count there.

A connection counts where its establishment was counted, and nowhere else. So of every block
it holds at any time that OPENED is ENDED and what lives; who was connected before the rollout
began is no part of it. A route that no rollout looks at has no `Signals`, its flows have
no `Sample`, and that is all it costs.

Whose client has left is ended too, though its server hangs and will never say so: no flow ends
by that, for an answer may follow the client's FIN, but a canary that hangs would have no samples.
"""

from __future__ import annotations

from bisect import bisect_left

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane import counters
from tenantproxy.dataplane.counters import Signal
from tenantproxy.dataplane.flow import Flow, Half, waiting
from tenantproxy.dataplane.relay.tcp_info import totals
from tenantproxy.model.sides import BYTE_BOUNDS, TIME_BOUNDS_S

_OPENED, _FAILED, _ENDED = int(Signal.OPENED), int(Signal.FAILED), int(Signal.ENDED)
_RESETS, _SILENT = int(Signal.RESETS), int(Signal.SILENT)  # an IntEnum is slower as an index
_CONNECT_TIME, _FIRST_BYTE = int(Signal.CONNECT_TIME), int(Signal.FIRST_BYTE)
_DURATION, _CLOSED_AGE = int(Signal.DURATION), int(Signal.CLOSED_AGE)
_BYTES_IN, _BYTES_OUT = int(Signal.BYTES_IN), int(Signal.BYTES_OUT)
_UPSTREAM_RESET = counters.Listener.CLOSED + counters.CLOSED_REASONS.index("upstream_reset")
_LATE = counters.Listener.CLOSED + counters.CLOSED_REASONS.index("first_byte_timeout")
_GIVEN_UP = frozenset(
    counters.Listener.CLOSED + counters.CLOSED_REASONS.index(reason)
    for reason in ("client_reset", "idle_timeout", "first_byte_timeout")
)
"""Ends for which nothing is to blame but the server if it brought no byte."""
PATIENCE_S = 5.0
"""A client that said FIN waits for no answer any more if the server moves nothing for so long. Who
has said nothing has waited for a server that is to speak first if it stayed for so long."""
_SYN = 1
"""Which counts as a byte that was acknowledged."""
_NEVER = -1.0
_NOWHERE = memoryview(bytearray(counters.SIGNAL_WORDS * counters.WORD)).cast("Q")
"""A block that nobody reads."""


class Signals:
    """The signal block of one route, in this worker."""

    __slots__ = ("_left", "block", "cells")

    def __init__(self, block: int, words: counters.CounterFile) -> None:
        self.block = block
        self._left: dict[Sample, tuple[float, Flow, int]] = {}
        """Whose client said FIN: when to look, and what the server had brought by then."""
        at = words.signals_at(block)
        self.cells = words.words[at : at + counters.SIGNAL_WORDS]
        """Words of `counters.Signal`."""

    def retire(self) -> None:
        """Count into nothing from now on, its live connections too: the block may be given away."""
        self.cells = _NOWHERE
        self._left.clear()

    def left(self, sample: Sample, flow: Flow, got: int) -> None:
        """Look after a connection whose client said FIN, when others come and it is time."""
        if self.cells is not _NOWHERE:
            self._left[sample] = monotonic_s() + PATIENCE_S, flow, got

    def over(self, sample: Sample) -> None:
        """Look after it no more."""
        self._left.pop(sample, None)

    def _look(self) -> None:
        now_s = monotonic_s()
        while self._left:
            sample, (at_s, flow, got) = next(iter(self._left.items()))
            if at_s > now_s:
                return
            del self._left[sample]
            sample.look(flow, got)

    def failed(self) -> None:
        """Count an attempt to connect that failed, or a client that found nobody to connect to."""
        self.cells[_FAILED] += 1

    def opened(self, took_s: float) -> Sample:
        """Count a connection that is established; the caller tells its `Sample` of its end."""
        if self._left:
            self._look()
        cells = self.cells
        cells[_OPENED] += 1
        cells[_CONNECT_TIME + bisect_left(TIME_BOUNDS_S, took_s)] += 1
        return Sample(self)


class Sample:
    """One established connection. Ends with one call of `ended` or `taken_back`, or in `look`."""

    __slots__ = ("_client_ended", "_client_s", "_fin_s", "_first", "_signals")

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._fin_s = _NEVER
        """Its age when the server said FIN."""
        self._first = False
        """The server said FIN before the client did."""
        self._client_ended = False
        """The client said FIN. `Half.eof` says less: that nothing more will be read."""
        self._client_s = 0.0
        """Its age then."""

    def heard(self, took_s: float) -> None:
        """Count the time from connected to the server's first byte."""
        self._signals.cells[_FIRST_BYTE + bisect_left(TIME_BOUNDS_S, took_s)] += 1

    def said_fin(self, flow: Flow, half: Half) -> None:
        """Remember who said FIN, and when the server did; it is counted at the end."""
        age_s = monotonic_s() - flow.at_s
        if half is flow.client:
            self._client_ended, self._client_s = True, age_s
            if self._fin_s < 0:
                self._signals.left(self, flow, -1 if flow.answered else 0)
        else:
            self._fin_s = age_s
            self._first = not self._client_ended

    def look(self, flow: Flow, got_before: int) -> None:
        """Count the end if the server has brought nothing since it had brought so much."""
        sent, got = self._bytes(flow)
        if got != got_before:
            self._signals.left(self, flow, got)
            return
        flow.sample = None
        age_s = self._end(flow, sent, got)
        if not flow.answered and not got:
            self._unanswered(age_s, sent, self._client_s)

    def reset(self) -> None:
        """Count a reset by the server; `ended` does that by itself."""
        self._signals.cells[_RESETS] += 1

    def taken_back(self, flow: Flow, *, late: bool) -> None:
        """Count the end of a connection on which no byte went either way.

        `late`: because the server had said nothing in time.
        """
        self._end(flow, 0, 0)
        if late:
            self.heard(monotonic_s() - flow.at_s)

    def ended(self, flow: Flow, word: int) -> None:
        """Count the end, for the reason that is counted in this word of the listener's block.

        Both sockets have still to be open: the kernel knows how many bytes they took.
        """
        cells = self._signals.cells
        if cells is _NOWHERE:
            return
        sent, got = self._bytes(flow)
        age_s = self._end(flow, sent, got)
        answered = flow.answered or got > 0
        if self._first:
            if answered:
                cells[_CLOSED_AGE + bisect_left(TIME_BOUNDS_S, self._fin_s)] += 1
            else:
                cells[_SILENT] += 1
        if word == _UPSTREAM_RESET:
            # Who only says FIN, as TCP health checks do, is answered with an RST by many a
            # server that is well.
            if sent or answered or flow.unsent or not self._client_ended:
                cells[_RESETS] += 1
        elif not answered and self._fin_s < 0:
            stayed_s = PATIENCE_S if word == _LATE else age_s
            self._unanswered(age_s, sent, stayed_s if word in _GIVEN_UP else _NEVER)

    def _unanswered(self, age_s: float, sent: int, stayed_s: float) -> None:
        """Count what brought no byte; without these a server that hangs had no samples.

        `stayed_s`: how long a client waited that has given up; below 0 it has not.
        """
        cells = self._signals.cells
        waited = stayed_s >= PATIENCE_S
        if sent or waited:
            cells[_FIRST_BYTE + bisect_left(TIME_BOUNDS_S, age_s)] += 1  # it would take longer
            if stayed_s >= 0:
                cells[_SILENT] += 1

    def _end(self, flow: Flow, sent: int, got: int) -> float:
        """Count what every end counts; return the age."""
        self._signals.over(self)
        cells = self._signals.cells
        age_s = monotonic_s() - flow.at_s
        cells[_ENDED] += 1
        cells[_DURATION + bisect_left(TIME_BOUNDS_S, age_s)] += 1
        cells[_BYTES_IN + bisect_left(BYTE_BOUNDS, sent)] += 1
        cells[_BYTES_OUT + bisect_left(BYTE_BOUNDS, got)] += 1
        return age_s

    def _bytes(self, flow: Flow) -> tuple[int, int]:
        """Ask the kernel how many bytes of the client's the server's socket took, and brought.

        Of a server that speaks TLS the client's socket is asked: the other one knows how
        long the records were. An end of input counts as a byte there, sent or received.
        """
        client, server = flow.client, flow.server
        assert server is not None  # noqa: S101 - for the type checker
        # Whoever says FIN last ends the flow: that one is not passed on.
        passed_on = self._client_ended and not server.broken and not self._first
        try:
            if server.sealed:
                took, came = totals(client.sock)
                sent = came - waiting(client.fd) - self._client_ended
                got = took - (self._first and not client.broken)
            else:
                took, came = totals(server.sock)
                sent = took - _SYN - flow.said_bytes - passed_on
                got = came - (self._fin_s >= 0)
        except OSError:
            return 0, 0
        return max(0, sent), max(0, got)
