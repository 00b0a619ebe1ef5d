"""Workers are kept alive, and one that cannot live does not spin."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tenantproxy.control.fleet import LONGEST_PAUSE_S, Fleet, respawn_pause_s
from tenantproxy.tasks import Background
from tests.control.support import until


class Heard:
    def __init__(self):
        self.ready, self.lost = [], []

    def fleet(self, count, *, shared=True):
        return Fleet(
            count,
            shared=shared,
            on_ready=self.ready.append,
            on_lost=lambda index, why: self.lost.append((index, why)),
            on_report=lambda *_: None,
        )


@pytest.fixture
async def started():
    heard = Heard()
    background = Background(lambda name, error: heard.lost.append((name, error)))
    fleets = []

    def start(count, **changes):
        fleets.append(heard.fleet(count, **changes))
        fleets[-1].start(background)
        return fleets[-1], heard

    yield start
    for fleet in fleets:
        await fleet.quit(within_s=0)
    await background.close()
    for fleet in fleets:
        fleet.close()
        for worker in fleet.workers:
            worker.counters.close()


def test_the_pause_doubles_with_each_early_death_up_to_a_limit():
    assert [respawn_pause_s(n) for n in range(5)] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert respawn_pause_s(50) == LONGEST_PAUSE_S


@pytest.mark.parametrize("shared", [True, False])
async def test_workers_see_all_others_and_take_turns_only_at_shared_sockets(started, shared):
    fleet, heard = started(3, shared=shared)
    await until(lambda: len(heard.ready) == 3)
    for worker in fleet.workers:
        arguments = Path(f"/proc/{worker.process.pid}/cmdline").read_text().split("\0")
        others = [one.counters_fd for one in fleet.workers if one is not worker]
        assert f"--peer-fds={','.join(map(str, others))}" in arguments
        assert ("--shared" in arguments) == shared


async def test_every_worker_becomes_ready(started):
    fleet, heard = started(2)
    await until(lambda: sorted(heard.ready) == [0, 1])
    assert fleet.ready() == [0, 1]


async def test_a_killed_worker_is_replaced(started):
    fleet, heard = started(1)
    await until(lambda: heard.ready)
    first = fleet.views()[0].pid
    os.kill(first, signal.SIGKILL)
    await until(lambda: len(heard.ready) == 2)
    [view] = fleet.views()
    assert view.pid != first
    assert (view.state, view.restarts) == ("ready", 1)
    assert heard.lost == [(0, "killed by signal 9")]


async def test_a_worker_that_cannot_live_backs_off_and_is_reported(started, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    fleet, heard = started(1)
    await asyncio.sleep(1.0)
    assert 2 <= len(heard.lost) <= 6, "0.1, 0.2, 0.4 s and so on"
    [view] = fleet.views()
    assert view.pid is None
    assert view.reason == "exited with 1"


async def test_quit_leaves_no_process(started):
    fleet, heard = started(2)
    await until(lambda: len(heard.ready) == 2)
    pids = [view.pid for view in fleet.views()]
    await fleet.quit(within_s=5)
    assert all(view.pid is None for view in fleet.views())
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
