"""Decide what to do with ports. No I/O, no clock, no logging: values in, values out.

`plan` works on any subset of the listeners as long as both mappings are cut
to the same keys: a change of one tenant is planned without walking over ten
thousand others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tenantproxy.model.lifecycle import State
from tenantproxy.model.spec import ListenerKey, ListenerSpec


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of one listener."""

    spec: ListenerSpec
    port: int
    withdrawn: bool = False
    """A policy or a person closed it; it stays closed until it is wanted again."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A listener as it is, not as it was last asked to be."""

    spec: ListenerSpec
    port: int
    state: State
    retry_at_s: float = 0.0
    """If failed: loop time before which it must not be tried again."""


@dataclass(frozen=True, slots=True)
class Bind:
    """Get the port; the listener is asleep afterwards, or opening if `open: always`."""

    spec: ListenerSpec
    port: int


@dataclass(frozen=True, slots=True)
class Update:
    """Same port, other split or timeouts: swap them, keep every connection."""

    spec: ListenerSpec


@dataclass(frozen=True, slots=True)
class Close:
    """Give the port up."""

    key: ListenerKey
    forget: bool
    """True: it is wanted no more, or on another port; False: it is withdrawn."""


Action = Bind | Update | Close

_WITHOUT_PORT = frozenset({State.CLOSED, State.COOLING})
_GOING_OR_GONE = _WITHOUT_PORT | {State.DRAINING}


def plan(
    desired: Mapping[ListenerKey, Wanted],
    observed: Mapping[ListenerKey, Observed],
    *,
    now_s: float,
) -> tuple[Action, ...]:
    """List the actions that bring `observed` towards `desired`.

    Closes come first, so that a number can change hands in one pass. Planning
    again once the actions are carried out gives an empty plan.
    """
    closes: list[Action] = []
    rest: list[Action] = []
    for key, seen in observed.items():
        want = desired.get(key)
        if want is None or (want.port != seen.port and not want.withdrawn):
            closes.append(Close(key, forget=True))
        elif want.withdrawn and seen.state not in _GOING_OR_GONE:
            closes.append(Close(key, forget=False))
    for key, want in desired.items():
        seen_now = observed.get(key)
        if want.withdrawn:
            if seen_now is not None and want.spec != seen_now.spec:
                rest.append(Update(want.spec))
        elif (
            seen_now is None
            or want.port != seen_now.port
            or seen_now.state in _WITHOUT_PORT
            or (seen_now.state is State.FAILED and now_s >= seen_now.retry_at_s)
        ):
            rest.append(Bind(want.spec, want.port))
        elif want.spec != seen_now.spec:
            rest.append(Update(want.spec))
    return (*closes, *rest)
