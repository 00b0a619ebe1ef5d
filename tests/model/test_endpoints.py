"""Checks are counted, ejections end and are capped, and the choice never takes a bad endpoint."""

from __future__ import annotations

from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.model.endpoints import (
    Change,
    Choice,
    EndpointHealth,
    Standing,
    choose,
    may_eject,
    ramp,
    scaled_weight,
)
from tenantproxy.model.spec import HealthRule, OutlierRule, TcpCheck

CHECKS = HealthRule(tcp=TcpCheck(), fall=3, rise=2)
OUTLIER = OutlierRule()
STATES = ["healthy", "unhealthy", "ejected", "unchecked"]


def checked(health, *results, rule=CHECKS, now_s=0.0):
    """Return what is known after some checks, and the changes that they made."""
    changes = []
    for passed in results:
        reason = "connected" if passed else "refused"
        health, change = health.checked(passed, reason, rule, now_s)
        changes += [change] if change else []
    return health, changes


def ejected(health, now_s=0.0, rule=OUTLIER):
    health = health.told(1, rule.consecutive_failures)
    assert health.overdue(rule)
    return health.eject("refused", rule, now_s)[0]


def standings(*states, priorities=None):
    of = priorities or [0] * len(states)
    return [Standing(n, state, of[n]) for n, state in enumerate(states)]


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


# Ejection


def test_failures_in_a_row_are_summed_over_workers_and_eject():
    health = EndpointHealth().told(1, 2).told(2, 1).told(1, 3)
    assert health.failures == 4
    assert not health.overdue(OUTLIER)
    health = health.told(2, 2)
    assert health.overdue(OUTLIER)
    out, change = health.eject("refused", OUTLIER, 100.0)
    why = "5 failures in a row: refused; out for 30s"
    assert change == Change("ejected", "unchecked", "ejected", why)
    assert (out.state, out.usable, out.ejections) == ("ejected", False, 1)
    assert (out.ejected_until_s, out.since_s, out.reason) == (130.0, 100.0, why)


@given(st.data(), st.lists(st.tuples(st.integers(1, 3), st.booleans()), max_size=60))
def test_failures_in_a_row_are_counted_over_all_workers_and_a_success_resets(data, outcomes):
    """Failures may be told late and together, as a worker does within a few milliseconds."""
    exact, late, rows, run = EndpointHealth(), EndpointHealth(), {}, 0
    for worker, good in outcomes:
        run = 0 if good else run + 1
        rows[worker] = 0 if good else rows.get(worker, 0) + 1
        exact = exact.told(worker, rows[worker])
        assert exact.failures == run
        if good or data.draw(st.booleans()):
            late = late.told(worker, rows[worker])
            assert late.failures <= sum(rows.values())
            assert not good or late.failures == 0
    for worker, row in rows.items():
        late = late.told(worker, row) if row else late
    assert run <= late.failures <= sum(rows.values())


def test_a_number_that_got_smaller_means_a_success_between():
    health = EndpointHealth().told(1, 4).told(2, 3).told(1, 2)
    assert health.failures == 2
    assert health.told(2, 4).failures == 3


def test_the_follower_of_a_worker_counts_from_nothing():
    health = EndpointHealth().told(1, 3).without_worker(1).told(1, 4)
    assert health.failures == 7


def test_while_it_is_out_nothing_counts_and_afterwards_workers_count_from_nothing():
    out = ejected(EndpointHealth()).told(1, 9)
    assert out.failures == 0
    back, change = out.returned(30.0)
    assert change == Change("returned", "ejected", "unchecked", "back after 30s out")
    assert back.told(1, 4).told(2, 1).failures == 5


def test_it_returns_when_its_time_is_over_and_not_before():
    well, _ = checked(EndpointHealth(), True)
    out = ejected(well, 100.0)
    assert out.returned(129.9) == (out, None)
    back, change = out.returned(130.0)
    assert (back.state, change.event, change.new) == ("healthy", "returned", "healthy")
    assert back.ejected_until_s is None
    assert back.returned(131.0) == (back, None)


def test_passed_checks_in_a_row_end_an_ejection():
    well, _ = checked(EndpointHealth(), True, True, True)
    out = ejected(well, 100.0)
    still, changes = checked(out, True, False, True, now_s=104.0)
    assert (still.state, changes) == ("ejected", [])
    back, [change] = checked(still, True, now_s=105.0)
    assert change == Change("returned", "ejected", "healthy", "2 checks passed: connected")
    assert back.ejected_until_s is None
    assert back.failures == 0


def test_failed_checks_make_an_ejected_one_unhealthy_and_then_only_checks_bring_it_back():
    well, _ = checked(EndpointHealth(), True)
    bad, [change] = checked(ejected(well), False, False, False)
    assert (bad.state, change.event, change.old) == ("unhealthy", "unhealthy", "ejected")
    assert bad.ejected_until_s is None
    assert bad.returned(1e9) == (bad, None)
    assert checked(bad, True, True)[0].state == "healthy"


def test_an_unhealthy_one_is_not_ejected_and_its_failures_do_not_count_later():
    bad, _ = checked(EndpointHealth(), False)
    bad = bad.told(1, 9)
    assert not bad.overdue(OUTLIER)
    good, _ = checked(bad, True, True)
    assert good.failures == 0


def test_without_the_rule_an_ejection_ends():
    back, change = ejected(EndpointHealth()).without_outlier(3.0)
    assert (back.state, change.event) == ("unchecked", "returned")
    health, change = EndpointHealth().told(1, 4).without_outlier(3.0)
    assert (health.failures, change) == (0, None)


def test_an_ejection_lasts_over_a_sleep_and_one_pass_ends_it_then():
    slept = ejected(checked(EndpointHealth(), True)[0]).rested()
    assert slept.state == "ejected"
    assert checked(slept, True)[0].state == "healthy"
    back, _ = slept.returned(30.0)
    assert back.state == "healthy"
    assert checked(back, False)[0].state == "unhealthy"


def test_failures_before_a_sleep_do_not_count_after_it():
    assert EndpointHealth().told(1, 4).rested().told(1, 5).failures == 1


def test_one_that_nobody_has_checked_returns_as_the_checks_say_by_then():
    out = ejected(EndpointHealth())
    back, _ = out.returned(30.0)
    assert (back.state, checked(back, False)[0].state) == ("unchecked", "unhealthy")
    assert checked(out, True)[0].returned(30.0)[0].state == "healthy"


def test_each_ejection_is_longer_up_to_the_most():
    health, now_s, times = EndpointHealth(), 0.0, []
    for _ in range(13):
        health = ejected(health, now_s)
        times.append(health.ejected_until_s - now_s)
        now_s = health.ejected_until_s
        health, _ = health.returned(now_s)
    assert times == [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300, 300]
    assert health.ejections == 13
    assert ejected(health, now_s + 20).ejected_until_s == now_s + 20 + 270


def test_each_sweep_in_peace_makes_the_next_ejection_a_step_shorter():
    health, now_s = EndpointHealth(), 0.0
    for _ in range(4):
        health = ejected(health, now_s)
        now_s = health.ejected_until_s
        health, _ = health.returned(now_s)
    for peace_s, want_s in ((0, 150), (9.9, 150), (10, 120), (29.9, 90), (40, 30), (9999, 30)):
        again = ejected(health, now_s + peace_s)
        assert again.ejected_until_s == pytest.approx(now_s + peace_s + want_s)


def test_peace_counts_from_the_moment_that_it_is_back():
    well, _ = checked(EndpointHealth(), True)
    back, _ = checked(ejected(ejected(well).returned(30.0)[0], 30.0), True, True, now_s=34.0)
    assert ejected(back, 43.9).ejected_until_s == pytest.approx(43.9 + 90)
    assert ejected(back, 44.0).ejected_until_s == pytest.approx(44.0 + 60)


def test_eject_for_counts_when_it_is_longer_than_the_most():
    rule = OutlierRule(eject_for_s=600.0, eject_for_most_s=300.0)
    assert ejected(EndpointHealth(), 0.0, rule).ejected_until_s == 600.0


@given(
    st.floats(0.1, 1000), st.floats(0.1, 1000), st.lists(st.floats(0, 100), min_size=1, max_size=50)
)
def test_the_time_out_is_never_shorter_than_the_first_nor_longer_than_the_most(base, most, peace):
    rule = OutlierRule(eject_for_s=base, eject_for_most_s=most)
    health, now_s, before_s = EndpointHealth(), 0.0, 0.0
    for wait_s in peace:
        now_s += wait_s
        health = ejected(health, now_s, rule)
        for_s = health.ejected_until_s - now_s
        assert base - 1e-6 <= for_s <= max(base, most) + 1e-6
        if wait_s < 10:
            assert for_s >= before_s - 1e-6
        before_s = for_s
        now_s = health.ejected_until_s
        health, change = health.returned(now_s)
        assert change.event == "returned"


# The cap, over any history

events = st.lists(
    st.one_of(
        st.tuples(st.just("told"), st.integers(0, 11), st.integers(0, 7)),
        st.tuples(st.just("check"), st.integers(0, 11), st.booleans()),
        st.tuples(st.just("rest"), st.integers(0, 11), st.none()),
        st.tuples(st.just("time"), st.floats(0, 50), st.none()),
    ),
    max_size=80,
)


@given(
    events,
    st.lists(st.integers(0, 2), min_size=1, max_size=12),
    st.floats(0, 1),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]),
)
def test_over_any_history_few_are_out_one_is_left_and_all_come_back(
    history, priorities, share, panic_below
):
    rule = OutlierRule(max_ejected=share)
    many = len(priorities)
    all_of = [EndpointHealth() for _ in priorities]
    now_s = 0.0

    def stand():
        return [Standing(n, h.state, priorities[n]) for n, h in enumerate(all_of)]

    for what, number, value in history:
        if what == "time":
            now_s += number
            all_of = [health.returned(now_s)[0] for health in all_of]
        else:
            n = number % many
            if what == "told":
                all_of[n] = all_of[n].told(n % 2, value)
                if all_of[n].overdue(rule) and may_eject(stand(), n, rule):
                    all_of[n], change = all_of[n].eject("refused", rule, now_s)
                    assert change.event == "ejected"
                    left = [s for s in stand() if s.priority == priorities[n] and s.usable]
                    assert left
            elif what == "check":
                old = all_of[n]
                all_of[n], change = old.checked(value, "why", CHECKS, now_s)
                assert (change is None) == (old.state == all_of[n].state)
            else:
                all_of[n] = all_of[n].rested()
        out = [health for health in all_of if health.state == "ejected"]
        assert len(out) <= max(1, floor(share * many + 1e-9))
        assert all(health.ejected_until_s > now_s - 1e-9 for health in out)
        choice = choose(stand(), panic_below)
        assert choice.panic or all(all_of[key].usable for key in choice.used)
        assert choice.healthy == sum(all_of[key].usable for key in choice.used)
    assert all(h.returned(now_s + 301)[0].state != "ejected" for h in all_of)


@pytest.mark.parametrize(
    ("many", "share", "may"), [(3, 0.1, 1), (30, 0.1, 3), (100, 0.29, 29), (4, 1.0, 3), (5, 0.0, 1)]
)
def test_so_many_are_ejected_when_all_fail(many, share, may):
    rule, states = OutlierRule(max_ejected=share), ["healthy"] * many
    for number in range(many):
        if may_eject(standings(*states), number, rule):
            states[number] = "ejected"
    assert states.count("ejected") == may


def test_the_last_usable_one_of_its_priority_is_not_ejected():
    rule = OutlierRule(max_ejected=1.0)
    assert not may_eject(standings("healthy"), 0, rule)
    assert not may_eject(standings("healthy", "unhealthy"), 0, rule)
    assert not may_eject(standings("healthy", "healthy", priorities=[0, 1]), 0, rule)
    assert may_eject(standings("healthy", "unchecked"), 0, rule)
    assert not may_eject(standings("unhealthy", "healthy"), 0, rule)


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
