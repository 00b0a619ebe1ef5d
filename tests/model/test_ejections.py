"""Failures in a row eject, ejections end and grow, and few are out whatever happens."""

from __future__ import annotations

from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.model.endpoints import Change, EndpointHealth, Standing, choose, may_eject
from tenantproxy.model.spec import OutlierRule
from tests.model.endpoints_support import CHECKS, OUTLIER, checked, ejected, standings

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
    health = EndpointHealth().told(1, 3).told(2, 1).without_worker(1)
    assert health.failures == 1
    assert health.told(1, 4).failures == 5


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.sampled_from(["fails", "goes well", "dies"])), max_size=60
    )
)
def test_failures_that_a_dead_worker_told_count_no_more(history):
    """The successes of its follower are not told, for that has not told of failures."""
    health, rows, counted = EndpointHealth(), dict.fromkeys((1, 2, 3), 0), {}
    for worker, what in history:
        if what == "dies":
            health = health.without_worker(worker)
            rows[worker] = counted[worker] = 0
        elif what == "fails":
            rows[worker] += 1
            counted[worker] = counted.get(worker, 0) + 1
            health = health.told(worker, rows[worker])
        else:
            rows[worker], counted = 0, {}
            health = health.told(worker, 0)
        assert health.failures == sum(counted.values())


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
