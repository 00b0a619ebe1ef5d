"""The table of phases: every listed move works, every other one raises, every way ends."""

import pytest

from tenantproxy.model.lifecycle import IllegalMove
from tenantproxy.model.rollout_phases import ENDED, JUDGED, MOVES, ON_ITS_WAY, Phase, diagram, move


@pytest.mark.parametrize(("old", "new"), [(old, new) for old in Phase for new in Phase])
def test_a_move_is_legal_exactly_when_the_table_has_it(old, new):
    if new in MOVES[old]:
        assert move(old, new) is new
    else:
        with pytest.raises(IllegalMove, match=f"rollout: {old} -> {new}"):
            move(old, new)


def test_every_phase_can_be_reached_and_left():
    assert set(MOVES) == set(Phase)
    assert {new for moves in MOVES.values() for new in moves} == set(Phase)
    assert all(MOVES.values())


def test_from_every_phase_a_way_leads_to_every_end():
    for start in Phase:
        seen, todo = set(), [start]
        while todo:
            phase = todo.pop()
            if phase not in seen:
                seen.add(phase)
                todo += MOVES[phase]
        assert seen >= ENDED


def test_a_phase_is_before_on_its_way_or_ended():
    assert not ON_ITS_WAY & ENDED
    assert set(Phase) - ON_ITS_WAY - ENDED == {Phase.WAITING}
    assert JUDGED < ON_ITS_WAY


def test_what_ended_goes_on_through_the_beginning_or_a_rollback_only():
    for phase in ENDED:
        assert set(MOVES[phase]) <= {Phase.WAITING, Phase.ROLLING_BACK}


def test_the_diagram_has_one_arrow_for_each_move():
    arrows = [line for line in diagram().splitlines() if "-->" in line and "[*]" not in line]
    assert len(arrows) == sum(map(len, MOVES.values()))
    assert diagram().count("--> [*]") == len(ENDED)
