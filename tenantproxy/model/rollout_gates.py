"""Gates of a rollout: when they are asked, and what their answers do."""

from __future__ import annotations

from tenantproxy.model.findings import GateAnswer
from tenantproxy.model.rollout_counts import count_of, once_more, without
from tenantproxy.model.rollout_phases import ENDED, Phase
from tenantproxy.model.rollout_spec import GateName
from tenantproxy.model.rollout_turn import Turn, leave_step, overdue, overdue_s, pause, start
from tenantproxy.model.rollout_values import AskGate

TOLD_AGAIN = 3
"""So many times is `after_end` asked again that cannot be reached: it decides nothing."""


def ask(turn: Turn, name: GateName) -> None:
    """Ask a gate; nothing goes on before it opens."""
    turn.wish(AskGate(name))
    turn.change(gate=name, ask_at_s=None)
    turn.wait(f"gate {name}", counts=True)


def withdraw(turn: Turn) -> None:
    """Ask no more: something else is to be waited for first. An answer that still comes is late."""
    turn.change(gate=None, ask_at_s=None)


def press(turn: Turn) -> None:
    """Ask the gate that did not open again when it is time, or give up.

    An answer that is on its way is waited for, also beyond the deadline.
    """
    progress = turn.progress
    if progress.ask_at_s is None:
        return
    at_s = overdue_s(turn.spec, progress)
    if at_s is not None and turn.now_s >= at_s:
        overdue(turn, unreachable=bool(count_of(progress.inconclusive, f"gate {progress.gate}")))
    ask_again(turn)


def ask_again(turn: Turn) -> None:
    """Ask the gate again if it is time."""
    progress = turn.progress
    if progress.gate is None or progress.ask_at_s is None or turn.now_s < progress.ask_at_s:
        return
    turn.wish(AskGate(progress.gate))
    turn.change(ask_at_s=None)


def hear(turn: Turn, answer: GateAnswer) -> None:
    """Take the answer of the gate that is being asked; any other is late and changes nothing."""
    progress = turn.progress
    awaited = progress.gate == answer.gate and progress.ask_at_s is None
    if not awaited or progress.phase is Phase.PAUSED:
        return
    name = f"gate {answer.gate}"
    if answer.answer == "unreachable":
        turn.change(inconclusive=once_more(progress.inconclusive, name))
        turn.say("rollout_inconclusive", f"{name}: out of reach: {answer.reason}", "warning")
    else:
        turn.change(inconclusive=without(progress.inconclusive, name))
    if progress.phase in ENDED:
        _told(turn, answer)
    elif answer.answer == "open":
        turn.say("rollout_gate", f"{name}: open: {answer.reason}")
        if progress.phase is Phase.WAITING:
            start(turn)
        else:
            leave_step(turn)
    else:
        _not_yet(turn, answer)


def _not_yet(turn: Turn, answer: GateAnswer) -> None:
    name = f"gate {answer.gate}"
    closed = answer.answer == "closed"
    text = f"{name}: {'closed' if closed else 'out of reach'}: {answer.reason}"
    times = count_of(turn.progress.inconclusive, name)
    if times > turn.spec.analysis.inconclusive_allowed:
        cause = f"{name} was out of reach {times} times in a row: {answer.reason}"
        pause(turn, cause, cause=cause)
        return
    if closed and text != turn.progress.waits_for:
        turn.say("rollout_gate", text, "warning")
    turn.change(ask_at_s=turn.now_s + turn.spec.analysis.every_s)
    turn.wait(text, counts=True)


def _told(turn: Turn, answer: GateAnswer) -> None:
    name = f"gate {answer.gate}"
    if answer.answer != "unreachable":
        turn.say("rollout_gate", f"{name}: {answer.answer}: {answer.reason}")
        turn.change(gate=None)
    elif count_of(turn.progress.inconclusive, name) > TOLD_AGAIN:
        turn.change(gate=None)
    else:
        turn.change(ask_at_s=turn.now_s + turn.spec.analysis.every_s)
