"""Stopping listeners without losing those who already wait in the queue."""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tenantproxy.clock import monotonic_s
from tenantproxy.dataplane.acceptor import Acceptor
from tenantproxy.dataplane.listener import Listener
from tenantproxy.dataplane.messages import Stopped

SWEEP_S = 1.0
"""Longest time that a queue is swept when descriptors are short or clients keep coming."""
STEP_S = 0.005


@dataclass(slots=True)
class _Batch:
    """Listeners of one order; answered when the last of them is closed."""

    ids: tuple[int, ...]
    left: set[Listener]
    until_s: float


class Stopping:
    """Takes listeners out of service; `send` gets one `Stopped` for each order."""

    def __init__(
        self, loop: AbstractEventLoop, acceptor: Acceptor, send: Callable[[Stopped], None]
    ) -> None:
        self._loop = loop
        self._acceptor = acceptor
        self._send = send
        self._batches: list[_Batch] = []
        self._timer: TimerHandle | None = None

    def stop(self, ids: tuple[int, ...], listeners: Iterable[Listener], *, sweep: bool) -> None:
        """Accept no more; with `sweep`, after those who wait in the queues now."""
        batch = _Batch(ids, set(), monotonic_s() + SWEEP_S)
        for listener in listeners:
            if listener.sock is None:
                continue
            self._acceptor.remove(listener)
            if sweep:
                batch.left.add(listener)
            else:
                self._close(listener)
        self._batches.append(batch)
        self._step()

    def finish(self, listener: Listener) -> None:
        """Close the listener's socket now, whatever was to be done with it."""
        if listener.sock is not None:
            self._acceptor.remove(listener)
            self._close(listener)
        for batch in self._batches:
            batch.left.discard(listener)

    def close(self) -> None:
        """Answer nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._batches.clear()

    def _step(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now_s = monotonic_s()
        for batch in tuple(self._batches):
            for listener in tuple(batch.left):
                if self._acceptor.sweep(listener) or now_s >= batch.until_s:
                    self._close(listener)
                    batch.left.discard(listener)
            if not batch.left:
                self._batches.remove(batch)
                self._send(Stopped(batch.ids))
        if self._batches:
            self._timer = self._loop.call_later(STEP_S, self._step)

    @staticmethod
    def _close(listener: Listener) -> None:
        if listener.sock is not None:
            listener.sock.close()
            listener.sock = None
