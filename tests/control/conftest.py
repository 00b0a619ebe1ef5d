"""What most tests of the control side begin with."""

import pytest

from tenantproxy.control import healing
from tests.control.healing_support import FakeProber, a_rig
from tests.control.rollout_support import Machine, a_scene
from tests.control.support import naming_server, upstream


@pytest.fixture
async def v1():
    """An upstream that runs and says `v1 `, then echoes."""
    async with naming_server(b"v1") as number:
        yield upstream("v1", number)


@pytest.fixture
async def rig(monkeypatch):
    """`Upstreams` with a fleet, sources and a prober that do as they are told."""
    monkeypatch.setattr(healing, "Prober", FakeProber)
    async with a_rig() as one:
        yield one


@pytest.fixture
async def scene():
    """Rollouts over hands and judges that do as they are told."""
    async with a_scene() as one:
        yield one


@pytest.fixture
def machine(monkeypatch):
    """A rollout's machine that does as a test wants."""
    return Machine(monkeypatch)
