"""Slots are bounded, and no group waits for ever behind others."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.turns import Turns
from tests.health.support import PLENTY_S


class Holders:
    """Tasks that hold slots until they are told to go."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.got: list[str] = []
        """Groups, in the order of their turns."""
        self.held: dict[asyncio.Task[None], str] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, *groups: str) -> None:
        self.tasks += [asyncio.create_task(self._hold(group)) for group in groups]
        await self.settle()

    async def go(self, group: str) -> None:
        """End one that holds a slot of the group."""
        next(task for task, name in self.held.items() if name == group).cancel()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _hold(self, group: str) -> None:
        async with self._turns.slot(group):
            task = asyncio.current_task()
            self.got.append(group)
            self.held[task] = group
            try:
                await asyncio.sleep(PLENTY_S)
            finally:
                del self.held[task]


@contextlib.asynccontextmanager
async def holders(at_once: int, per_group: int):
    made = Holders(Turns(at_once, per_group))
    try:
        yield made
    finally:
        await made.close()
        assert made.held == {}


async def test_neither_bound_is_exceeded():
    async with holders(5, 3) as all_:
        await all_.come(*["acme"] * 9)
        assert Counter(all_.held.values()) == {"acme": 3}
        await all_.come(*["corp"] * 9)
        assert Counter(all_.held.values()) == {"acme": 3, "corp": 2}


async def test_a_free_slot_goes_to_the_group_that_holds_the_fewest():
    async with holders(4, 4) as all_:
        await all_.come(*["greedy"] * 100, "modest")
        assert all_.got == ["greedy"] * 4
        await all_.go("greedy")
        assert all_.got[4:] == ["modest"]
        await all_.come("modest", "new")
        await all_.go("greedy")
        assert all_.got[5:] == ["new"]


async def test_groups_that_hold_as_many_take_turns():
    async with holders(1, 1) as all_:
        await all_.come("a", "a", "a", "b", "b", "c")
        for _ in range(5):
            await all_.go(all_.got[-1])
        assert all_.got == ["a", "a", "b", "c", "a", "b"]


async def test_one_that_leaves_while_it_waits_takes_no_slot_with_it():
    async with holders(1, 1) as all_:
        await all_.come("a", "b", "c")
        all_.tasks[1].cancel()
        await all_.settle()
        await all_.go("a")
        assert all_.got == ["a", "c"]


@pytest.mark.parametrize("cancelled_first", [False, True])
async def test_one_that_is_cancelled_when_its_turn_comes_gives_it_on(cancelled_first):
    async with holders(1, 1) as all_:
        await all_.come("a", "b", "c")
        first, second = all_.tasks[:2]
        for task in (second, first) if cancelled_first else (first, second):
            task.cancel()
            if not cancelled_first:
                await asyncio.sleep(0)  # the slot is handed to `second`, which has not run yet
        await all_.settle()
        assert all_.got == ["a", "c"]


@given(
    at_once=st.integers(1, 6),
    per_group=st.integers(1, 4),
    groups=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60),
)
def test_a_group_without_a_slot_is_served_within_one_round_of_its_like(at_once, per_group, groups):
    """Every holder ends once a round: a group that holds none waits for one of its like at most."""

    async def story() -> None:
        async with holders(at_once, per_group) as all_:
            await all_.come(*groups)
            waited: Counter[str] = Counter()
            names = set(groups)
            while len(all_.got) < len(groups):
                left = Counter(groups) - Counter(all_.got)
                hungry = {name for name in names if left[name]} - set(all_.held.values())
                before = len(all_.got)
                for name in list(all_.held.values()):
                    await all_.go(name)
                assert len(all_.held) <= at_once
                assert max(Counter(all_.held.values()).values(), default=0) <= per_group
                for name in hungry:
                    served = name in all_.got[before:]
                    waited[name] = 0 if served else waited[name] + 1
                    assert waited[name] < -(-len(names) // at_once)

    asyncio.run(story())
