"""States of a listener and the only moves between them.

Every change of state goes through `move`; the diagram in
`docs/architecture.md` is drawn from `MOVES` (`make docs`), so it cannot drift.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a listener is in its life, said by what exists."""

    ASLEEP = "asleep"
    """Bound; the control process alone watches the socket."""
    OPENING = "opening"
    """Handed to workers; none has said yet that it accepts."""
    OPEN = "open"
    """At least one worker accepts."""
    DRAINING = "draining"
    """No worker accepts; live connections end or are cut."""
    CLOSED = "closed"
    """No socket."""
    COOLING = "cooling"
    """No socket, and the number is kept for its owner."""
    FAILED = "failed"
    """No socket because of an error; tried again with back-off."""


MOVES: dict[State, dict[State, str]] = {
    State.CLOSED: {
        State.ASLEEP: "bound",
        State.COOLING: "number reserved",
        State.FAILED: "cannot bind",
    },
    State.ASLEEP: {
        State.OPENING: "first connection, open, or always open",
        State.DRAINING: "close",
    },
    State.OPENING: {
        State.OPEN: "a worker accepts",
        State.DRAINING: "close",
    },
    State.OPEN: {
        State.DRAINING: "idle, sleep or close",
    },
    State.DRAINING: {
        State.OPENING: "a connection arrived",
        State.ASLEEP: "drained, to sleep",
        State.CLOSED: "drained, to close",
    },
    State.COOLING: {
        State.ASLEEP: "bound again",
        State.CLOSED: "reservation ended",
        State.FAILED: "cannot bind",
    },
    State.FAILED: {
        State.ASLEEP: "bound at last",
        State.CLOSED: "removed",
    },
}


class IllegalMove(AssertionError):
    """A move that the table lacks: a bug of ours, never bad input."""


def move(old: State, new: State) -> State:
    """Return `new`.

    Raises:
        IllegalMove: the table has no such move from `old`.
    """
    if new not in MOVES[old]:
        raise IllegalMove(f"{old} -> {new}")
    return new


def diagram() -> str:
    """Return the table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> closed"]
    lines += [
        f"    {old} --> {new}: {why}" for old, moves in MOVES.items() for new, why in moves.items()
    ]
    return "\n".join([*lines, "    closed --> [*]"])
