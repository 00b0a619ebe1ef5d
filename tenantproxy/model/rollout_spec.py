"""A rollout as it is written: steps, checks, gates. Values only, as in `spec`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Signal = Literal[
    "connect_failures",
    "resets",
    "early_closes",
    "connect_time",
    "first_byte",
    "duration",
    "bytes_in",
    "bytes_out",
]
"""What the proxy counts of each side by itself. The first three are shares of connections, the
others are times and sizes of which a quantile or the shape is judged."""
QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99)
"""Of times and sizes: `first_byte_p99`."""

Start = Literal["auto", "manual"]
NoTraffic = Literal["pass", "hold", "fail"]
OnFailure = Literal["rollback", "pause"]
CanaryConnections = Literal["keep", "drain", "kill"]
StepKind = Literal["weight", "pause", "experiment"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a weight and how long it is held, a pause, or an experiment."""

    kind: StepKind
    weight: int = 0
    """Percent of what stable and canary have together that goes to the canary; of `weight` only.
    An experiment has 0, and a pause what the step before it has."""
    hold_s: float | None = None
    """Shortest time in this step; None: one analysis. A pause lasts until it is resumed."""


@dataclass(frozen=True, slots=True)
class SignalCheck:
    """Judges something that the proxy sees by itself, canary against a bound or against stable."""

    name: str
    """As people read it, and a metric label: `resets`, `first_byte_p99`, `duration_shape`."""
    signal: Signal
    quantile: float | None = None
    """Of times and sizes, one of `QUANTILES`; None there: the shape of the distribution."""
    max: float | None = None
    """Bound of the canary alone: a share (0.01), seconds, or bytes."""
    over_stable: float | None = None
    """How far the canary may be above stable. Of shares in points (0.02: 1 % may become 3 %), of
    quantiles as a part (0.5: half as much again). Of a shape: how far from alike (0) to wholly
    apart (1) the two may be, |2 * AUC - 1|."""
    under_s: float = 0.0
    """Of `early_closes`: a connection that the upstream ends at this age or sooner counts too,
    also when it had answered."""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class OutsideCheck:
    """Asks a judge outside of the proxy.

    `prometheus`: an instant query, whose result has to be one number within `max` and `min`.
    `webhook`: a POST; 2xx passes, 4xx fails (but 401, 404, 405, 407, 408, 429, which are about the
    question), anything else could not judge.
    `command`: a program beside the daemon; exit code 0 passes, 1 fails, any other could not judge.
    """

    name: str
    kind: Literal["prometheus", "webhook", "command"]
    url: str = ""
    query: str = ""
    """`{{tenant}}`, `{{listener}}`, `{{stable}}`, `{{canary}}` and `{{interval}}` are filled in."""
    run: tuple[str, ...] = ()
    """The program and its arguments."""
    max: float | None = None
    min: float | None = None
    timeout_s: float = 10.0
    dry_run: bool = False


DEFAULT_CHECKS: tuple[SignalCheck, ...] = (
    SignalCheck("connect_failures", "connect_failures", over_stable=0.01),
    SignalCheck("resets", "resets", over_stable=0.01),
    SignalCheck("early_closes", "early_closes", over_stable=0.01),
)


@dataclass(frozen=True, slots=True)
class Analysis:
    """How often the canary is judged, by what, and how much is forgiven."""

    every_s: float = 60.0
    min_samples: int = 20
    """Fewer samples than these, of a side that a check looks at, decide nothing."""
    failures_allowed: int = 1
    """So many times may one check fail within one step."""
    inconclusive_allowed: int = 3
    """So many times in a row may a judge be out of reach; once more pauses the rollout."""
    signals: tuple[SignalCheck, ...] = DEFAULT_CHECKS
    """Checks of what the proxy sees by itself."""
    outside: tuple[OutsideCheck, ...] = ()
    """Checks that others make."""

    @property
    def checks(self) -> tuple[SignalCheck | OutsideCheck, ...]:
        """Return all of them; no two have one name."""
        return (*self.signals, *self.outside)


GateName = Literal["before_start", "before_step", "before_promotion", "after_end"]


@dataclass(frozen=True, slots=True)
class Gate:
    """A webhook that is asked by POST before the rollout goes on: 2xx opens it."""

    url: str
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Gates:
    """Who is asked, and when. `after_end` is told how it ended, and decides nothing."""

    before_start: Gate | None = None
    before_step: Gate | None = None
    """Before every step but the first."""
    before_promotion: Gate | None = None
    after_end: Gate | None = None

    def named(self, name: GateName) -> Gate | None:
        """Return the gate of this name."""
        gate: Gate | None = getattr(self, name)
        return gate


@dataclass(frozen=True, slots=True)
class RolloutSpec:
    """A plan that moves a split from stable to canary."""

    stable: str
    """`from` in the document."""
    canary: str
    """`to` in the document."""
    steps: tuple[Step, ...]
    start: Start = "auto"
    preview: Literal["auto"] | int | None = "auto"
    """Port of the preview listener; None: there is none."""
    analysis: Analysis = Analysis()
    gates: Gates = Gates()
    no_traffic: NoTraffic = "hold"
    """What a check with too few samples means when the step would end: go on, wait, or failure."""
    on_failure: OnFailure = "rollback"
    canary_connections: CanaryConnections = "keep"
    """What becomes of the canary's live connections at a rollback."""
    deadline_s: float = 600.0
    """Longest time beyond its hold that a step may last, but for pauses and want of traffic."""
    rollback_window_s: float = 3600.0
    """How long after success `rollout rollback` goes back to what was stable before."""
    rebalance_per_s: float | None = None
    """Part of the listener's live connections that may be drained in a second so that they follow
    the weights; None: they stay where they are."""
    dry_run: bool = False
    """Steps are taken, and no check ends the rollout: what it would have done is only said."""

    def weight_of(self, step: int) -> int:
        """Return the canary's percent in a step; before the first it is 0, behind the last 100."""
        if step >= len(self.steps):
            return 100
        for one in reversed(self.steps[: step + 1]):
            if one.kind != "pause":
                return one.weight
        return 0

    def hold_of(self, step: int) -> float:
        """Return how long a step is held at least, in seconds; of a pause 0."""
        one = self.steps[step]
        if one.kind == "pause":
            return 0.0
        return self.analysis.every_s if one.hold_s is None else one.hold_s
