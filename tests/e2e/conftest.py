"""Fixtures of the end-to-end tests: the real daemon, real sockets, real programs."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.apart import ROOT
from tests.e2e.daemon import Daemon
from tests.movers import skip_without_kernel_relay

LINKED_AT_ONCE = Path(__file__).with_name("linked_at_once")
RunDaemon = Callable[..., AbstractAsyncContextManager[Daemon]]


@pytest.fixture(scope="session", autouse=True)
def many_descriptors() -> None:
    """A thousand clients need more than the 1,024 that a login shell gets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65_536)), hard))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A place for the document; policies are named from there."""
    return tmp_path


@pytest.fixture
def mover(request) -> str:
    """What moves the bytes of daemons: `pump`, or `kernel` from the first byte on."""
    name = getattr(request, "param", "pump")
    if name == "kernel":
        skip_without_kernel_relay()
    return name


@pytest.fixture
def run_daemon(folder: Path, mover: str) -> RunDaemon:
    """Start a daemon on a document; leaving stops it and looks for what it left behind."""

    @contextlib.asynccontextmanager
    async def run(doc: dict[str, Any], **options: Any) -> AsyncIterator[Daemon]:
        if mover == "kernel":
            doc["proxy"]["relay"] = "kernel"
            options["environment"] = {"PYTHONPATH": f"{LINKED_AT_ONCE}{os.pathsep}{ROOT}"}
        async with Daemon(folder, doc, **options) as daemon:
            yield daemon

    return run
