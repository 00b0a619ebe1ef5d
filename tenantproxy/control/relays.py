"""How workers move bytes: what is asked of them, and what each says that it does."""

from __future__ import annotations

from tenantproxy.control.events import Events
from tenantproxy.control.fleet import Fleet
from tenantproxy.dataplane.messages import Relay, SetRelay
from tenantproxy.model.spec import RelayMode
from tenantproxy.model.views import RelayView


class Relays:
    """Asks every worker for one mode; the fleet's workers keep the answers."""

    def __init__(self, asked: RelayMode, fleet: Fleet, events: Events) -> None:
        self._asked, self._fleet, self._events = asked, fleet, events

    def worker_ready(self, worker: int) -> None:
        """Ask a new worker; to be called before it gets any other order."""
        self._fleet.send(worker, self._order())

    def ask(self, mode: RelayMode) -> None:
        """Ask every worker for another mode; connections that live are not touched."""
        if mode == self._asked:
            return
        self._asked = mode
        for worker in self._fleet.workers:
            worker.relay = None
        self._fleet.broadcast([self._order()])

    def _order(self) -> SetRelay:
        return SetRelay(self._asked, len(self._fleet.workers))

    def answered(self, worker: int, answer: Relay) -> None:
        """Keep an answer; it is an event unless a worker has said the same already."""
        said = RelayView(answer.mode, answer.reason)
        known = any(one.relay == said for one in self._fleet.workers)
        self._fleet.workers[worker].relay = said
        if not known:
            self._events.add(
                "relay",
                f"{said.mode}: {said.reason}",
                level="warning" if self._asked == "kernel" != said.mode else "info",
                asked=self._asked,
            )
