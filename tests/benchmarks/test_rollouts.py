"""Simulated rollouts end as they should, with the judgement and the machine of the program."""

import numpy as np
import pytest

from benchmarks.own.canaries import ALIKE, Kind, Weather, interval, together
from benchmarks.own.registry import OWN
from benchmarks.own.rollouts import SLOWER, STRICT, Case, roll, share_caught
from tenantproxy.model.rollout import Phase
from tenantproxy.model.sides import NOTHING


def test_canaries_that_are_alike_are_not_rolled_back():
    for case in (Case(), Case(checks=STRICT, samples=200)):
        _, caught = share_caught(case, 12)
        assert not caught, [one.reason for one in caught]


@pytest.mark.parametrize(
    "case",
    [
        Case(Kind(more_failures=0.05), failures=0.002),
        Case(Kind(slower=3.0), checks=SLOWER),
    ],
)
def test_bad_canaries_are_caught_and_few_clients_are_hurt(case):
    share, caught = share_caught(case, 12)
    assert share > 0.9
    weights = {1: 0.05, 2: 0.25, 3: 0.5}
    assert all(0 < one.hurt < 1.2 * weights[one.step] for one in caught)
    assert all("failed 2 times" in one.reason for one in caught)


def test_a_seed_says_everything():
    case = Case(Kind(more_failures=0.05))
    assert roll(case, 7) == roll(case, 7)
    assert {roll(case, seed).canary for seed in range(5)} != {roll(case, 7).canary}


def test_a_good_canary_goes_through_to_the_end():
    assert roll(Case(samples=200), 1).phase is Phase.SUCCEEDED


def test_an_interval_has_what_it_is_told_to_have():
    weather = Weather(np.random.default_rng(1), failures=0.1)
    good, bad = (interval(weather, kind, 20_000) for kind in (ALIKE, Kind(0.05, 2.0)))
    assert good.opened == sum(good.first_byte) == good.ended
    assert good.resets / good.ended == pytest.approx(0.1, abs=0.02)
    assert bad.resets / bad.ended == pytest.approx(0.15, abs=0.02)
    assert together(together(NOTHING, good), good).resets == 2 * good.resets


def test_it_can_be_asked_for_by_name():
    assert "rollouts" in OWN
