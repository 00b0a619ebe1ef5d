"""Long connections are ended at a pace, and only while somebody wants them to move."""

import pytest

from tenantproxy.control.rebalance import Rebalancer
from tests.control.rollout_support import KEY, FakeHands, plan


def scene(pace=0.05 / 60):
    hands = FakeHands()
    hands.lives = {(KEY, "v1"): (600, 300), (KEY, "v2"): (0, 0)}
    return hands, Rebalancer(hands, KEY, plan(rebalance_per_s=pace))


def test_the_side_that_has_too_many_gives_every_ten_seconds():
    hands, balancer = scene()
    balancer.use(100.0, wanted=True)
    assert balancer.due_s == 110.0
    balancer.use(105.0, wanted=True)
    balancer.tick(50, 109.9)
    assert hands.did == []
    balancer.tick(50, 110.0)
    assert hands.did == [("end", KEY, "v1", "rebalance", 10.0, {0: 5, 1: 2})]
    assert balancer.due_s == 120.0
    balancer.tick(50, 120.0)
    # Half a connection was left over from the time before.
    assert sum(hands.did[-1][-1].values()) == 8


def test_a_canary_with_too_many_gives_too_and_workers_without_any_are_not_asked():
    hands, balancer = scene(pace=1.0)
    hands.lives = {(KEY, "v1"): (1, 1), (KEY, "v2"): (0, 18)}
    balancer.use(0.0, wanted=True)
    balancer.tick(50, 10.0)
    assert hands.did == [("end", KEY, "v2", "rebalance", 10.0, {1: 8})]


def test_a_loop_that_was_held_up_does_not_make_up_for_it():
    hands, balancer = scene()
    balancer.use(0.0, wanted=True)
    balancer.tick(50, 1000.0)
    assert sum(hands.did[0][-1].values()) == 15


@pytest.mark.parametrize("pace", [None, 0.1])
def test_it_rests_when_nobody_wants_it(pace):
    hands, balancer = scene(pace)
    balancer.use(0.0, wanted=pace is None)
    assert balancer.due_s is None
    balancer.tick(50, 1000.0)
    assert hands.did == []


def test_it_ends_nobody_when_weights_are_as_they_shall_be():
    hands, balancer = scene()
    balancer.use(0.0, wanted=True)
    balancer.tick(0, 10.0)
    assert hands.did == []
    balancer.use(11.0, wanted=False)
    assert balancer.due_s is None
