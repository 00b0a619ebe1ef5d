"""When to ask the policies about which port: a heap of times, one timer."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable, Mapping

from tenantproxy import clock
from tenantproxy.control.books import Books
from tenantproxy.control.listener import Listener
from tenantproxy.model.lifecycle import State
from tenantproxy.policy.api import ListenerSignals, Verdict
from tenantproxy.policy.engine import Engine

Labels = Callable[[str], Mapping[str, str]]


class IdleClock:
    """Judges each open port when it may have become idle, not more often.

    `act(listener, verdict, since_s)` is called with a verdict; `since_s` is
    the last sign of life that it was made on.
    """

    def __init__(
        self, books: Books, labels: Labels, act: Callable[[Listener, Verdict, float], None]
    ) -> None:
        self._books, self._labels, self._act = books, labels, act
        self._engine = Engine(())
        self._heap: list[tuple[float, int, Listener]] = []
        self._due_at_s: dict[int, float] = {}
        """By listener id: the one entry of the heap that counts."""
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def use(self, engine: Engine, listeners: Iterable[Listener]) -> None:
        """Take other policies; every open listener is looked at anew."""
        self._engine = engine
        self._heap.clear()
        self._due_at_s.clear()
        for listener in listeners:
            if listener.state is State.OPEN:
                self.opened(listener)

    def rule_name(self, listener: Listener) -> str | None:
        """Return what rules over a listener: `listener`, a policy's name, or None."""
        spec = listener.spec
        found = self._engine.rule_for(listener.key, self._labels(spec.tenant), spec.idle)
        if found is None:
            return None
        return found[0] if found[0] == "listener" else f"policy {found[0]}"

    def opened(self, listener: Listener) -> None:
        """Look after a listener from now on, or anew after its rule or labels changed."""
        self._due_at_s.pop(listener.id, None)
        self._look(listener)

    def close(self) -> None:
        """Look at nothing any more."""
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, listener: Listener) -> None:
        live, last_s = self._books.activity(listener.block, (listener.routes or {}).values())
        last_s = max(last_s, listener.open_since_s)
        spec = listener.spec
        judgement = self._engine.judge(
            ListenerSignals(
                key=listener.key,
                labels=self._labels(spec.tenant),
                own=spec.idle,
                state=listener.state,
                connections=live,
                last_activity_s=last_s,
            ),
            clock.monotonic_s(),
        )
        if judgement.verdict is not None:
            self._act(listener, judgement.verdict, last_s)
        if judgement.look_again_at_s is not None:
            self._due_at_s[listener.id] = judgement.look_again_at_s
            heapq.heappush(self._heap, (judgement.look_again_at_s, listener.id, listener))
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        in_s = max(self._heap[0][0] - clock.monotonic_s(), 0.001)
        self._timer = self._loop.call_later(in_s, self._due)

    def _due(self) -> None:
        now_s = clock.monotonic_s()
        due: list[Listener] = []
        while self._heap and self._heap[0][0] <= now_s:
            at_s, number, listener = heapq.heappop(self._heap)
            if self._due_at_s.get(number) == at_s:
                del self._due_at_s[number]
                if listener.state is State.OPEN:
                    due.append(listener)
        for listener in due:
            self._look(listener)
        if self._heap:
            self._arm()
