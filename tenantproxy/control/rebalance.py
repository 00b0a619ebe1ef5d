"""Lets long connections follow the weights of a rollout, a few every ten seconds."""

from __future__ import annotations

from tenantproxy.control.hands import Hands
from tenantproxy.model.rebalance import rebalance
from tenantproxy.model.rollout_spec import RolloutSpec
from tenantproxy.model.spec import ListenerKey

EVERY_S = 10.0


class Rebalancer:
    """Of one rollout; whoever has the timer calls `tick` when it is due."""

    def __init__(self, hands: Hands, key: ListenerKey, spec: RolloutSpec) -> None:
        self._hands, self._key, self._spec = hands, key, spec
        self._before_s = 0.0
        self._credit = 0.0
        self.due_s: float | None = None
        """When the next look is due; None: it rests."""

    def use(self, now_s: float, *, wanted: bool) -> None:
        """Work from now on, or rest; the first look is due after ten seconds."""
        if not wanted or self._spec.rebalance_per_s is None:
            self.due_s, self._credit = None, 0.0
        elif self.due_s is None:
            self._before_s, self.due_s = now_s, now_s + EVERY_S

    def tick(self, weight: int, now_s: float) -> None:
        """End what the pace allows of the side that has too many; before it is due, nothing."""
        pace = self._spec.rebalance_per_s
        if pace is None or self.due_s is None or now_s < self.due_s:
            return
        hands, key, spec = self._hands, self._key, self._spec
        moves = rebalance(
            hands.live(key, spec.stable),
            hands.live(key, spec.canary),
            weight,
            pace_per_s=pace,
            # A loop that was held up does not make up for it all at once.
            dt_s=min(now_s - self._before_s, 2 * EVERY_S),
            credit=self._credit,
        )
        self._before_s, self.due_s, self._credit = now_s, now_s + EVERY_S, moves.credit
        most = {worker: number for worker, number in enumerate(moves.most) if number}
        if moves.side is not None and most:
            upstream = spec.canary if moves.side == "canary" else spec.stable
            hands.end(key, upstream, "rebalance", EVERY_S, most)
