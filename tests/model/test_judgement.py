"""A canary fails for what can hardly be chance, and the reason says what was counted."""

import bisect
import dataclasses
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.model import judgement
from tenantproxy.model.judgement import Window, judge, value_of
from tenantproxy.model.rollout_spec import DEFAULT_CHECKS, SignalCheck
from tenantproxy.model.sides import BYTE_BOUNDS, NOTHING, TIME_BOUNDS_S, Side
from tenantproxy.model.signal_names import SHARES, SIGNAL_NAMES, parse_signal


def check(name, **bounds):
    return SignalCheck(name, *parse_signal(name), **bounds)


def connections(count, *, resets=0, failed=0, silent=0, first_byte=(), bytes_out=()):
    return Side(
        opened=count - failed,
        failed=failed,
        ended=count,
        resets=resets,
        silent=silent,
        first_byte=histogram(first_byte, TIME_BOUNDS_S),
        bytes_out=histogram(bytes_out, BYTE_BOUNDS),
    )


def histogram(samples, bounds):
    counts = [0] * (len(bounds) + 1)
    for sample in samples:
        counts[bisect.bisect_left(bounds, sample)] += 1
    return tuple(counts)


def latencies(count, scale=1.0, seed=1):
    """Median 50 ms, p99 0.25 s."""
    chance = random.Random(seed)
    return [scale * chance.lognormvariate(-3, 0.7) for _ in range(count)]


def look_at(
    what, canary, stable=NOTHING, *, recent=None, look=1, min_samples=20, tests=12, failures=1
):
    step = Window(stable, canary)
    return judge(
        what,
        step,
        recent or step,
        min_samples=min_samples,
        look=look,
        tests=tests,
        failures=failures,
    )


# Shares.


@pytest.mark.parametrize("signal", ["resets", "early_closes"])
def test_a_canary_of_which_only_what_failed_has_ended_yet_is_no_worse_than_stable(signal):
    """2 % of both fail at once, and the others live for longer than the step."""
    hangs = Side(opened=2000)
    canary = Side(opened=2000, ended=40, resets=40, silent=40)
    stable = Side(opened=38_000, ended=38_000, resets=760, silent=760)
    assert look_at(check(signal, over_stable=0.0), canary, stable).result == "passed"
    assert look_at(check(signal, over_stable=0.0), hangs, stable).result == "no_data"


def test_one_failure_of_twenty_is_no_verdict():
    stable = connections(380)
    for what in (
        check("resets", max=0.01),
        check("resets", over_stable=0.0),
        check("resets", max=0.01, over_stable=0.0),
    ):
        found = look_at(what, connections(20, resets=1), stable)
        assert found.result == "passed", found
        assert found.reason.endswith("; above that, but it may be chance")


@pytest.mark.parametrize("kind", ["resets", "failed", "silent"])
def test_five_points_more_of_five_hundred_are_a_verdict(kind):
    names = {"resets": "resets", "failed": "connect_failures", "silent": "early_closes"}
    canary, stable = connections(500, **{kind: 30}), connections(9500, **{kind: 95})
    [what] = [one for one in DEFAULT_CHECKS if one.name == names[kind]]
    found = look_at(what, canary, stable)
    assert found.result == "failed"
    assert found.reason == "canary 6% of 500, stable 1% of 9500, may be 1% more (p=2e-07)"
    assert (found.canary, found.stable) == (0.06, 0.01)


def test_half_of_twenty_are_a_verdict():
    assert look_at(check("resets", max=0.01), connections(20, resets=10)).result == "failed"


@given(st.integers(20, 10_000), st.integers(20, 10_000), st.floats(0, 1), st.integers(1, 50))
def test_equal_shares_never_fail_a_margin(canary, stable, share, look):
    what = check("resets", over_stable=0.01)
    ours = connections(canary, resets=int(canary * share))
    theirs = connections(stable, resets=-int(-stable * share // 1))
    assert look_at(what, ours, theirs, look=look).result == "passed"


@given(st.integers(20, 3000), st.data(), st.floats(0.001, 0.5))
def test_a_canary_within_its_bound_never_fails(count, data, bound):
    resets = data.draw(st.integers(0, int(count * bound)))
    assert look_at(check("resets", max=bound), connections(count, resets=resets)).result == "passed"


@given(st.integers(20, 600), st.integers(20, 600), st.data())
def test_more_failures_never_save_a_canary(canary, stable, data):
    what = check("resets", max=0.05, over_stable=0.02)
    theirs = connections(stable, resets=data.draw(st.integers(0, stable // 4)))
    before = data.draw(st.integers(0, canary - 1))
    if look_at(what, connections(canary, resets=before), theirs).result == "failed":
        assert look_at(what, connections(canary, resets=before + 1), theirs).result == "failed"


def test_either_bound_may_fail_it():
    what = check("resets", max=0.2, over_stable=0.02)
    over = look_at(what, connections(500, resets=80), connections(9500, resets=95))
    assert over.result == "failed"
    assert "may be 2% more" in over.reason
    assert "at most" not in over.reason
    above = look_at(what, connections(500, resets=200), connections(9500, resets=3800))
    assert above.result == "failed"
    assert "at most 20%" in above.reason


# Quantiles.


def test_a_canary_three_times_slower_fails_by_its_quantiles():
    canary = connections(500, first_byte=latencies(500, 3.0))
    stable = connections(9500, first_byte=latencies(9500, seed=2))
    for name in ("first_byte_p50", "first_byte_p90"):
        assert look_at(check(name, over_stable=0.5), canary, stable).result == "failed"
    found = look_at(check("first_byte_p99", max=0.25), canary, stable)
    assert found.result == "failed"
    assert found.reason.startswith("canary 767ms in 500, stable 257ms in 9500, at most 250ms (p<")


def test_one_slow_sample_of_twenty_is_no_verdict_of_a_p99():
    slow = connections(20, first_byte=[*latencies(19), 30.0])
    stable = connections(380, first_byte=latencies(380, seed=2))
    found = look_at(check("first_byte_p99", max=0.25, over_stable=0.5), slow, stable)
    assert found.result == "passed"
    assert found.reason.endswith("; above that, but it may be chance")


@pytest.mark.parametrize("name", ["first_byte_p50", "first_byte_p90", "first_byte_p99"])
def test_stable_with_few_samples_does_not_make_a_quick_canary_slow(name):
    canary = connections(2000, first_byte=latencies(2000))
    for seed in range(40):
        stable = connections(20, first_byte=latencies(20, seed=seed + 2))
        assert look_at(check(name, over_stable=0.0), canary, stable).result == "passed"


@given(st.sampled_from([0.5, 0.9, 0.99]), st.floats(0.001, 10), st.integers(0, 999))
def test_samples_at_their_bound_never_fail_wherever_it_lies_in_a_bucket(quantile, at_s, seed):
    chance = random.Random(seed)
    samples = [at_s * chance.random() for _ in range(300)]
    name = f"first_byte_p{quantile * 100:.0f}"
    both = connections(300, first_byte=samples)
    assert look_at(check(name, max=at_s, over_stable=0.0), both, both).result == "passed"


@given(st.floats(0.001, 10), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_a_canary_just_within_its_margin_never_fails_wherever_buckets_end(at_s, margin):
    stable = connections(500, first_byte=[at_s] * 500)
    just_within_s = at_s * (1 + margin) * (1 - 1e-6)  # a product of floats may be beyond by a bit
    canary = connections(500, first_byte=[just_within_s] * 500)
    what = check("first_byte_p50", over_stable=margin)
    assert look_at(what, canary, stable).result == "passed"


@given(st.floats(0.001, 10))
def test_a_canary_twice_as_far_as_its_margin_fails_wherever_buckets_end(at_s):
    stable = connections(500, first_byte=[at_s] * 500)
    canary = connections(500, first_byte=[at_s * 3.0] * 500)
    assert look_at(check("first_byte_p50", over_stable=0.5), canary, stable).result == "failed"


def test_stable_above_all_bounds_makes_none():
    canary = connections(500, first_byte=[1000.0] * 500)
    found = look_at(check("first_byte_p50", over_stable=0.1), canary, canary)
    assert found.result == "passed"
    assert found.reason == ("canary over 13m20s in 500, stable over 13m20s in 500, may be 10% more")


def test_sizes_are_told_as_sizes():
    canary = connections(500, bytes_out=[200_000] * 500)
    stable = connections(9500, bytes_out=[3000] * 9500)
    found = look_at(check("bytes_out_p50", over_stable=1.0), canary, stable)
    assert found.result == "failed"
    assert found.reason.startswith("canary 224.0KiB in 500, stable 2.5KiB in 9500, may be 100% m")


# Shapes.


def test_a_shape_that_moved_fails_and_one_that_did_not_passes():
    what = check("first_byte_shape", over_stable=0.2)
    stable = connections(9500, first_byte=latencies(9500, seed=2))
    same = look_at(what, connections(500, first_byte=latencies(500)), stable)
    assert same.result == "passed"
    slow = look_at(what, connections(500, first_byte=latencies(500, 2.0)), stable)
    quick = look_at(what, connections(500, first_byte=latencies(500, 0.5)), stable)
    assert (slow.result, quick.result) == ("failed", "failed")
    assert "apart, may be 20% (p" in slow.reason


# Windows, looks, samples.


def test_what_has_just_begun_is_seen_in_a_long_quiet_step():
    quiet, stable = connections(20_000), connections(20_000)
    recent = Window(connections(500), connections(500, resets=40))
    step = dataclasses.replace(quiet, resets=40)
    found = look_at(check("resets", max=0.01), step, stable, recent=recent, look=40)
    assert found.result == "failed"
    assert found.reason.startswith("since the look before canary 8% of 500, stable 0% of 500")
    assert found.canary == 0.002
    calm = Window(connections(500), connections(500))
    assert look_at(check("resets", max=0.01), step, stable, recent=calm, look=40).result == "passed"


def test_at_the_first_look_the_step_is_all_that_there_is():
    bad = Window(connections(500), connections(500, resets=500))
    what = check("resets", max=0.01)
    assert look_at(what, connections(500), recent=bad, look=1).result == "passed"
    assert look_at(what, connections(500), recent=bad, look=2).result == "failed"


def test_a_recent_window_with_few_samples_has_no_opinion():
    few = Window(connections(19), connections(19, resets=19))
    found = look_at(check("resets", max=0.01), connections(3000, resets=19), recent=few, look=2)
    assert found.result == "passed"


def least(**more):
    """Return how many resets of 500 fail."""
    return next(
        resets
        for resets in range(1, 500)
        if look_at(check("resets", max=0.01), connections(500, resets=resets), **more).result
        == "failed"
    )


@pytest.mark.parametrize(("look", "tests"), [(10, 1), (30, 1), (1, 50)])
def test_looking_often_and_at_much_needs_more_to_fail(look, tests):
    nothing = Window(NOTHING, NOTHING)
    assert least(look=look, tests=tests, recent=nothing) > least(look=1, tests=1)


def test_a_look_that_is_no_verdict_alone_needs_less_to_fail():
    assert least(failures=6) < least(failures=1)


def test_all_looks_that_there_may_be_share_one_chance():
    parts = [judgement._part_of(look) for look in range(1, 10_000)]
    assert sum(parts) == pytest.approx(1, abs=1e-3)
    assert sum(parts) < 1
    assert parts == sorted(parts, reverse=True)


def test_too_few_samples_decide_nothing_and_are_told():
    what = check("resets", max=0.01, over_stable=0.01)
    few = connections(19, resets=10)
    alone = look_at(what, few, connections(500), min_samples=20)
    assert (alone.result, alone.reason) == ("no_data", "canary has 19 of the 20 samples needed")
    both = look_at(check("resets", over_stable=0.01), few, connections(3), min_samples=20)
    assert both.reason == "canary has 19 and stable has 3 of the 20 samples needed"


def test_without_stable_a_bound_of_the_canary_alone_still_fails():
    bad, well = connections(500, resets=250), connections(500)
    both = check("resets", max=0.01, over_stable=0.01)
    assert look_at(both, bad).result == "failed"
    assert look_at(both, well).result == "no_data"
    assert look_at(check("resets", max=0.01), well).reason == "canary 0% of 500, at most 1%"


def test_nothing_at_all_is_no_data_even_if_no_samples_are_asked_for():
    assert look_at(check("resets", max=0.01), NOTHING, min_samples=0).result == "no_data"


def test_a_dry_run_is_kept_in_the_finding():
    what = check("resets", max=0.01, dry_run=True)
    found = look_at(what, connections(500, resets=250))
    assert (found.result, found.dry_run, found.check) == ("failed", True, "resets")


counts = st.integers(-10, 10**15)


@st.composite
def any_side(draw):
    def many(bounds):
        places = draw(st.dictionaries(st.integers(0, len(bounds)), counts, max_size=5))
        return tuple(places.get(place, 0) for place in range(len(bounds) + 1))

    times = [many(TIME_BOUNDS_S) for _ in range(4)]
    sizes = [many(BYTE_BOUNDS) for _ in range(2)]
    return Side(*(draw(counts) for _ in range(5)), *times, *sizes)


@given(
    st.sampled_from(SIGNAL_NAMES),
    st.none() | st.floats(0, 1),
    st.none() | st.floats(0, 3),
    any_side(),
    any_side(),
    st.integers(1, 10**6),
)
def test_whatever_was_counted_there_is_an_answer(name, most, over, canary, stable, look):
    what = check(name, max=most, over_stable=over)
    found = look_at(what, canary, stable, look=look)
    assert found.result in {"passed", "failed", "no_data"}
    assert found.reason
    assert found.canary == value_of(what, canary)
    if name in SHARES and found.canary is not None:
        assert 0 <= found.canary <= 1


def test_many_checks_of_many_samples_are_judged_in_no_time():
    slow = latencies(1000, 1.6)
    canary, stable = (
        Side(
            opened=10**6,
            failed=failed,
            ended=10**6,
            resets=failed,
            silent=failed,
            first_byte=tuple(1000 * n for n in histogram(samples, TIME_BOUNDS_S)),
        )
        for failed, samples in ((20_100, slow), (10_000, latencies(1000)))
    )
    checks = 4 * [
        check("resets", max=0.02, over_stable=0.01),
        check("early_closes", over_stable=0.01),
        check("first_byte_p99", max=0.4, over_stable=0.1),
        check("first_byte_p50", over_stable=0.5),
        check("first_byte_shape", over_stable=0.3),
    ]
    began = time.perf_counter()
    for one in checks:
        look_at(one, canary, stable, look=7)
    assert time.perf_counter() - began < 2  # 4 ms on a quiet machine
