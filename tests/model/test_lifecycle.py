"""The table of states: every listed move works, every other one raises."""

import pytest

from tenantproxy.model.lifecycle import MOVES, IllegalMove, State, diagram, move

ALL = [(old, new) for old in State for new in State]


@pytest.mark.parametrize(("old", "new"), ALL)
def test_a_move_is_legal_exactly_when_the_table_has_it(old, new):
    if new in MOVES[old]:
        assert move(old, new) is new
    else:
        with pytest.raises(IllegalMove, match=f"{old} -> {new}"):
            move(old, new)


def test_every_state_can_be_reached_and_left():
    assert set(MOVES) == set(State)
    assert {new for moves in MOVES.values() for new in moves} == set(State)
    assert all(MOVES.values())


def test_from_every_state_a_way_leads_to_closed():
    for start in State:
        seen, todo = set(), [start]
        while todo:
            state = todo.pop()
            if state not in seen:
                seen.add(state)
                todo += MOVES[state]
        assert State.CLOSED in seen


def test_the_diagram_has_one_arrow_for_each_move():
    arrows = [line for line in diagram().splitlines() if "-->" in line and "[*]" not in line]
    assert len(arrows) == sum(map(len, MOVES.values()))
