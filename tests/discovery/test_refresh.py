"""The loop: when it asks again, and what it tells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.discovery.refresh import again_in, refresh, retry_in
from tenantproxy.discovery.source import Failed
from tenantproxy.errors import Unresolved

CHANCE = st.floats(0, 1)


class Over(Exception):
    """The script has ended."""


async def play(*script, chance=0.0):
    """Let each question have the next answer; return what was yielded and the pauses."""
    answers, pauses = list(script), []
    items: list[object] = []

    async def ask():
        if not answers:
            raise Over
        answer = answers.pop(0)
        if isinstance(answer, str):
            raise Unresolved("web", answer)
        return answer

    async def sleep(seconds):
        pauses.append(seconds)

    with pytest.raises(Over):
        async for item in refresh(ask, chance=lambda: chance, sleep=sleep):
            items += [item]
    return items, pauses


def failed(why):
    return Failed(f"web does not resolve: {why}")


async def test_an_answer_that_is_the_same_is_not_told_again():
    items, _ = await play((("a",), 5), (("a",), 5), (("b",), 5), ((), 5), ((), 5))
    assert items == [("a",), ("b",), ()]


async def test_a_reason_is_told_once_and_the_answer_again_when_all_is_well():
    items, _ = await play((("a",), 5), "x", "x", "y", (("a",), 5), (("a",), 5), "y")
    assert items == [("a",), failed("x"), failed("y"), ("a",), failed("y")]


async def test_ttls_are_honoured_between_a_second_and_five_minutes():
    _, pauses = await play((1, 0), (1, 1), (1, 7.5), (1, 300), (1, 86_400))
    assert pauses == [1, 1, 7.5, 300, 300]


async def test_failures_are_repeated_ever_more_slowly_until_one_succeeds():
    _, pauses = await play(*"xxxxxxx", (1, 60), "x", "x")
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 60, 1, 2]


@given(ttl_s=st.floats(0, 1e6), chance=CHANCE)
def test_a_change_is_asked_about_within_its_ttl_and_two_seconds(ttl_s, chance):
    pause_s = again_in(ttl_s, chance)
    assert pause_s >= 1
    assert min(ttl_s, 300) <= pause_s <= max(min(ttl_s, 300) * 1.1, 1.1)
    assert pause_s <= max(ttl_s, 1) + 1


@given(failures=st.integers(1, 10**9), chance=CHANCE)
def test_a_failure_is_repeated_within_thirty_seconds_and_not_sooner_than_after_most_of_one(
    failures, chance
):
    assert 0.9 <= retry_in(failures, chance) <= 30
    assert retry_in(failures + 1, chance) >= retry_in(failures, chance)
    assert retry_in(failures, chance) >= 0.9 * retry_in(failures, 0)
