"""Several things followed at once, each at its own pace: a slow name holds up no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Generic, Self, TypeVar

from tenantproxy.discovery.refresh import refresh
from tenantproxy.discovery.resolver import Resolver
from tenantproxy.discovery.source import Failed
from tenantproxy.tasks import Background

T = TypeVar("T")
Follow = Callable[[str], AsyncIterator[T | Failed]]


class News:
    """Wakes the one who waits for any of several things."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._fault: BaseException | None = None

    def tell(self) -> None:
        self._event.set()

    def fail(self, _task: str, fault: BaseException) -> None:
        """Let the one who waits have an error of ours."""
        self._fault = fault
        self._event.set()

    async def wait(self) -> None:
        """Return when something was told since the last call."""
        await self._event.wait()
        self._event.clear()
        if self._fault is not None:
            raise self._fault


class Following(Generic[T]):
    """What is known of each key that is wanted; used as a context that ends every task."""

    def __init__(self, follow: Follow[T], news: News) -> None:
        self._follow, self._news = follow, news
        self._background = Background(news.fail)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.known: dict[str, T] = {}
        """The last answer; a failure does not remove it."""
        self.reasons: dict[str, str] = {}
        """Why the last question was answered by nothing; gone with the next answer."""

    def want(self, keys: Iterable[str]) -> None:
        """Follow these and no others from now on."""
        wanted = set(keys)
        for key in self._tasks.keys() - wanted:
            self._tasks.pop(key).cancel()
            self.known.pop(key, None)
            self.reasons.pop(key, None)
        for key in sorted(wanted - self._tasks.keys()):
            self._tasks[key] = self._background.start(self._run(key), name=f"follow {key}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._background.close()

    async def _run(self, key: str) -> None:
        async for item in self._follow(key):
            if isinstance(item, Failed):
                self.reasons[key] = item.reason
            else:
                self.known[key] = item
                self.reasons.pop(key, None)
            self._news.tell()


def hosts(
    resolver: Resolver, name: str, tenant: str, before: tuple[str, ...] = ()
) -> AsyncIterator[tuple[str, ...] | Failed]:
    """Follow the addresses of a name, which were `before` when it was followed last."""

    async def ask() -> tuple[tuple[str, ...], float]:
        nonlocal before
        answer = await resolver.addresses(name, tenant=tenant, before=before)
        before = answer.hosts
        return answer.hosts, answer.ttl_s

    return refresh(ask)
