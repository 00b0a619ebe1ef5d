"""Turned on where it works, off when asked, and never more pairs than memory allows."""

from __future__ import annotations

import errno
import os

import pytest

from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane.relay import switch
from tenantproxy.dataplane.relay.probe import Verdict
from tests.dataplane.support import receive, send

GIB = 1 << 30


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_the_pump_moves_everything_until_it_is_asked_for(rig):
    assert rig.engine._relay.mover is rig.engine._pump
    assert rig.engine._relay.descriptors == rig.engine._relay.linked == 0
    assert rig.engine.turn_relay("pump") == Verdict(False, "asked for the pump")
    assert rig.engine._relay.mover is rig.engine._pump


@pytest.mark.parametrize("mode", ["kernel", "auto"])
def test_turned_on_it_says_so_and_counts_its_descriptors(kernel_relay, rig, mode):
    before = open_descriptors()
    free = rig.engine._acceptor.free()
    assert rig.engine.turn_relay(mode).works
    assert open_descriptors() - before == rig.engine._relay.descriptors == switch.DESCRIPTORS
    assert free - rig.engine._acceptor.free() == switch.DESCRIPTORS
    rig.engine.turn_relay("pump")
    rig.engine.turn_relay(mode)
    assert open_descriptors() - before == switch.DESCRIPTORS


async def test_where_it_does_not_work_nothing_changes_but_the_reason(rig, monkeypatch):
    monkeypatch.setattr(switch, "probe", lambda: Verdict(False, "Operation not permitted (a step)"))
    port, server = rig.serve()
    for mode in ("kernel", "auto"):
        assert rig.engine.turn_relay(mode).reason == "Operation not permitted (a step)"
    assert rig.engine._relay.mover is rig.engine._pump
    client, end = await rig.pair(port, server)
    await send(client, b"served")
    assert await receive(end, 6) == b"served"


def test_maps_for_all_pairs_may_be_refused_though_the_probe_had_its_own(rig, monkeypatch):
    def refused(_pairs, _credit):
        raise OSError(errno.ENOMEM, "Cannot allocate memory", "make the hash map")

    monkeypatch.setattr(switch, "probe", lambda: Verdict(True, "works"))
    monkeypatch.setattr(switch, "Links", refused)
    verdict = rig.engine.turn_relay("kernel")
    assert verdict == Verdict(False, "Cannot allocate memory (make the hash map)")
    assert rig.engine._relay.mover is rig.engine._pump


@pytest.mark.parametrize(
    ("memory_bytes", "workers", "limit", "expected"),
    [
        (16 * GIB, 2, "max", 1024),
        (16 * GIB, 4, "max", 512),
        (16 * GIB, 2, str(4 * GIB), 256),
        (4 * GIB, 2, str(16 * GIB), 256),
        (16 * GIB, 2, None, 1024),
        (1024 * GIB, 2, "max", switch.MOST_PAIRS),
        (GIB // 256, 64, "max", 1),
    ],
)
def test_all_credits_fit_in_the_share_of_the_memory(
    monkeypatch, tmp_path, memory_bytes, workers, limit, expected
):
    real = os.sysconf
    page = real("SC_PAGE_SIZE")
    monkeypatch.setattr(
        os, "sysconf", lambda name: memory_bytes // page if name == "SC_PHYS_PAGES" else real(name)
    )
    file = tmp_path / "memory.max"
    if limit is not None:
        file.write_text(f"{limit}\n")
    monkeypatch.setattr(switch, "Path", lambda _name: file)
    pairs = switch.pairs(workers)
    assert pairs == expected
    assert pairs == 1 or pairs * workers * switch.CREDIT_BYTES * switch.MEMORY_SHARE <= memory_bytes


def test_workers_share_the_pairs(kernel_relay, rig, monkeypatch):
    asked = []
    monkeypatch.setattr(switch, "pairs", lambda workers: asked.append(workers) or 10)
    rig.order(m.SetRelay("kernel", workers=3))
    assert asked == [3]


def test_the_credit_of_a_pair_is_shared_by_its_directions(kernel_relay, rig):
    rig.engine.turn_relay("kernel")
    links = rig.engine._relay._relay._links
    assert sum(links._pair_credit) == switch.CREDIT_BYTES
    assert links.free == switch.pairs(workers=1)
