"""Every test runs on uvloop, as the program does, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
import uvloop

GRACE_S = 2.0

# How long an example takes says something about the machine, and nothing about the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_asyncio_loop_factories(config, item):
    return {"uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(items):
    for item in items:
        if inspect.iscoroutinefunction(getattr(item, "function", None)):
            # First in, last out: after the fixtures that own tasks have ended them.
            item.fixturenames.insert(0, "leaves_no_tasks")


def pytest_generate_tests(metafunc):
    """Run what is marked `both_movers` with the pump, and with every flow in the kernel."""
    find = metafunc.definition.get_closest_marker
    if find("both_movers") and "mover" in metafunc.fixturenames:
        movers = ["pump"] if find("pump_only") else ["pump", "kernel"]
        metafunc.parametrize("mover", movers, indirect=True)


@pytest.fixture
async def leaves_no_tasks() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = {t for t in asyncio.all_tasks() - before if t is not asyncio.current_task()}
    if left:
        await asyncio.sleep(0.05)
        left = {task for task in left if not task.done()}
    assert not left, f"tasks left behind: {left}"


@pytest.fixture(autouse=True)
def leaves_no_fds_and_no_children() -> Iterator[None]:
    fds, children = _fds(), _children()
    yield
    until = time.monotonic() + GRACE_S
    while True:
        more = {fd: to for fd, to in _fds().items() if fds.get(fd) != to}
        left = _children() - children
        if not more and not left:
            return
        if time.monotonic() > until:
            break
        gc.collect()  # only now: it takes longer than most tests
        time.sleep(0.02)
    pytest.fail(f"left behind: descriptors {more}, processes {left}")


def _fds() -> dict[str, str]:
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            to = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
        # libuv keeps one /dev/null for each loop that ever listened (`emfile_fd`).
        if not to.startswith("/proc/") and to != "/dev/null":
            found[fd] = to
    return found


def _children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found.update(map(int, (task / "children").read_text().split()))
        except OSError:
            continue
    return found
