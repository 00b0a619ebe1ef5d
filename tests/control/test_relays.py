"""Every worker is asked how to move bytes, and what they say is told once."""

import os
import signal
from dataclasses import replace

import pytest

from tenantproxy.control.events import Events
from tenantproxy.control.fleet import Fleet
from tenantproxy.control.relays import Relays
from tenantproxy.dataplane.messages import OpenListeners, Relay, SetRelay
from tenantproxy.errors import Conflict
from tenantproxy.model.spec import Document
from tenantproxy.model.views import RelayView
from tests.control.support import control, events, listener, tenant, until

PUMP = RelayView("pump", "asked for the pump")
KERNEL = Relay("kernel", "kernel 6.18, every step tried")
UNABLE = Relay("pump", "no CAP_BPF: Operation not permitted")


class Worker:
    relay = None


class Heard:
    """A fleet that only listens."""

    def __init__(self, count):
        self.workers = [Worker() for _ in range(count)]
        self.orders = []

    def broadcast(self, messages):
        self.orders += messages


@pytest.fixture
def log(monkeypatch):
    """(level, reason) of every event."""
    found = []
    monkeypatch.setattr(
        Events, "add", lambda _, event, reason, *, level, **__: found.append((level, reason))
    )
    return found


def relays(mode, count=2):
    fleet = Heard(count)
    return Relays(mode, fleet, Events()), fleet


def relays_of(running):
    return [worker.relay for worker in running.status().workers]


@pytest.mark.parametrize(
    ("asked", "answer", "level"),
    [
        ("kernel", KERNEL, "info"),
        ("kernel", UNABLE, "warning"),
        ("auto", KERNEL, "info"),
        ("auto", UNABLE, "info"),
        ("pump", Relay("pump", "asked for the pump"), "info"),
    ],
)
def test_only_a_kernel_that_was_wanted_and_cannot_is_a_warning(log, asked, answer, level):
    made, fleet = relays(asked)
    made.answered(0, answer)
    assert log == [(level, f"{answer.mode}: {answer.reason}")]
    assert fleet.workers[0].relay == RelayView(answer.mode, answer.reason)


def test_what_all_workers_say_is_told_once_and_what_differs_is_told(log):
    made, fleet = relays("kernel", count=4)
    for worker in (0, 1, 2):
        made.answered(worker, KERNEL)
    made.answered(3, UNABLE)
    assert [level for level, _ in log] == ["info", "warning"]
    made.answered(2, UNABLE)
    assert len(log) == 2
    assert [one.relay.mode for one in fleet.workers] == ["kernel", "kernel", "pump", "pump"]


def test_after_another_mode_is_asked_for_the_answers_are_new(log):
    made, fleet = relays("auto")
    for worker in (0, 1):
        made.answered(worker, UNABLE)
    made.ask("auto")
    assert fleet.orders == []
    made.ask("kernel")
    assert fleet.orders == [SetRelay("kernel", workers=2)]
    assert [one.relay for one in fleet.workers] == [None, None]
    for worker in (0, 1):
        made.answered(worker, UNABLE)
    assert [level for level, _ in log] == ["info", "warning"]


async def test_every_worker_is_asked_before_anything_else_and_so_is_its_successor(v1, monkeypatch):
    sent = []
    send = Fleet.send

    def noting(fleet, index, message, fds=()):
        sent.append((index, type(message)))
        send(fleet, index, message, fds)

    monkeypatch.setattr(Fleet, "send", noting)
    async with control(tenant([listener(open="always")], [v1]), workers=2) as running:
        await until(lambda: relays_of(running) == [PUMP, PUMP])
        assert next(kind for index, kind in sent if index == 0) is SetRelay
        assert next(kind for index, kind in sent if index == 1) is SetRelay
        assert OpenListeners in dict(sent).values()
        sent.clear()
        os.kill(running.status().workers[1].pid, signal.SIGKILL)
        await until(lambda: relays_of(running) == [PUMP, None])
        await until(lambda: relays_of(running) == [PUMP, PUMP])
        assert sent[0] == (1, SetRelay)
        assert len(events(running, "relay")) == 1, "both said the same, and so did the successor"


async def test_a_reload_changes_it_and_needs_no_restart(v1):
    mine = tenant([listener()], [v1])
    async with control(mine, workers=2) as running:
        await until(lambda: relays_of(running) == [PUMP, PUMP])
        other = Document(replace(running.proxy, relay="auto", workers=7), {"acme": mine})
        [line] = await running.apply_source(other, (), source="file")
        assert (line.name, line.before, line.after) == ("proxy.relay", "pump", "auto")
        assert relays_of(running) == [None, None]
        await until(lambda: None not in relays_of(running))
        assert PUMP not in relays_of(running)
        assert running.document().proxy.relay == "auto"
        assert running.status().restart_needed == ("proxy.workers",)
        assert running.status().reloads == {("file", "applied"): 1}
        assert len(events(running, "relay")) == 2


async def test_the_api_cannot_change_it(v1):
    mine = tenant([listener()], [v1])
    async with control(mine) as running:
        with pytest.raises(Conflict, match="relay") as caught:
            await running.put_document(
                Document(replace(running.proxy, relay="kernel"), {"acme": mine})
            )
        assert "the daemon's own document" in caught.value.hint
        assert running.document().proxy.relay == "pump"
