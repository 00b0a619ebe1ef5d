"""Checks are counted, the choice never takes a bad endpoint, and new ones start slowly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.model.endpoints import (
    Change,
    Choice,
    EndpointHealth,
    Standing,
    choose,
    ramp,
    scaled_weight,
)
from tenantproxy.model.spec import HealthRule, TcpCheck
from tests.model.endpoints_support import STATES, checked, ejected, standings

# Checks


def test_the_first_check_decides_alone():
    new = EndpointHealth.arrived(1.0, among_others=False)
    assert new.usable
    good, [change] = checked(new, True)
    assert change == Change("healthy", "unchecked", "healthy", "check passed: connected")
    bad, [change] = checked(new, False)
    assert change == Change("unhealthy", "unchecked", "unhealthy", "check failed: refused")
    assert good.usable
    assert not bad.usable
    assert bad.reason == "check failed: refused"


def test_fall_failures_in_a_row_make_it_unhealthy_and_a_pass_between_them_counts_anew():
    well, _ = checked(EndpointHealth(), True)
    assert checked(well, False, False, True, False, False)[0].state == "healthy"
    bad, [change] = checked(well, False, False, True, False, False, False, now_s=7.0)
    assert change == Change("unhealthy", "healthy", "unhealthy", "3 checks failed: refused")
    assert bad.since_s == 7.0
    assert checked(bad, False, False, False, False)[1] == []


def test_rise_passes_in_a_row_make_it_healthy_again():
    bad, _ = checked(EndpointHealth(), False)
    assert checked(bad, True, False, True)[0].state == "unhealthy"
    good, [change] = checked(bad, True, False, True, True)
    assert change == Change("healthy", "unhealthy", "healthy", "2 checks passed: connected")
    assert good.usable


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 4), st.integers(1, 4))
def test_rise_and_fall_are_as_counted(results, rise, fall):
    rule = HealthRule(tcp=TcpCheck(), rise=rise, fall=fall)
    health, want, row, last = EndpointHealth(), "unchecked", 0, None
    for passed in results:
        health, change = health.checked(passed, "why", rule, 0.0)
        row = row + 1 if passed is last else 1
        last, old = passed, want
        if want == "unchecked" or row >= (rise if passed else fall):
            want = "healthy" if passed else "unhealthy"
        assert health.state == want
        assert (change is not None) == (want != old)


@pytest.mark.parametrize("before", [True, False])
def test_after_a_sleep_the_state_stays_and_one_check_decides_alone(before):
    slept = checked(EndpointHealth(), before)[0].rested()
    assert slept.state == ("healthy" if before else "unhealthy")
    woken, [change] = checked(slept, not before)
    assert woken.state == change.new != slept.state
    same, changes = checked(slept, before)
    assert (same.state, changes) == (slept.state, [])
    assert checked(same, not before)[1] == []  # only the first one decides alone


def test_without_checks_what_they_said_is_void():
    bad, _ = checked(EndpointHealth(), False)
    good, change = bad.without_checks(5.0)
    assert (good.state, change.event) == ("unchecked", "healthy")
    well, _ = checked(EndpointHealth(), True)
    assert well.without_checks(5.0)[0].state == "unchecked"
    out = ejected(well)
    void, change = out.without_checks(5.0)
    assert (void.state, change) == ("ejected", None)
    assert void.returned(99.0)[0].state == "unchecked"


# The choice


def test_usable_ones_are_used():
    choice = choose(standings("healthy", "unhealthy", "unchecked", "ejected"), 0.5)
    assert choice == Choice((0, 2), 2, panic=False)


def test_with_less_than_the_share_usable_all_are_used_and_it_is_panic():
    assert choose(standings("healthy", "unhealthy", "ejected"), 0.5) == Choice(
        (0, 1, 2), 1, panic=True
    )
    assert choose(standings("unhealthy", "ejected"), 0.5) == Choice((0, 1), 0, panic=True)


def test_exactly_the_share_is_enough():
    assert not choose(standings("healthy", "unhealthy"), 0.5).panic
    assert not choose(standings(*["healthy"] * 7, *["unhealthy"] * 93), 0.07).panic


def test_without_panic_only_usable_ones_are_used_and_maybe_none():
    assert choose(standings("healthy", "unhealthy", "unhealthy"), 0.0) == Choice(
        (0,), 1, panic=False
    )
    assert choose(standings("unhealthy", "ejected"), 0.0) == Choice((), 0, panic=False)
    assert choose([], 0.5) == Choice((), 0, panic=False)


def test_the_first_priority_with_enough_usable_ones_is_used():
    two = [20, 10, 10, 20]
    well = standings("healthy", "healthy", "healthy", "healthy", priorities=two)
    assert choose(well, 0.5).used == (1, 2)
    ailing = standings("healthy", "unhealthy", "healthy", "healthy", priorities=two)
    assert choose(ailing, 0.5).used == (2,)
    ill = standings("healthy", "unhealthy", "ejected", "unhealthy", priorities=two)
    assert choose(ill, 0.5) == Choice((0,), 1, panic=False)


def test_panic_uses_the_first_priority_that_has_any_usable_one():
    priorities = [0, 0, 1, 1, 1]
    some = standings(
        "unhealthy", "unhealthy", "healthy", "unhealthy", "unhealthy", priorities=priorities
    )
    assert choose(some, 0.5) == Choice((2, 3, 4), 1, panic=True)
    later = [*some, Standing(5, "healthy", 2), *(Standing(n, "ejected", 2) for n in (6, 7))]
    assert choose(later, 0.5).used == (2, 3, 4)
    none = standings(*["unhealthy"] * 5, priorities=priorities)
    assert choose(none, 0.5) == Choice((0, 1), 0, panic=True)


@given(
    st.lists(st.tuples(st.sampled_from(STATES), st.integers(0, 3)), max_size=20),
    st.floats(0, 1),
)
def test_no_bad_one_is_used_outside_panic_and_there_is_something_to_use(endpoints, panic_below):
    given_ = [Standing(n, state, priority) for n, (state, priority) in enumerate(endpoints)]
    choice = choose(given_, panic_below)
    used = [given_[key] for key in choice.used]
    assert len({one.priority for one in used}) <= 1
    assert choice.healthy == sum(one.usable for one in used)
    if not choice.panic:
        assert all(one.usable for one in used)
    else:
        assert panic_below > 0
        assert choice.healthy < panic_below * len(used)
    if any(one.usable for one in given_):
        assert choice.healthy
    if given_ and panic_below > 0:
        assert used


# Slow start


@given(st.floats(0.1, 1000), st.lists(st.floats(0, 2000), min_size=2))
def test_the_ramp_is_monotone_from_a_tenth_to_all(window_s, ages):
    factors = [ramp(age_s, window_s) for age_s in sorted(ages)]
    assert factors == sorted(factors)
    assert all(0.1 <= factor <= 1.0 for factor in factors)
    assert ramp(0.0, window_s) == pytest.approx(0.1)
    assert ramp(window_s / 2, window_s) == pytest.approx(0.55)
    assert ramp(window_s, window_s) == 1.0
    assert ramp(-1.0, window_s) == pytest.approx(0.1)


def test_without_a_window_there_is_no_slow_start():
    health = EndpointHealth.arrived(5.0, among_others=True)
    assert ramp(0.0, 0.0) == health.ramp(5.0, 0.0) == 1.0
    assert not health.ramping(5.0, 0.0)


def test_a_new_one_starts_slowly_among_others_only():
    assert not EndpointHealth.arrived(5.0, among_others=False).ramping(5.0, 10.0)
    health = EndpointHealth.arrived(5.0, among_others=True)
    assert health.ramping(14.9, 10.0)
    assert not health.ramping(15.0, 10.0)
    assert health.ramp(10.0, 10.0) == pytest.approx(0.55)
    passed, _ = checked(health, True, now_s=8.0)
    assert passed.ramp(10.0, 10.0) == pytest.approx(0.55)  # it was used all the time


def test_one_that_comes_back_starts_slowly():
    bad, _ = checked(EndpointHealth(), False)
    assert not bad.ramping(0.0, 10.0)
    good, _ = checked(bad, True, True, now_s=50.0)
    assert good.ramp(50.0, 10.0) == pytest.approx(0.1)
    back, _ = ejected(EndpointHealth()).returned(30.0)
    assert back.ramp(35.0, 10.0) == pytest.approx(0.55)


@given(st.integers(1, 65_535), st.floats(0.1, 1.0))
def test_a_scaled_weight_is_a_hundred_times_the_share_and_never_nothing(weight, factor):
    scaled = scaled_weight(weight, factor)
    assert scaled >= 1
    assert scaled == pytest.approx(weight * 100 * factor, abs=0.5)
    assert scaled_weight(weight, 1.0) == 100 * weight
