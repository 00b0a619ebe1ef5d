"""A question that is asked in the background, one at a time, and may be dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from tenantproxy.tasks import Background

T = TypeVar("T")


class Question(Generic[T]):
    """The answer is handed on unless the question was dropped, or asked anew, before it came."""

    def __init__(self, background: Background, name: str) -> None:
        self._background, self._name = background, name
        self._task: asyncio.Task[None] | None = None

    def ask(self, asked: Callable[[], Coroutine[Any, Any, T]], then: Callable[[T], None]) -> None:
        """Ask; one that is under way is dropped. `then` may ask again, or drop."""
        self.drop()
        self._task = self._background.start(self._wait(asked, then), name=self._name)

    def drop(self) -> asyncio.Task[None] | None:
        """Ask no more; return the task that ends, if there is one."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        return task

    def __bool__(self) -> bool:
        """Say whether it is under way."""
        return self._task is not None

    async def _wait(
        self, asked: Callable[[], Coroutine[Any, Any, T]], then: Callable[[T], None]
    ) -> None:
        answer = await asked()
        # From here on there is nothing to drop: `then` runs in this very task.
        self._task = None
        then(answer)
