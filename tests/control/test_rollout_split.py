"""What a rollout does to a split and to the declared state."""

import pytest

from tenantproxy.control.rollout_split import RolloutSplit
from tenantproxy.model.derive import Carried
from tenantproxy.model.spec import SplitMember
from tests.control.rollout_support import KEY, SPLIT, FakeHands, plan, web, weights


def scene(split=SPLIT, carried=None):
    hands = FakeHands()
    hands.listeners[KEY] = web(None, split)
    return hands, RolloutSplit(hands, KEY, plan(), "token", carried)


def test_the_percent_is_the_declared_one_until_another_is_carried():
    _, split = scene((SplitMember("v1", 3), SplitMember("v2", 1)))
    assert split.percent == 25
    split.weight = 5
    assert split.percent == 5


def test_what_the_rollout_before_left_is_not_carried_again():
    left = Carried("v1", "v2", None, "auto")
    hands, split = scene(carried=left)
    split.preview = True
    split.carry(0)
    assert hands.did == []
    split.preview = False
    split.carry(0)
    assert hands.did == [("carry", KEY, None)]


def test_what_could_not_be_carried_is_asked_for_again():
    hands, split = scene()
    split.weight = 0
    hands.raises["carry"] = OSError()
    with pytest.raises(OSError):
        split.carry(0)
    hands.raises.clear()
    split.carry(0)
    assert [carried.weight for _, carried in hands.of("carry")] == [0]


def test_what_is_declared_by_us_is_known_to_be_ours():
    hands, split = scene()
    seen = []
    hands.on_declare = lambda *_: seen.append(split.declaring)
    split.promote()
    split.restore()
    assert seen == [True, True]
    assert not split.declaring
    assert hands.declared(KEY) == SPLIT


def test_a_declaration_that_fails_is_over_all_the_same():
    hands, split = scene()
    hands.raises["declare"] = OSError()
    with pytest.raises(OSError):
        split.promote()
    assert not split.declaring


def test_without_a_promotion_stable_gets_what_the_two_have():
    hands, split = scene((SplitMember("v3", 50), SplitMember("v2", 50)))
    split.restore()
    assert weights(hands.declared(KEY)) == {"v1": 50, "v3": 50, "v2": 0}
