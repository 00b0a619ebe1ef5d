"""One rollout at run time: its timer, its questions, and the deeds that its machine wishes.

What becomes of it `model.rollout` decides alone; here is the clock that asks it, and the hands
that do as it says. Whatever raises here stops this rollout, and no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

from tenantproxy import clock
from tenantproxy.control import rollout_looks
from tenantproxy.control.question import Question
from tenantproxy.control.rebalance import Rebalancer
from tenantproxy.control.rollout_means import Means
from tenantproxy.control.rollout_split import RolloutSplit
from tenantproxy.control.rollout_windows import Windows
from tenantproxy.model.derive import Carried
from tenantproxy.model.findings import Finding, GateAnswer, Subject
from tenantproxy.model.rollout import (
    ENDED,
    ON_ITS_WAY,
    AskGate,
    Command,
    EndCanary,
    NewWindow,
    Phase,
    Progress,
    Promote,
    Restore,
    Say,
    SetPreview,
    SetWeight,
    Signals,
    Wish,
    advance,
    begin,
    due_s,
)
from tenantproxy.model.rollout_spec import GateName, RolloutSpec
from tenantproxy.model.spec import ListenerKey, SplitMember

ROLLING_BACK_EVERY_S = 0.25
"""How often it is looked at whether the canary's connections have ended."""
_SHORTEST_S = 0.01
"""Shortest wait of the timer, so that nothing can make it spin."""
_ROUNDING_S = 0.001
"""Timers of the loop count in milliseconds; one that is early would be for nothing."""
_MOVING = frozenset({Phase.RUNNING, Phase.PROMOTING})


class Rollout:
    """Build it, `wake` it, and end it with `leave` or `close`."""

    def __init__(
        self,
        key: ListenerKey,
        spec: RolloutSpec,
        declared: tuple[SplitMember, ...],
        means: Means,
        token: str,
        *,
        carried: Carried | None = None,
        counts: Mapping[tuple[str, str], int] | None = None,
    ) -> None:
        """Begin by the split that is declared.

        Args:
            key: the listener.
            spec: what is wanted.
            declared: the listener's split.
            means: what it works with.
            token: something that no other rollout has: no two try the same clients first.
            carried: what the rollout before it left in force.
            counts: the check counts of the rollout before it.
        """
        self.key, self.spec = key, spec
        self._means, self._hands = means, means.hands
        self.split = RolloutSplit(self._hands, key, spec, token, carried)
        self._started = False
        """It was on its way in this attempt."""
        self.counts = rollout_looks.no_counts(spec, counts or {})
        self.windows = Windows(self._hands, key, spec.stable, spec.canary)
        self.look: Question[tuple[Finding, ...]] = Question(
            means.background, f"judges of rollout {key}"
        )
        self._gate: Question[GateAnswer] = Question(means.background, f"gate of rollout {key}")
        self._rebalancer = Rebalancer(self._hands, key, spec)
        self._timer: asyncio.TimerHandle | None = None
        self._broken = False
        self.progress = begin(spec, self.split.found(declared), clock.monotonic_s())

    # What comes in ---------------------------------------------------------------

    def wake(self) -> None:
        """Let it go on if it can; what is in force is then what it wants."""
        self._safely(lambda: self._react(Signals(), clock.monotonic_s()))
        self._safely(lambda: self.split.carry(self.progress.attempt))
        self._arm()

    def command(self, command: Command, *, dry_run: bool = False) -> None:
        """Do what a person says; weights are out when this returns.

        With `dry_run` nothing is done but to see whether it fits.

        Raises:
            Conflict: it does not fit the phase; nothing has changed.
        """
        now_s = clock.monotonic_s()
        after = advance(self.spec, self._base(command, now_s), self._signals(command), now_s)
        if dry_run:
            return
        self._broken = False
        try:
            self._become(*after, now_s)
        except Exception as error:
            self._broke(error)
            raise
        finally:
            self._arm()

    def split_changed(self, declared: tuple[SplitMember, ...]) -> None:
        """Take note that the declared split is another one, whoever changed it."""
        phase = self.progress.phase
        if self.split.declaring:
            return
        if phase in ON_ITS_WAY:
            self._say(
                "rollout_keeps_split",
                "the declared split changed: the shares of "
                f"{self.spec.stable} and {self.spec.canary} stay the rollout's until it ends",
            )
            return
        self.split.release()
        if phase is Phase.WAITING:
            self._drop()
            self._broken = self.split.preview = False
            found, attempt = self.split.found(declared), self.progress.attempt
            self.progress = begin(self.spec, found, clock.monotonic_s(), attempt=attempt)
        self.wake()

    def leave(self, why: str, *, for_another: bool = False) -> Carried | None:
        """End it at once: it is no longer wanted. What is declared is in force then.

        `for_another`: what is in force stays for the rollout that follows, and is returned.
        """
        self._drop()
        if not for_another:
            self.split.release()
            self.split.preview = False
            self.split.carry(self.progress.attempt)
        if self.progress.phase in ON_ITS_WAY:
            self.progress = replace(self.progress, phase=Phase.ABORTED, reason=why, cause=why)
            self._say("rollout_aborted", why)
            gate, about = self.spec.gates.after_end, self.about()
            if gate is not None:
                self._gate.ask(
                    lambda: rollout_looks.asked_gate(self._means.judges, "after_end", gate, about),
                    lambda said: self._say("rollout_gate", f"{said.gate}: {said.reason}"),
                )
        self.windows.count(on=False)
        return self.split.carried

    def close(self) -> list[asyncio.Task[None]]:
        """Stop without a word: the daemon goes down. Return tasks that are ending."""
        self._broken = True
        return self._drop()

    # What it looks like ------------------------------------------------------------

    @property
    def step(self) -> int:
        """The step counted from 1; 0 before the first."""
        phase, steps = self.progress.phase, len(self.spec.steps)
        if phase is Phase.SUCCEEDED:
            return steps
        if not self._started or self.progress.gate == "before_start":
            return 0
        return min(self.progress.step + 1, steps)

    def about(self) -> Subject:
        """Return what judges and gates are told."""
        return rollout_looks.subject(self.key, self.spec, self.progress, self.step)

    # The clock ---------------------------------------------------------------------

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._broken:
            return
        now_s, progress = clock.monotonic_s(), self.progress
        due = due_s(self.spec, progress)
        if self.look and due is not None and due <= now_s:
            due = None  # nothing can be said before the judges have answered
        times = [
            due,
            None if self.look else progress.look_at_s,
            self._rebalancer.due_s,
            now_s + ROLLING_BACK_EVERY_S if progress.phase is Phase.ROLLING_BACK else None,
        ]
        known = [at_s for at_s in times if at_s is not None]
        if known:
            in_s = max(min(known) - now_s + _ROUNDING_S, _SHORTEST_S)
            self._timer = asyncio.get_running_loop().call_later(in_s, self._tick)

    def _tick(self) -> None:
        self._safely(self._be_due)
        self._arm()

    def _be_due(self) -> None:
        now_s, look_at_s = clock.monotonic_s(), self.progress.look_at_s
        if look_at_s is not None and look_at_s <= now_s and not self.look:
            self._look(now_s)
        else:
            self._react(Signals(), now_s)
        self._rebalancer.tick(self.progress.weight, now_s)

    def _look(self, now_s: float) -> None:
        """Judge: at once if nobody has to be asked, else when all have answered."""
        spec, judges = self.spec, self._means.judges
        mine = rollout_looks.seen_findings(
            self._hands, self.key, spec, self.windows, self.progress.looks + 1
        )
        if not spec.analysis.outside:
            self._react(Signals(look=mine), now_s)
            return
        about = self.about()
        self.look.ask(
            lambda: rollout_looks.asked_findings(judges, spec.analysis.outside, about),
            lambda theirs: self._take(Signals(look=(*mine, *theirs))),
        )
        self._react(Signals(), now_s)

    # Deciding and doing ---------------------------------------------------------------

    def _take(self, signals: Signals) -> None:
        self._safely(lambda: self._react(signals, clock.monotonic_s()))
        self._arm()

    def _safely(self, deed: Callable[[], None]) -> None:
        try:
            deed()
        except Exception as error:  # noqa: BLE001 - one rollout's bug must not stop the others
            self._broke(error)

    def _react(self, signals: Signals, now_s: float) -> None:
        if signals.look is not None:
            rollout_looks.count(self.spec, self.counts, signals.look)
        signals = replace(signals, canary_connections=self._canary_connections())
        self._become(*advance(self.spec, self.progress, signals, now_s), now_s)

    def _become(self, progress: Progress, wishes: tuple[Wish, ...], now_s: float) -> None:
        """Be what the machine says, and do what it wishes; weights first, and in this turn."""
        was, self.progress = self.progress, progress
        if (was.phase, was.step, was.attempt) != (progress.phase, progress.step, progress.attempt):
            self.look.drop()
        if was.attempt != progress.attempt:
            self._started = False
        for wish in wishes:
            match wish:
                case SetWeight(weight):
                    self.split.weight = weight
                case SetPreview(wanted):
                    self.split.preview = wanted
                case Promote():
                    self.split.promote()
                case _:
                    pass
        self.split.carry(progress.attempt)
        self._count()
        for wish in wishes:
            self._do(wish)
        self._rebalancer.use(now_s, wanted=self._moves())

    def _do(self, wish: Wish) -> None:
        hands, key, spec = self._hands, self.key, self.spec
        match wish:
            case NewWindow():
                alone = self.progress.weight >= 100  # noqa: PLR2004 - percent
                self.windows.begin(experiment=self._experiment(), alone=alone)
            case AskGate(name):
                self._ask(name)
            case EndCanary(how) if how != "keep":
                window_s = hands.drain_s(key) if how == "drain" else 0.0
                hands.end(key, spec.canary, how, window_s)
            case Restore():
                self.split.restore()
            case Say(event, reason, level):
                self._say(event, reason, level)
            case _:
                pass  # done before

    def _count(self) -> None:
        on = self.progress.phase in ON_ITS_WAY
        self._started = self._started or (on and self.progress.gate != "before_start")
        if on:
            self.windows.count(on=True, experiment=self._experiment())
        if self.progress.phase not in _MOVING and self.progress.phase is not Phase.PAUSED:
            self.windows.keep()
        if not on:
            self.windows.count(on=False)

    def _moves(self) -> bool:
        """Say whether connections shall follow: after success, too, while stable has any left."""
        if self.progress.phase is Phase.SUCCEEDED and self.split.before is not None:
            return sum(self._hands.live(self.key, self.spec.stable)) > 0
        return self.progress.phase in _MOVING

    def _experiment(self) -> bool:
        steps, step = self.spec.steps, self.progress.step
        return step < len(steps) and steps[step].kind == "experiment"

    def _ask(self, name: GateName) -> None:
        gate, about = self.spec.gates.named(name), self.about()
        if gate is not None:
            self._gate.ask(
                lambda: rollout_looks.asked_gate(self._means.judges, name, gate, about),
                lambda answer: self._take(Signals(gate=answer)),
            )

    def _base(self, command: Command, now_s: float) -> Progress:
        """Return what a command starts from.

        One that has ended and whose split is as declared begins where that is now.
        """
        progress = self.progress
        if command == "start" and progress.phase in ENDED and self.split.weight is None:
            attempt = progress.attempt + 1
            base = begin(self.spec, self.split.percent, now_s, attempt=attempt)
            if base.phase is Phase.WAITING:
                return base
        return progress

    def _signals(self, command: Command) -> Signals:
        return Signals(command=command, canary_connections=self._canary_connections())

    def _canary_connections(self) -> int:
        return sum(self._hands.live(self.key, self.spec.canary))

    def _drop(self) -> list[asyncio.Task[None]]:
        """Stop the timer and every question."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return [task for task in (self.look.drop(), self._gate.drop()) if task is not None]

    def _broke(self, error: Exception) -> None:
        """Stop here: a bug is no verdict, so a person has to look."""
        self._drop()
        self._broken = True
        why = f"an internal error: {error!r}"
        self._say("internal_error", why, "error")
        if self.progress.phase in ENDED:
            return
        self.progress = replace(
            self.progress,
            phase=Phase.PAUSED if self.progress.phase in ON_ITS_WAY else self.progress.phase,
            reason=why,
            cause=why,
            since_s=clock.monotonic_s(),
            look_at_s=None,
            gate=None,
            ask_at_s=None,
            stuck_at_s=None,
            waits_for="",
            ends_as=None,
        )
        if self.progress.phase is Phase.PAUSED:
            self._say("rollout_paused", why, "error")

    def _say(
        self, event: str, reason: str, level: Literal["info", "warning", "error"] = "info"
    ) -> None:
        self._means.events.add(
            event,
            reason,
            tenant=self.key.tenant,
            about=f"listener/{self.key.listener}",
            level=level,
            step=self.step,
            weight=self.progress.weight,
            state=self.progress.phase.value,
            stable=self.spec.stable,
            canary=self.spec.canary,
        )
