from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from tenantproxy.dataplane.counters import CounterFile
from tests.dataplane.support import SMALL, Rig, a_rig


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    with a_rig() as rig:
        yield rig


@pytest.fixture
def counters() -> Iterator[CounterFile]:
    counters, fd = CounterFile.create("test", SMALL)
    os.close(fd)
    yield counters
    gc.collect()  # every view must be gone before the map can go
    counters.close()
