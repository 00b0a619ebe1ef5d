from collections.abc import AsyncIterator

import pytest

from tenantproxy.rollout.http import Http
from tenantproxy.rollout.judges import OutsideJudges


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    made = Http()
    yield made
    await made.close()


@pytest.fixture
async def judges(tmp_path) -> AsyncIterator[OutsideJudges]:
    made = OutsideJudges(commands=True, folder=tmp_path)
    yield made
    await made.close()
