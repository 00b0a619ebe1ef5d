"""Slots: bounded for each tenant and in all, nothing kept of tenants that are gone."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.discovery.slots import Slots


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_tenant_has_its_share_and_leaves_the_rest_to_others():
    slots = Slots(each=2, total=3)
    await slots.take("a")
    await slots.take("a")
    third = asyncio.ensure_future(slots.take("a"))
    await settle()
    assert not third.done()
    await asyncio.wait_for(slots.take("b"), 1)
    other = asyncio.ensure_future(slots.take("c"))
    await settle()
    assert not other.done()
    slots.give("b")
    await asyncio.wait_for(other, 1)
    slots.give("a")
    await asyncio.wait_for(third, 1)
    for tenant in ("a", "a", "c"):
        slots.give(tenant)
    assert slots.interested == 0


async def test_within_a_tenant_the_first_is_served_first():
    slots = Slots(each=1, total=9)
    served = []

    async def one(number):
        async with slots.taken("a"):
            served.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*map(one, range(8)))
    assert served == list(range(8))


async def test_who_is_cancelled_while_it_waits_takes_nothing_with_it():
    slots = Slots(each=1, total=1)
    await slots.take("a")
    waiting = [asyncio.ensure_future(slots.take(one)) for one in ("a", "b")]
    await settle()
    for one in waiting:
        one.cancel()
    await asyncio.wait(waiting)
    slots.give("a")
    assert slots.interested == 0
    await asyncio.wait_for(slots.take("b"), 1)
    slots.give("b")


async def test_who_gives_up_waiting_for_others_lets_the_next_of_its_tenant_wait():
    slots = Slots(each=1, total=1)
    await slots.take("b")
    first, second = (asyncio.ensure_future(slots.take("a")) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    slots.give("b")
    await asyncio.wait_for(second, 1)
    slots.give("a")
    assert slots.interested == 0


async def test_a_block_that_fails_gives_its_slot_back():
    slots = Slots(each=1, total=1)
    with pytest.raises(ZeroDivisionError):
        async with slots.taken("a"):
            raise ZeroDivisionError
    assert slots.interested == 0


@given(
    each=st.integers(1, 4),
    total=st.integers(1, 9),
    jobs=st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(0, 3), st.booleans()), max_size=40
    ),
)
def test_whatever_comes_and_goes_the_bounds_hold_and_all_are_served(each, total, jobs):
    async def run():
        slots = Slots(each=each, total=total)
        busy = dict.fromkeys("abcd", 0)
        served = []

        async def job(tenant, turns):
            async with slots.taken(tenant):
                busy[tenant] += 1
                assert busy[tenant] <= each
                assert sum(busy.values()) <= total
                for _ in range(turns):
                    await asyncio.sleep(0)
                busy[tenant] -= 1
                served.append(tenant)

        tasks = []
        for tenant, turns, cancelled in jobs:
            task = asyncio.ensure_future(job(tenant, turns))
            tasks.append(task)
            if cancelled:
                await asyncio.sleep(0)
                if busy[tenant] == 0:  # it waits: one that has a slot ends in the middle
                    task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(one is None or isinstance(one, asyncio.CancelledError) for one in done)
        assert len(served) == sum(one is None for one in done)
        assert slots.interested == 0

    asyncio.run(run())
