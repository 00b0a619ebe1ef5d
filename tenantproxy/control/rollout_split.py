"""What one rollout does to its listener's split and preview, through the hands of control."""

from __future__ import annotations

from tenantproxy.control.hands import Hands
from tenantproxy.model.derive import Carried, found_weight, shares
from tenantproxy.model.rollout_spec import RolloutSpec
from tenantproxy.model.spec import ListenerKey, SplitMember


class RolloutSplit:
    """Set `weight` and `preview` as they shall be, then `carry`."""

    def __init__(
        self, hands: Hands, key: ListenerKey, spec: RolloutSpec, token: str, carried: Carried | None
    ) -> None:
        self._hands, self._key, self._spec, self._token = hands, key, spec, token
        self.carried = carried
        """What is in force."""
        self.weight: int | None = None
        """Percent of the canary that shall be in force; None: the split is as declared."""
        self.preview = False
        """The preview listener shall be there, if the plan has one."""
        self.before: tuple[SplitMember, ...] | None = None
        """The split that was declared before the promotion."""
        self.declaring = False
        """We are changing the declared split ourselves just now."""

    @property
    def percent(self) -> int:
        """The canary's percent as it is in force."""
        return self.found(self._hands.declared(self._key)) if self.weight is None else self.weight

    def found(self, declared: tuple[SplitMember, ...]) -> int:
        """Return the canary's percent in a declared split."""
        return found_weight(declared, self._spec.stable, self._spec.canary)

    def carry(self, attempt: int) -> None:
        """Let what shall be be in force; nothing is asked for twice.

        The salt is that of the attempt. As long as the split is as declared there is none, so
        that nobody moves before the rollout does.
        """
        stable, canary = self._spec.stable, self._spec.canary
        preview = self._spec.preview if self.preview else None
        wanted = None
        if self.weight is not None:
            salt = f"{stable}>{canary}#{attempt}:{self._token}"
            wanted = Carried(stable, canary, self.weight, preview, salt)
        elif preview is not None:
            wanted = Carried(stable, canary, None, preview)
        if wanted != self.carried:
            # In this order: what could not be carried is asked for again by what comes next.
            self._hands.carry(self._key, wanted)
            self.carried = wanted

    def promote(self) -> None:
        """Let the declared split say that the canary has everything; `carry` nothing then."""
        self.before = self._hands.declared(self._key)
        self._declare(shares(self.before, self._spec.stable, self._spec.canary, 100))
        self.weight = None

    def restore(self) -> None:
        """Let the declared split be as it was before the promotion.

        If somebody changed it since, or there was no promotion, stable gets what the two have.
        """
        declared = self._hands.declared(self._key)
        self._declare(self.before or shares(declared, self._spec.stable, self._spec.canary, 0))

    def release(self) -> None:
        """Let what is declared be in force, whatever it is; `carry` then."""
        self.before = self.weight = None

    def _declare(self, split: tuple[SplitMember, ...]) -> None:
        self.declaring = True
        try:
            self._hands.declare(self._key, split)
        finally:
            self.declaring = False
