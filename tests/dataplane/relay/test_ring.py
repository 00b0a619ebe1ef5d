"""Numbers come out of the ring in the order the kernel wrote them, past its edge too.

The records are written here by hand, as the kernel document describes them.
"""

from __future__ import annotations

import mmap
import os
import struct

import pytest

from tenantproxy.dataplane.relay import ring as ring_module
from tenantproxy.dataplane.relay.ring import RECORD_BYTES, Ring

_BUSY = 1 << 31


class Written:
    """Plain memory in the place of the ring's: consumer's page, producer's page, records."""

    def __init__(self, monkeypatch) -> None:
        monkeypatch.setattr(
            ring_module, "create_map", lambda *_, **__: os.memfd_create("ring", os.MFD_CLOEXEC)
        )
        monkeypatch.setattr(ring_module, "map_shared", lambda _fd, length, **_: bytearray(length))
        self.ring = Ring(records=10)
        self.end = 0

    def write(self, number: int, flags: int = 0) -> None:
        size = self.ring._bytes
        # The kernel maps the records twice in a row; here both are written.
        for place in (self.end % size, self.end % size + size):
            at = mmap.PAGESIZE + place
            struct.pack_into("III", self.ring._producer, at, 4 | flags, 0, number)
        self.end += RECORD_BYTES
        struct.pack_into("Q", self.ring._producer, 0, self.end)

    def done(self, place: int) -> None:
        """The record is no longer being written."""
        for at in (mmap.PAGESIZE + place, mmap.PAGESIZE + place + self.ring._bytes):
            struct.pack_into("I", self.ring._producer, at, 4)


@pytest.fixture
def written(monkeypatch):
    written = Written(monkeypatch)
    yield written
    os.close(written.ring.fd)


def test_every_number_comes_once_and_in_order(written):
    for number in (7, 3, 7):
        written.write(number)
    assert list(written.ring.read()) == [7, 3, 7]
    assert list(written.ring.read()) == []
    written.write(4_000_000_000)
    assert list(written.ring.read()) == [4_000_000_000]


def test_it_goes_on_past_the_edge(written):
    fits = written.ring._bytes // RECORD_BYTES
    for number in range(3 * fits + 1):
        written.write(number)
        assert list(written.ring.read()) == [number]


def test_a_record_that_is_being_written_is_waited_for_and_so_are_those_behind_it(written):
    written.write(1)
    written.write(2, _BUSY)
    written.write(3)
    assert list(written.ring.read()) == [1]
    assert list(written.ring.read()) == []
    written.done(RECORD_BYTES)
    assert list(written.ring.read()) == [2, 3]


def test_room_is_given_back_record_by_record(written):
    written.write(1)
    written.write(2)
    numbers = written.ring.read()
    assert next(numbers) == 1
    assert struct.unpack_from("Q", written.ring._consumer)[0] == RECORD_BYTES
    assert list(numbers) == [2]


def test_there_is_room_for_all_records_asked_for(kernel_relay):
    for records in (1, 256, 257, 32_768):
        ring = Ring(records)
        assert ring._bytes >= records * RECORD_BYTES
        assert ring._bytes & (ring._bytes - 1) == 0, "the kernel takes powers of two"
        ring.close()
        os.close(ring.fd)
