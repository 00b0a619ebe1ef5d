"""Checks endpoints again and again for as long as somebody wants to know."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from tenantproxy.clock import monotonic_s
from tenantproxy.health.check import check as check_once
from tenantproxy.health.target import Result, Target
from tenantproxy.tasks import Background
from tenantproxy.turns import Turns

AT_ONCE: Final = 1024
"""Checks that may be under way at once: each has a socket, and the process has other work."""
AT_ONCE_PER_GROUP: Final = 64
"""Of one group: with 16 of them whose endpoints never answer, the others still wait for nothing;
with more, they wait for one timeout."""
FIRST_AT_ONCE: Final = 32
"""First checks of one group that start right away; further ones spread over their period."""

Check = Callable[[Target, float], Awaitable[Result]]


class Prober:
    """Owns one task for each endpoint that is watched.

    `on_result(key, result)` is called after each check, in the loop's thread; never for a key
    that was forgotten, or for a target that was replaced. A check that we could not make
    (`Result.unable`) goes to `on_unable(key, reason)` instead, because it says nothing. An error
    of ours ends a task, which is told to the owner of `background`, and the checks go on with
    another one after a period.
    """

    def __init__(
        self,
        on_result: Callable[[int, Result], None],
        background: Background,
        *,
        on_unable: Callable[[int, str], None] | None = None,
        at_once: int = AT_ONCE,
        at_once_per_group: int = AT_ONCE_PER_GROUP,
        chance: Callable[[], float] = random.random,
        check: Check = check_once,
    ) -> None:
        self._on_result, self._on_unable = on_result, on_unable
        self._background = background
        self._at_once = at_once
        self._chance, self._check = chance, check
        self._turns = Turns(at_once, at_once_per_group)
        self._start_of_one = asyncio.Lock()
        """One check starts in each turn of the loop.

        With 2,000 endpoints the loop was late by 200 to 400 ms (p99) when a burst of checks could
        start and end in one turn, and by 7 to 15 ms since.
        """
        self._watches: dict[int, _Watch] = {}
        self._groups: dict[str, _Group] = {}
        self._rushing = 0
        """Of all groups."""
        self._ending: set[asyncio.Task[None]] = set()

    def watch(self, key: int, target: Target, group: str) -> None:
        """Check `target` every `rule.every_s`, measured from start to start.

        A late start does not delay the next. The first check starts at once; when many come
        together, the later ones start within `every_s`. A key that is watched already gets the
        new target, and is checked at once, if it is another one. Checks of one key never overlap.

        Args:
            key: names the endpoint to `on_result`.
            target: what to check and how.
            group: who shares a bound of checks under way: the tenant.
        """
        old = self._watches.get(key)
        if old is not None and old.target == target and old.group.name == group:
            return
        self.forget(key)
        watch = _Watch(key, target, self._group(group))
        self._watches[key] = watch
        watch.group.members += 1
        if watch.group.rushing < FIRST_AT_ONCE and self._rushing < self._at_once:
            watch.rushes = True
            watch.group.rushing += 1
            self._rushing += 1
        self._start(watch, 0.0 if watch.rushes else target.rule.every_s * self._chance())

    def forget(self, key: int) -> None:
        """Check it no more; a check under way ends without a result."""
        if (watch := self._watches.pop(key, None)) is None:
            return
        self._begun(watch)
        watch.group.members -= 1
        if not watch.group.members:
            del self._groups[watch.group.name]
        if (task := watch.task) is not None and not task.done():
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """Forget everything; when this returns no task and no socket is left."""
        for key in tuple(self._watches):
            self.forget(key)
        if self._ending:
            await asyncio.wait(tuple(self._ending))

    def __len__(self) -> int:
        return len(self._watches)

    def _group(self, name: str) -> _Group:
        if name not in self._groups:
            self._groups[name] = _Group(name)
        return self._groups[name]

    def _start(self, watch: _Watch, wait_s: float) -> None:
        work = self._follow(watch, wait_s)
        watch.task = self._background.start(work, name=f"check {watch.key}")
        watch.task.add_done_callback(lambda task: self._go_on(watch, task))

    def _go_on(self, watch: _Watch, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and self._watches.get(watch.key) is watch:
            self._start(watch, watch.target.rule.every_s)

    async def _follow(self, watch: _Watch, wait_s: float) -> None:
        rule = watch.target.rule
        due_s = monotonic_s() + wait_s
        while True:
            await asyncio.sleep(max(0.0, due_s - monotonic_s()))
            async with self._turns.slot(watch.group.name):
                async with self._start_of_one:
                    await asyncio.sleep(0)
                self._begun(watch)
                result = await self._check(watch.target, rule.timeout_s)
            if self._watches.get(watch.key) is not watch:
                return  # a cancellation may come too late
            self._tell(watch, result)
            period_s = rule.every_s * (1 + rule.jitter * (2 * self._chance() - 1))
            # From when it was due, not from when it began: checks that were late together would
            # stay together, and gather more. Those that were missed are not made up for.
            due_s = max(due_s + period_s, monotonic_s())

    def _begun(self, watch: _Watch) -> None:
        if watch.rushes:
            watch.rushes = False
            watch.group.rushing -= 1
            self._rushing -= 1

    def _tell(self, watch: _Watch, result: Result) -> None:
        if not result.unable:
            self._on_result(watch.key, result)
        elif self._on_unable is not None:
            self._on_unable(watch.key, result.reason)


class _Group:
    """What the watches of one group share."""

    __slots__ = ("members", "name", "rushing")

    def __init__(self, name: str) -> None:
        self.name = name
        self.members = 0
        self.rushing = 0
        """Those whose first check starts at once, and has not begun."""


class _Watch:
    """One endpoint that is watched."""

    __slots__ = ("group", "key", "rushes", "target", "task")

    def __init__(self, key: int, target: Target, group: _Group) -> None:
        self.key, self.target, self.group = key, target, group
        self.rushes = False
        self.task: asyncio.Task[None] | None = None
