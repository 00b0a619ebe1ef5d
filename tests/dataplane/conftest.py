from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from tenantproxy.dataplane.counters import CounterFile
from tenantproxy.dataplane.relay import relay
from tests.dataplane.support import SMALL, Rig, a_rig
from tests.dataplane.tls_support import Pki, make_pki
from tests.movers import skip_without_kernel_relay


@pytest.fixture
def mover(request, monkeypatch) -> str:
    """What moves the bytes of the rig: `pump`, or `kernel` from the first byte on.

    `trial`: the pump, while the kernel relay looks on.
    """
    name = getattr(request, "param", "pump")
    if name != "pump":
        skip_without_kernel_relay()
    if name == "kernel":
        monkeypatch.setattr(relay, "ROUND_TRIPS", 0)
    return name


@pytest.fixture
async def rig(mover) -> AsyncIterator[Rig]:
    with a_rig() as rig:
        if mover != "pump":
            verdict = rig.engine.turn_relay("kernel")
            assert verdict.works, verdict.reason
        yield rig


@pytest.fixture
def kernel_relay() -> None:
    """Only where the kernel relay works."""
    skip_without_kernel_relay()


@pytest.fixture
def counters() -> Iterator[CounterFile]:
    counters, fd = CounterFile.create("test", SMALL)
    os.close(fd)
    yield counters
    gc.collect()  # every view must be gone before the map can go
    counters.close()


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """An authority, and certificates of it."""
    return make_pki(tmp_path_factory.mktemp("pki"))
