"""Sides are differences: since the step began, and since the look before."""

from tenantproxy.control.rollout_windows import Windows
from tenantproxy.model.sides import NOTHING, Side
from tests.control.rollout_support import KEY, PREVIEW, FakeHands


def scene():
    hands = FakeHands()
    return hands, Windows(hands, KEY, "v1", "v2")


def opened(hands, stable, canary, key=KEY):
    hands.sides[KEY, "v1"] = Side(opened=stable)
    hands.sides[key, "v2"] = Side(opened=canary)


def numbers(window):
    return window.stable.opened, window.canary.opened


def test_what_came_before_the_step_does_not_count():
    hands, windows = scene()
    opened(hands, 100, 50)
    windows.begin(experiment=False)
    opened(hands, 190, 60)
    assert numbers(windows.step()) == (90, 10)
    assert windows.seen() == 0.1


def test_a_look_sees_the_step_and_what_is_new_since_the_look_before():
    hands, windows = scene()
    opened(hands, 5, 5)
    windows.begin(experiment=False)
    opened(hands, 15, 6)
    assert [numbers(one) for one in windows.look()] == [(10, 1), (10, 1)]
    opened(hands, 35, 9)
    assert [numbers(one) for one in windows.look()] == [(30, 4), (20, 3)]
    windows.begin(experiment=False)
    opened(hands, 36, 11)
    assert [numbers(one) for one in windows.look()] == [(1, 2), (1, 2)]


def test_before_the_first_step_there_is_nothing():
    hands, windows = scene()
    opened(hands, 100, 50)
    assert windows.step().canary == NOTHING
    assert windows.seen() is None
    assert numbers(windows.look()[0]) == (0, 0)


def test_in_an_experiment_the_canary_is_what_comes_by_its_preview():
    hands, windows = scene()
    windows.begin(experiment=True)
    assert windows.canary_key == PREVIEW
    opened(hands, 40, 7, key=PREVIEW)
    assert numbers(windows.step()) == (40, 7)
    assert windows.seen() == 0.0
    windows.begin(experiment=False)
    assert windows.canary_key == KEY
    assert numbers(windows.step()) == (0, 0)


def test_a_canary_that_has_everything_is_compared_with_stable_in_the_step_before():
    hands, windows = scene()
    opened(hands, 100, 50)
    windows.begin(experiment=False)
    opened(hands, 190, 90)
    windows.begin(experiment=False, alone=True)
    opened(hands, 191, 99)
    assert [numbers(one) for one in windows.look()] == [(90, 9), (90, 9)]
    opened(hands, 191, 109)
    assert [numbers(one) for one in windows.look()] == [(90, 19), (90, 10)]
    assert numbers(windows.step()) == (1, 19)
    windows.begin(experiment=False, alone=True)  # a step of 100 %, then the promotion
    opened(hands, 191, 110)
    assert [numbers(one) for one in windows.look()] == [(90, 1), (90, 1)]
    windows.begin(experiment=False)
    assert [numbers(one) for one in windows.look()] == [(0, 0), (0, 0)]


def test_what_is_kept_does_not_change_any_more():
    hands, windows = scene()
    windows.begin(experiment=False)
    opened(hands, 30, 10)
    windows.keep()
    opened(hands, 0, 0)
    windows.keep()
    assert numbers(windows.step()) == (30, 10)
    assert windows.seen() == 0.25


def test_counting_is_asked_for_once():
    hands, windows = scene()
    windows.count(on=True)
    windows.count(on=True)
    windows.count(on=False)
    windows.count(on=False)
    assert hands.did == [("count", KEY, ("v1", "v2")), ("count", KEY, ())]


def test_a_preview_counts_only_in_an_experiment():
    hands, windows = scene()
    windows.count(on=True, experiment=True)
    assert hands.of("count") == [[KEY, ("v1", "v2")], [PREVIEW, ("v2",)]]
    hands.did.clear()
    hands.listener = lambda key: key
    windows.count(on=True)
    assert hands.of("count") == [[PREVIEW, ()]]


def test_a_preview_that_never_was_gives_back_what_it_would_have_counted_with():
    hands, windows = scene()
    windows.count(on=True, experiment=True)
    hands.did.clear()
    windows.count(on=False)
    assert sorted(hands.of("count")) == [[KEY, ()], [PREVIEW, ()]]


def test_counters_that_were_not_left_are_asked_for_again_and_the_window_begins_with_them():
    hands, windows = scene()
    hands.uncounted = {KEY}
    windows.count(on=True)
    windows.begin(experiment=False)
    assert not windows.complete
    hands.uncounted.clear()
    opened(hands, 900, 900)
    windows.count(on=True)
    assert windows.complete
    assert numbers(windows.step()) == (0, 0)
    opened(hands, 903, 901)
    assert [numbers(one) for one in windows.look()] == [(3, 1), (3, 1)]
    windows.count(on=False)
    assert windows.complete
