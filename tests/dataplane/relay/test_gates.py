"""A gate is made ready for each pair anew, and for that pair alone."""

from __future__ import annotations

import mmap
import os

import pytest

from tenantproxy.dataplane.relay.gates import (
    CHARGED,
    CREDIT,
    GATE_WORDS,
    LOW,
    MOVED,
    NEXT,
    SOON,
    TRIPPED,
    Gates,
)

pytestmark = pytest.mark.usefixtures("kernel_relay")


@pytest.fixture
def gates():
    gates = Gates(200)
    yield gates
    gates.close()
    os.close(gates.fd)


def test_a_ready_gate_has_moved_nothing_and_has_its_whole_credit(gates):
    at = 7 * GATE_WORDS
    for word in MOVED, TRIPPED, CHARGED, NEXT, LOW, SOON:
        gates.words[at + word] = 5000
    gates.reset(7, 4096, 1234)
    words = gates.words[at : at + GATE_WORDS]
    assert (words[CREDIT], words[LOW], words[SOON]) == (4096, 3072, 2048)
    assert [words[word] for word in (MOVED, TRIPPED, CHARGED)] == [0] * 3
    assert words[NEXT] == 1234


def test_neighbours_are_left_alone(gates):
    gates.words[6 * GATE_WORDS + MOVED] = 6
    gates.words[8 * GATE_WORDS + MOVED] = 8
    gates.reset(7, 1 << 40, 1)
    assert gates.words[6 * GATE_WORDS + MOVED] == 6
    assert gates.words[8 * GATE_WORDS + MOVED] == 8
    assert gates.words[6 * GATE_WORDS + TRIPPED] == gates.words[8 * GATE_WORDS + CREDIT] == 0


def test_the_memory_is_the_kernels_own(gates):
    """Another mapping of the map sees what is written here."""
    with mmap.mmap(gates.fd, mmap.PAGESIZE) as other:
        gates.reset(0, 77, 1)
        assert int.from_bytes(other[8 * CREDIT : 8 * CREDIT + 8], "little") == 77


def test_the_last_slot_is_inside(gates):
    gates.reset(199, 1, 1)
    assert gates.words[199 * GATE_WORDS + CREDIT] == 1
