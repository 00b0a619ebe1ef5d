"""What a policy sees, what it may say, and what a kind of policy must be able to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from tenantproxy.model.lifecycle import State
from tenantproxy.model.spec import IdleRule, ListenerKey, PolicySpec

Action = Literal["sleep", "close"]


@dataclass(frozen=True, slots=True)
class ListenerSignals:
    """One listener at one instant."""

    key: ListenerKey
    labels: Mapping[str, str]
    """Of its tenant."""
    own: IdleRule | None
    """The `idle` key of the listener itself; it wins over every policy."""
    state: State
    connections: int
    """Open now, over all workers."""
    last_activity_s: float
    """CLOCK_MONOTONIC of the last byte, connect or close; of the opening if there was none."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy asks for; the control side does it, or finds that it no longer fits."""

    key: ListenerKey
    policy: str
    """Name of the policy, or `listener` for the rule of the listener itself."""
    action: Action
    reason: str
    """One sentence for people."""
    dry_run: bool
    """Only to be told, not to be done."""
    values: Mapping[str, float | int | str]
    """What the policy saw."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict or none, and when to ask again."""

    verdict: Verdict | None = None
    look_again_at_s: float | None = None
    """CLOCK_MONOTONIC; None: not before the state, the policies or the document changes."""


NOTHING: Judgement = Judgement()


class Policy(Protocol):
    """Judges; never acts. Synchronous, without I/O; time comes in as `now_s`."""

    @property
    def name(self) -> str: ...

    def judge(self, signals: ListenerSignals, now_s: float) -> Judgement: ...


MakePolicy = Callable[[PolicySpec], Policy]
"""Makes a policy of one kind from its document."""


@dataclass(slots=True)
class Kinds:
    """The kinds of policy by the name used in documents."""

    _makers: dict[str, MakePolicy] = field(default_factory=dict)

    def add(self, kind: str, make: MakePolicy) -> None:
        """Make a kind known.

        Raises:
            ValueError: there is one of that name.
        """
        if kind in self._makers:
            raise ValueError(f"the policy kind {kind!r} is defined twice")
        self._makers[kind] = make

    def make(self, spec: PolicySpec) -> Policy:
        """Return the policy that a document describes.

        Raises:
            KeyError: its kind is not known, which the document's check rules out.
        """
        return self._makers[spec.kind](spec)
