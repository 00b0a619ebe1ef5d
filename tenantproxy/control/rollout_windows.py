"""What both sides of a rollout did since its step began, and since the look before."""

from __future__ import annotations

from tenantproxy.control.hands import Hands
from tenantproxy.model.derive import preview_key
from tenantproxy.model.judgement import Window
from tenantproxy.model.sides import NOTHING, Side
from tenantproxy.model.spec import ListenerKey

_EMPTY = Window(NOTHING, NOTHING)


class Windows:
    """Lets signals be counted while a rollout is on its way, and takes differences.

    In an experiment the canary has no traffic but that of its preview port, so that is its side.
    """

    def __init__(self, hands: Hands, key: ListenerKey, stable: str, canary: str) -> None:
        self._hands, self._key = hands, key
        self._stable, self._canary = stable, canary
        self._counted: dict[ListenerKey, tuple[str, ...]] = {}
        self._step_began: Window | None = None
        self._looked = _EMPTY
        self._main_began = 0
        """Connections of the canary at the listener itself, whatever its side is."""
        self._kept = _EMPTY
        """What there was when nobody looked any more."""
        self._kept_main = 0
        self._stable_before: Side | None = None
        """What stable did before the canary got everything; None while it has a share."""
        self.canary_key = key
        """The listener whose connections are the canary's side."""
        self.complete = True
        """All is counted that shall be: False where there were no counters left."""

    def count(self, *, on: bool, experiment: bool = False) -> None:
        """Let signals be counted or not; what is as it shall be is not asked for again.

        Where no counters were left they are asked for again, and the step's window begins when
        there are some: a block that is used again does not begin at zero.
        """
        preview = preview_key(self._key)
        wanted: dict[ListenerKey, tuple[str, ...]] = {}
        if on:
            wanted[self._key] = (self._stable, self._canary)
            if experiment:
                wanted[preview] = (self._canary,)
        for key in self._counted.keys() - wanted.keys():
            self._hands.count(key, ())
            del self._counted[key]
        for key, upstreams in wanted.items():
            if key not in self._counted and self._hands.count(key, upstreams):
                self._counted[key] = upstreams
                if self._step_began is not None:
                    alone = self._stable_before is not None
                    self.begin(experiment=self.canary_key == preview, alone=alone)
        self.complete = self._counted == wanted

    def begin(self, *, experiment: bool, alone: bool = False) -> None:
        """Let the step, and the time since the look before, begin now.

        `alone`: the canary has everything. Looks compare it with what stable did in the step
        before; else whatever breaks only under the whole load had nothing to be worse than.
        """
        if not alone:
            self._stable_before = None
        elif self._stable_before is None:
            self._stable_before = self.step().stable
        self.canary_key = preview_key(self._key) if experiment else self._key
        self._looked = self._step_began = self._now()
        self._main_began = self._main()

    def look(self) -> tuple[Window, Window]:
        """Return the window of the step and that since the look before, which begins anew."""
        before, now = self._looked, self._now()
        self._looked = now
        began = now if self._step_began is None else self._step_began
        return self._judged(_between(began, now)), self._judged(_between(before, now))

    def step(self) -> Window:
        """Return what came since the step began; after `keep` what there was then."""
        began = self._step_began
        return self._kept if began is None else _between(began, self._now())

    def seen(self) -> float | None:
        """Return the canary's share of the listener's connections in this step."""
        began, canary, stable = self._step_began, self._kept_main, self._kept.stable.opened
        if began is not None:
            canary = self._main() - self._main_began
            stable = self._hands.side(self._key, self._stable).opened - began.stable.opened
        return canary / (stable + canary) if stable + canary else None

    def keep(self) -> None:
        """Let the window of the step be as it is now: what comes later says nothing of it."""
        if self._step_began is not None:
            self._kept, self._kept_main = self.step(), self._main() - self._main_began
            self._step_began = None

    def _judged(self, window: Window) -> Window:
        stable = self._stable_before
        return window if stable is None else Window(stable, window.canary)

    def _now(self) -> Window:
        side = self._hands.side
        return Window(side(self._key, self._stable), side(self.canary_key, self._canary))

    def _main(self) -> int:
        return self._hands.side(self._key, self._canary).opened


def _between(began: Window, now: Window) -> Window:
    return Window(now.stable.since(began.stable), now.canary.since(began.canary))
