from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tenantproxy.metrics.server import make_app
from tenantproxy.metrics.site import start_site
from tests.support_control import MemoryControl, memory_control


@pytest.fixture
def control() -> Iterator[MemoryControl]:
    made = memory_control()
    yield made
    made.end()


@pytest.fixture
async def url(control) -> AsyncIterator[str]:
    runner, port = await start_site(make_app(control), "127.0.0.1", 0, "metrics")
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
