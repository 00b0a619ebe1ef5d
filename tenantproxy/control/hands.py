"""What a rollout at run time may see of the rest of the control side, and do to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from tenantproxy.model.derive import Carried
from tenantproxy.model.sides import Side
from tenantproxy.model.spec import ListenerKey, SplitMember
from tenantproxy.model.views import ListenerView


class Hands(Protocol):
    """Everything is done when a method returns, as far as it is ours: orders are on their way."""

    def carry(self, key: ListenerKey, carried: Carried | None) -> None:
        """Let this be in force for the listener; None: what is declared. See `model.derive`."""
        ...

    def count(self, key: ListenerKey, upstreams: tuple[str, ...]) -> bool:
        """Count signals of the listener's connections to these upstreams; of no others.

        What was counted before stays counted: take differences. Returns False if nothing can be
        counted now, because all counters are in use.
        """
        ...

    def side(self, key: ListenerKey, upstream: str) -> Side:
        """Return what was counted so far, over all workers; nothing if nobody counts."""
        ...

    def live(self, key: ListenerKey, upstream: str) -> tuple[int, ...]:
        """Return the live connections of the listener to the upstream, by worker."""
        ...

    def end(
        self,
        key: ListenerKey,
        upstream: str,
        mode: Literal["drain", "kill", "rebalance"],
        window_s: float,
        most: Mapping[int, int] | None = None,
    ) -> None:
        """End live connections, see `EndRoute`; with `most` that many in each worker named."""
        ...

    def endpoints(self, tenant: str, upstream: str) -> tuple[int, int] | None:
        """Return usable endpoints and all; None while the upstream is asleep."""
        ...

    def declared(self, key: ListenerKey) -> tuple[SplitMember, ...]:
        """Return the split that document and API ask for."""
        ...

    def declare(self, key: ListenerKey, split: tuple[SplitMember, ...]) -> None:
        """Make this the declared split, as a change by the API would; nothing if it is."""
        ...

    def drain_s(self, key: ListenerKey) -> float:
        """Return the listener's drain window."""
        ...

    def from_file(self, key: ListenerKey) -> bool:
        """Say whether the listener stands in the file, so that the file has to be committed."""
        ...

    def listener(self, key: ListenerKey) -> ListenerView | None:
        """Return a listener in force, previews among them; None: it is not there."""
        ...
