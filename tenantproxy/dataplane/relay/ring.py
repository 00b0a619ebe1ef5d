"""The reading end of a BPF ring buffer (kernel document bpf/ringbuf)."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator

from tenantproxy.dataplane.relay.bpf import MapType, create_map, map_shared

_U64 = struct.Struct("Q")
_U32 = struct.Struct("I")
_HEADER_BYTES = 8
_BUSY = 1 << 31
_LENGTH = (1 << 30) - 1
RECORD_BYTES = 16
"""A record of 4 bytes with its header, in steps of 8."""


class Ring:
    """Numbers (32 bits) that the program wrote. Its fd wakes who waits for it, if the program says.

    What was written without that is found by who reads anyway.
    """

    def __init__(self, records: int) -> None:
        """Make room for at least that many records."""
        self._bytes = mmap.PAGESIZE
        while self._bytes < records * RECORD_BYTES:
            self._bytes *= 2
        self.fd = create_map(MapType.RINGBUF, key_bytes=0, value_bytes=0, entries=self._bytes)
        self._consumer = map_shared(self.fd, mmap.PAGESIZE)
        # The producer's page, then the records, mapped twice: none ends at the edge.
        length = mmap.PAGESIZE + 2 * self._bytes
        self._producer = map_shared(self.fd, length, offset=mmap.PAGESIZE, writable=False)

    def read(self) -> Iterator[int]:
        """Give every number that is there, oldest first."""
        at: int = _U64.unpack_from(self._consumer, 0)[0]
        while at < _U64.unpack_from(self._producer, 0)[0]:
            place = mmap.PAGESIZE + at % self._bytes
            header: int = _U32.unpack_from(self._producer, place)[0]
            if header & _BUSY:
                return  # still being written; the kernel wakes us when it is done
            number: int = _U32.unpack_from(self._producer, place + _HEADER_BYTES)[0]
            at += -(-(_HEADER_BYTES + (header & _LENGTH)) // 8) * 8
            _U64.pack_into(self._consumer, 0, at)
            yield number

    def close(self) -> None:
        """Unmap; the fd is the caller's to close, with the other maps'."""
        self._consumer.close()
        self._producer.close()
