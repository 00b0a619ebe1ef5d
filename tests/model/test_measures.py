"""A signal of one side: what counts, how much there is, and how it is told."""

import dataclasses

import pytest

from tenantproxy.model.measures import samples_of, share_of, told, value_of
from tenantproxy.model.rollout_spec import SignalCheck
from tenantproxy.model.sides import BYTE_BOUNDS, NO_BYTES, NO_TIMES, NOTHING, TIME_BOUNDS_S, Side
from tenantproxy.model.statistics import Share


def check(signal, quantile=None, **more):
    return SignalCheck("a", signal, quantile, **more)


def times(**counts):
    """Return a histogram; `_20ms=3`: three samples in the bucket that ends at 20 ms."""
    by_bound = {float(key[1:-2]) / 1000: count for key, count in counts.items()}
    assert by_bound.keys() <= set(TIME_BOUNDS_S)
    return (*(by_bound.get(bound, 0) for bound in TIME_BOUNDS_S), 0)


SIDE = Side(
    opened=90,
    failed=10,
    ended=80,
    resets=4,
    silent=2,
    closed_age=times(_300ms=5, _500ms=7, _600ms=9),
)


@pytest.mark.parametrize(
    ("what", "share"),
    [
        (check("connect_failures"), Share(10, 100)),
        (check("resets"), Share(4, 90)),
        (check("early_closes"), Share(2, 90)),
        (check("early_closes", under_s=0.5), Share(14, 90)),
        (check("early_closes", under_s=0.55), Share(14, 90)),
        (check("early_closes", under_s=0.6), Share(23, 90)),
    ],
)
def test_a_share_is_of_all_that_could_have(what, share):
    assert share_of(what, SIDE) == share
    assert value_of(what, SIDE) == share.value


@pytest.mark.parametrize("signal", ["connect_failures", "resets", "early_closes"])
def test_no_share_is_above_all_or_below_none_even_if_words_do_not_agree(signal):
    odd = Side(opened=-3, failed=-1, ended=2, resets=5, silent=4)
    share = share_of(check(signal), odd)
    assert 0 <= share.part <= share.whole


def test_only_what_answered_or_ended_says_something_of_resets_and_early_closes():
    answered = dataclasses.replace(SIDE, first_byte=times(_20ms=85))
    for signal in ("resets", "early_closes"):
        assert samples_of(check(signal), SIDE) == 80
        assert samples_of(check(signal), answered) == 85
        assert samples_of(check(signal), Side(opened=90)) == 0
    assert samples_of(check("connect_failures"), SIDE) == 100


def test_a_count_below_nothing_is_nothing():
    odd = dataclasses.replace(NOTHING, first_byte=(-1, *NO_TIMES[1:]))
    assert samples_of(check("first_byte", 0.5), odd) == 0


def test_of_nothing_there_is_no_value():
    assert value_of(check("resets"), NOTHING) is None
    assert value_of(check("first_byte", 0.99), NOTHING) is None
    assert value_of(check("bytes_out"), NOTHING) is None


def test_the_value_of_a_shape_is_its_median_and_sizes_are_whole():
    side = Side(bytes_out=(0, 1, 3, *NO_BYTES[3:]), duration=times(_20ms=1, _30ms=2))
    assert value_of(check("duration"), side) == value_of(check("duration", 0.5), side)
    assert value_of(check("bytes_out", 0.5), side) == 2


@pytest.mark.parametrize(
    ("what", "value", "words"),
    [
        (check("resets"), 0.0523, "5.2%"),
        (check("first_byte", 0.99), 0.3124, "312ms"),
        (check("duration", 0.5), 90.0, "1m30s"),
        (check("duration", 0.5), TIME_BOUNDS_S[-1], "over 13m20s"),
        (check("bytes_in", 0.5), 1536, "1.5KiB"),
        (check("bytes_in", 0.5), BYTE_BOUNDS[-1], "over 128.0GiB"),
    ],
)
def test_a_value_is_told_as_people_write_it(what, value, words):
    assert told(what, value) == words
