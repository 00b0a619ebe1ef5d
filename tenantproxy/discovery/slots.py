"""So much at once for each tenant and in all, so that nobody waits for another tenant's names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class _Tenant:
    __slots__ = ("free", "interested")

    def __init__(self, each: int) -> None:
        self.free = asyncio.Semaphore(each)
        self.interested = 0
        """Those that have a slot or wait for one; at 0 the tenant is forgotten."""


class Slots:
    """`each` slots for every tenant out of `total`; first come, first served within a tenant."""

    def __init__(self, *, each: int, total: int) -> None:
        self._each = each
        self._free = asyncio.Semaphore(total)
        self._tenants: dict[str, _Tenant] = {}

    @property
    def interested(self) -> int:
        """How many have a slot or wait for one."""
        return sum(one.interested for one in self._tenants.values())

    async def take(self, tenant: str) -> None:
        """Wait for a slot; when this returns the caller must `give` it back once."""
        own = self._tenants.setdefault(tenant, _Tenant(self._each))
        own.interested += 1
        try:
            await own.free.acquire()
        except BaseException:
            self._leave(tenant, own)
            raise
        try:
            await self._free.acquire()
        except BaseException:
            own.free.release()
            self._leave(tenant, own)
            raise

    def give(self, tenant: str) -> None:
        """Give a slot back."""
        own = self._tenants[tenant]
        self._free.release()
        own.free.release()
        self._leave(tenant, own)

    @asynccontextmanager
    async def taken(self, tenant: str) -> AsyncIterator[None]:
        """Have a slot inside the block."""
        await self.take(tenant)
        try:
            yield
        finally:
            self.give(tenant)

    def _leave(self, tenant: str, own: _Tenant) -> None:
        own.interested -= 1
        if not own.interested:
            del self._tenants[tenant]
