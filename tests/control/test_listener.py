"""The record of one port."""

import pytest

from tenantproxy.control.listener import Listener
from tenantproxy.model.lifecycle import IllegalMove, State
from tests.control.support import listener


def test_a_move_changes_state_reason_and_epoch():
    one = Listener(listener(), 20_001, 1)
    one.move(State.ASLEEP, "bound")
    assert (one.state, one.reason, one.epoch) == (State.ASLEEP, "bound", 1)
    assert one.observed().state is State.ASLEEP


def test_an_illegal_move_changes_nothing():
    one = Listener(listener(), 20_001, 1)
    with pytest.raises(IllegalMove):
        one.move(State.OPEN, "no")
    assert (one.state, one.epoch) == (State.CLOSED, 0)


def test_ids_are_never_used_twice():
    assert len({Listener(listener(), 1, 1).id for _ in range(100)}) == 100
