"""Endpoints are checked again and again, bounded, and never after they were forgotten."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from dataclasses import replace

import pytest

from tenantproxy.clock import monotonic_s
from tenantproxy.health.check import check
from tenantproxy.health.prober import FIRST_AT_ONCE, Prober
from tenantproxy.health.target import Result
from tenantproxy.tasks import Background
from tests.health.support import PLENTY_S, http, saying, serving, silent, swallowing, tcp

PASSED = Result(passed=True, reason="connected", took_s=0.0)


def every(seconds: float, port: int = 1, jitter: float = 0.0, timeout_s: float = PLENTY_S):
    target = tcp(port)
    rule = replace(target.rule, every_s=seconds, jitter=jitter, timeout_s=timeout_s)
    return replace(target, rule=rule)


class Checks:
    """Stands for the checks of a prober: counts them, and holds them up while told to."""

    def __init__(self) -> None:
        self.begun: list[tuple[float, int]] = []
        """When, and of which port."""
        self.under_way: Counter[int] = Counter()
        self.most = 0
        self.go = asyncio.Event()
        self.go.set()
        self.answer: Result | Exception = PASSED

    async def __call__(self, target, timeout_s):
        assert timeout_s == target.rule.timeout_s
        self.begun.append((monotonic_s(), target.port))
        self.under_way[target.port] += 1
        self.most = max(self.most, self.under_way.total())
        assert self.under_way[target.port] == 1
        try:
            await self.go.wait()
        finally:
            self.under_way[target.port] -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Kit:
    def __init__(self, **options) -> None:
        self.results: list[tuple[int, Result]] = []
        self.deaths: list[BaseException] = []
        self.unable: list[tuple[int, str]] = []
        self.checks = Checks()
        self.background = Background(lambda _name, error: self.deaths.append(error))
        self.prober = Prober(
            lambda key, result: self.results.append((key, result)),
            self.background,
            on_unable=lambda key, reason: self.unable.append((key, reason)),
            **({"check": self.checks} | options),
        )

    async def until(self, condition) -> None:
        async with asyncio.timeout(PLENTY_S):
            while not condition():
                await asyncio.sleep(0.002)


@pytest.fixture
async def kit_of():
    kits = []

    def make(**options):
        kits.append(Kit(**options))
        return kits[-1]

    yield make
    for kit in kits:
        await kit.prober.close()
        assert len(kit.background) == len(kit.prober) == 0
        assert kit.checks.under_way.total() == 0


async def test_the_first_check_starts_at_once_and_others_follow(kit_of):
    kit = kit_of()
    kit.prober.watch(7, every(0.05), "acme")
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(kit.checks.begun) == 1
    await kit.until(lambda: len(kit.results) >= 4)
    assert set(kit.results) == {(7, PASSED)}
    begun = [when for when, _ in kit.checks.begun]
    assert begun[3] - begun[0] >= 3 * 0.05 - 0.005


async def test_a_period_is_from_start_to_start_and_a_slow_check_is_not_overtaken(kit_of):
    kit = kit_of()

    async def slow(target, timeout_s):
        result = await kit.checks(target, timeout_s)
        await asyncio.sleep(0.4)
        return result

    slow_one = kit_of(check=slow)
    slow_one.prober.watch(1, every(0.5), "acme")
    await slow_one.until(lambda: len(kit.checks.begun) == 5)
    begun = [when for when, _ in kit.checks.begun]
    assert begun[4] - begun[0] >= 4 * 0.5 - 0.01
    # From end to start each would be 0.9 s later; one that is not is enough on a loaded machine.
    assert min(after - before for before, after in itertools.pairwise(begun)) < 0.85


async def test_checks_of_one_endpoint_do_not_overlap(kit_of):
    kit = kit_of()
    kit.checks.go.clear()
    kit.prober.watch(1, every(0.01), "acme")
    await asyncio.sleep(0.1)
    assert len(kit.checks.begun) == 1
    kit.checks.go.set()
    await kit.until(lambda: len(kit.checks.begun) >= 3)  # `Checks` asserts


@pytest.mark.parametrize(("chance", "period_s"), [(0.0, 0.02), (0.5, 0.2), (1.0, 0.38)])
async def test_jitter_moves_a_check_by_its_share_of_the_period(kit_of, chance, period_s):
    kit = kit_of(chance=lambda: chance)
    kit.prober.watch(1, every(0.2, jitter=0.9), "acme")
    await kit.until(lambda: len(kit.checks.begun) == 4)
    begun = [when for when, _ in kit.checks.begun]
    assert begun[-1] - begun[0] >= 3 * period_s - 0.005
    if not chance:
        assert min(after - before for before, after in itertools.pairwise(begun)) < 0.2


async def test_of_many_in_one_moment_some_start_at_once_and_other_groups_do_too(kit_of):
    kit = kit_of(chance=lambda: 0.5)
    for key in range(300):
        kit.prober.watch(key, every(1000.0, key), "acme")
    kit.prober.watch(999, every(1000.0, 999), "other")
    await kit.until(lambda: len(kit.checks.begun) > FIRST_AT_ONCE)
    await asyncio.sleep(0.05)
    assert sorted(port for _, port in kit.checks.begun) == [*range(FIRST_AT_ONCE), 999]


async def test_in_a_moment_of_many_groups_no_more_start_at_once_than_may_be_under_way(kit_of):
    kit = kit_of(chance=lambda: 0.5, at_once=20)
    for key in range(300):
        kit.prober.watch(key, every(1000.0, key), f"tenant-{key}")
    await kit.until(lambda: len(kit.checks.begun) >= 20)
    await asyncio.sleep(0.05)
    assert len(kit.checks.begun) == 20


async def test_the_others_of_one_moment_are_spread_over_their_period(kit_of):
    chances = itertools.cycle([0.25, 0.5, 0.75])
    kit = kit_of(chance=lambda: next(chances))
    began_s = monotonic_s()
    for key in range(300):
        kit.prober.watch(key, every(1.0, key), "acme")
    await kit.until(lambda: len({port for _, port in kit.checks.begun}) == 300)
    late = [(port, when) for when, port in kit.checks.begun[:300] if port >= FIRST_AT_ONCE]
    first = {}
    for port, when in late:
        first.setdefault(port, when - began_s)
    for port, after_s in first.items():
        assert after_s >= (0.25, 0.5, 0.75)[(port - FIRST_AT_ONCE) % 3] - 0.01


async def test_those_that_come_one_by_one_start_at_once_however_many_there_are(kit_of):
    kit = kit_of(chance=lambda: 1.0)
    for key in range(3 * FIRST_AT_ONCE):
        kit.prober.watch(key, every(1000.0, key), "acme")
        await kit.until(lambda key=key: len(kit.checks.begun) == key + 1)


async def test_those_forgotten_before_their_first_check_crowd_nobody(kit_of):
    kit = kit_of(chance=lambda: 1.0)
    for key in range(300):
        kit.prober.watch(key, every(1000.0, key), "acme")
        kit.prober.forget(key)
    kit.prober.watch(1, every(1000.0, 1), "acme")
    await kit.until(lambda: kit.checks.begun)


async def test_no_more_than_the_bounds_are_under_way_and_a_stuck_group_leaves_room(kit_of):
    kit = kit_of(at_once=10, at_once_per_group=6, chance=lambda: 0.0)
    kit.checks.go.clear()
    for key in range(40):
        kit.prober.watch(key, every(0.02, key), "stuck")
    await kit.until(lambda: kit.checks.under_way.total() == 6)
    for key in range(100, 140):
        kit.prober.watch(key, every(0.02, key), "other")
    await kit.until(lambda: kit.checks.under_way.total() == 10)
    await asyncio.sleep(0.05)
    assert kit.checks.most == 10
    assert sum(port < 100 for port in kit.checks.under_way.elements()) == 6
    kit.checks.go.set()
    await kit.until(lambda: len({key for key, _ in kit.results}) == 80)
    assert kit.checks.most == 10


async def test_silent_endpoints_of_many_tenants_do_not_stop_the_checks_of_one_that_is_well(kit_of):
    """Four times as many as fit are stuck all the time, and each for a whole timeout."""
    kit = kit_of(check=check, at_once=8, at_once_per_group=4, chance=lambda: 0.0)
    async with serving(saying(stay=True)) as well:
        with silent() as port:
            stuck = replace(http(port), rule=replace(http(port).rule, every_s=0.1, timeout_s=0.5))
            for key in range(32):
                kit.prober.watch(key, stuck, f"stuck-{key // 4}")
            await kit.until(lambda: len(kit.results) >= 8)
            kit.prober.watch(99, every(0.1, well.port), "well")
            await kit.until(lambda: sum(key == 99 for key, _ in kit.results) >= 3)
            before = len(kit.results)
            await kit.until(lambda: sum(key == 99 for key, _ in kit.results) >= 6)
    assert all(result.passed == (key == 99) for key, result in kit.results)
    # Each of its checks waits for one of the 8 slots, never for the 28 that came before it.
    assert len(kit.results) - before <= 3 + 6 * 8


async def test_a_late_start_does_not_delay_the_next(kit_of):
    kit = kit_of(at_once=1)
    kit.prober.watch(1, every(1.0, 1), "acme")
    await kit.until(lambda: kit.results)
    kit.checks.go.clear()
    kit.prober.watch(2, every(1000.0, 2), "acme")
    await asyncio.sleep(1.95)
    kit.checks.go.set()
    await kit.until(lambda: len(kit.checks.begun) == 4)
    begun = [when for when, port in kit.checks.begun if port == 1]
    assert begun[2] - begun[1] < 0.8


async def test_a_burst_of_checks_starts_one_by_one_in_turns_of_the_loop(kit_of):
    kit, turn, starts = kit_of(), 0, Counter()
    loop = asyncio.get_running_loop()

    def count() -> None:
        nonlocal turn
        turn += 1
        if len(kit.checks.begun) < 100:
            loop.call_soon(count)

    async def check_in_turn(target, timeout_s):
        starts[turn] += 1
        return await kit.checks(target, timeout_s)

    burst = kit_of(check=check_in_turn)
    count()
    for key in range(100):
        burst.prober.watch(key, every(1000.0, key), f"tenant-{key}")
    await kit.until(lambda: len(kit.checks.begun) == 100)
    assert max(starts.values()) == 1


async def test_a_forgotten_one_says_no_more_even_if_its_check_has_just_ended(kit_of):
    kit = kit_of()
    kit.checks.go.clear()
    kit.prober.watch(1, every(0.01), "acme")
    await kit.until(lambda: kit.checks.begun)
    kit.checks.go.set()
    kit.prober.forget(1)
    kit.prober.forget(1)
    await asyncio.sleep(0.05)
    assert (kit.results, len(kit.checks.begun), len(kit.background)) == ([], 1, 0)


async def test_a_check_that_ends_in_spite_of_its_cancellation_says_nothing(kit_of):
    async def stubborn(_target, _timeout_s):
        try:
            await asyncio.sleep(PLENTY_S)
        except asyncio.CancelledError:
            return PASSED

    kit = kit_of(check=stubborn)
    kit.prober.watch(1, every(0.01), "acme")
    await asyncio.sleep(0.02)
    kit.prober.forget(1)
    await asyncio.sleep(0.02)
    assert kit.results == []


async def test_another_target_replaces_the_old_one_at_once(kit_of):
    kit = kit_of()
    kit.checks.go.clear()
    kit.prober.watch(1, every(1000.0, 1), "acme")
    await kit.until(lambda: kit.checks.begun)
    kit.prober.watch(1, every(1000.0, 2), "acme")
    kit.checks.go.set()
    await kit.until(lambda: kit.results)
    await asyncio.sleep(0.02)
    assert [port for _, port in kit.checks.begun] == [1, 2]
    assert len(kit.results) == len(kit.prober) == 1


async def test_the_same_target_changes_nothing(kit_of):
    kit = kit_of()
    for _ in range(5):
        kit.prober.watch(1, every(1000.0, 1), "acme")
        await asyncio.sleep(0.01)
    assert len(kit.checks.begun) == 1


async def test_a_check_that_could_not_be_made_is_no_result(kit_of):
    kit = kit_of()
    kit.checks.answer = Result(passed=False, reason="too many open files", took_s=0, unable=True)
    kit.prober.watch(1, every(0.02), "acme")
    await kit.until(lambda: len(kit.unable) >= 2)
    assert kit.unable[0] == (1, "too many open files")
    assert kit.results == []


async def test_an_error_of_ours_is_told_and_the_checks_go_on(kit_of):
    kit = kit_of()
    kit.checks.answer = ValueError("a bug")
    kit.prober.watch(1, every(0.02), "acme")
    await kit.until(lambda: len(kit.deaths) >= 2)
    kit.checks.answer = PASSED
    await kit.until(lambda: kit.results)
    assert {str(error) for error in kit.deaths} == {"a bug"}


async def test_the_end_of_the_owner_of_tasks_is_the_end(kit_of):
    kit = kit_of()
    kit.prober.watch(1, every(0.02), "acme")
    await kit.until(lambda: kit.results)
    await kit.background.close()
    assert len(kit.background) == 0
    await asyncio.sleep(0.05)
    assert len(kit.background) == 0


async def test_a_real_endpoint_is_seen_to_go_and_come_back(kit_of):
    kit = kit_of(check=check)
    async with serving(saying(stay=True)) as server:
        kit.prober.watch(1, every(0.05, server.port), "acme")
        await kit.until(lambda: kit.results and kit.results[-1][1].passed)
    await kit.until(lambda: kit.results[-1][1].reason == "refused")
    again = await asyncio.start_server(
        lambda _reader, writer: writer.close(), "127.0.0.1", server.port
    )
    async with again:
        await kit.until(lambda: kit.results[-1][1].passed)


async def test_close_ends_checks_that_hang(kit_of):
    kit = kit_of(check=check)
    with swallowing() as port:
        for key in range(20):
            kit.prober.watch(key, every(1.0, port), "acme")
        await asyncio.sleep(0.05)
        await kit.prober.close()
        assert len(kit.background) == 0
