"""What most tests of the control side begin with."""

import pytest

from tests.control.support import naming_server, upstream


@pytest.fixture
async def v1():
    """An upstream that runs and says `v1 `, then echoes."""
    async with naming_server(b"v1") as number:
        yield upstream("v1", number)
