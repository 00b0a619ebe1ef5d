"""What tests of discovery share: resolvers that are closed, sources that are followed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from tenantproxy.discovery.resolver import Resolver
from tenantproxy.discovery.source import Address, Failed, Found, Source
from tenantproxy.model.spec import DnsSpec
from tests.e2e.daemon import until


@contextlib.asynccontextmanager
async def resolving(*servers: str, timeout_s: float = 5.0) -> AsyncIterator[Resolver]:
    resolver = Resolver(DnsSpec(servers, timeout_s))
    try:
        yield resolver
    finally:
        await resolver.close()


class Followed:
    """Everything that a source has yielded so far."""

    def __init__(self) -> None:
        self.items: list[Found | Failed] = []
        self.ended = False

    @property
    def found(self) -> list[Found]:
        return [one for one in self.items if isinstance(one, Found)]

    @property
    def failed(self) -> list[str]:
        return [one.reason for one in self.items if isinstance(one, Failed)]

    @property
    def hosts(self) -> list[str] | None:
        """Those in force; None: nothing was found yet."""
        return [one.host for one in self.found[-1].addresses] if self.found else None

    async def until(self, question: Callable[[], object], *, within_s: float = 15.0) -> None:
        await until(question, within_s=within_s, say=lambda: self.items)


@contextlib.asynccontextmanager
async def following(source: Source, before: Sequence[Address] = ()) -> AsyncIterator[Followed]:
    followed = Followed()

    async def follow() -> None:
        async for item in source.follow(before):
            followed.items.append(item)
        followed.ended = True

    task = asyncio.get_running_loop().create_task(follow())
    try:
        yield followed
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])
