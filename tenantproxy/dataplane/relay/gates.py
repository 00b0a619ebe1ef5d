"""Gates: one for each direction of a linked pair, in memory shared with the kernel.

The program writes `moved`, `tripped`, `charged` and `next`; user space writes
`credit`, `low` and `soon`, and `tripped` and the first `next` too. Every word
is written by one aligned store.
"""

from __future__ import annotations

import mmap

from tenantproxy.dataplane.relay.bpf import MMAPABLE, MapType, create_map, map_shared

MOVED, CREDIT, LOW, TRIPPED, CHARGED, NEXT, SOON = range(7)
"""Words of a gate. Moved: bytes that the kernel passed on. Charged: the memory they took there.
Credit: what charged may not exceed. Low: user space is told when charged passes it.
Tripped: 1, more than the credit came; for good. Next: the sequence number at which the next
message should begin. Soon: when charged passes it user space is told, but not woken."""
BROKEN = 2
"""`tripped`, when messages do not follow each other and the stream cannot go on."""
GATE_WORDS = 8
"""A cache line: both directions of a pair may be busy on two CPUs."""
GATE_BYTES = 8 * GATE_WORDS
MESSAGE_BYTES = 768
"""What a message takes in the kernel besides its bytes: 600 measured, of 8 bytes each (6.18)."""


def low_of(charged: int, credit: int) -> int:
    """Return when to say that credit runs low: late, for every word of it wakes the worker."""
    return charged + (credit - charged) * 3 // 4


def soon_of(charged: int, credit: int) -> int:
    """Return when to say that credit will run low: who is woken by one lane serves others too."""
    return charged + (credit - charged) // 2


class Gates:
    """The array of gates; `words[GATE_WORDS * slot + MOVED]` and so on."""

    def __init__(self, slots: int) -> None:
        self.fd = create_map(
            MapType.ARRAY, key_bytes=4, value_bytes=GATE_BYTES, entries=slots, flags=MMAPABLE
        )
        length = -(-slots * GATE_BYTES // mmap.PAGESIZE) * mmap.PAGESIZE
        self._map = map_shared(self.fd, length)
        self.words = memoryview(self._map).cast("Q")

    def reset(self, slot: int, credit: int, begin: int) -> None:
        """Make the gate ready for a new pair: nothing moved, the whole credit.

        The stream goes on at the sequence number `begin`.
        """
        at, words = slot * GATE_WORDS, self.words
        words[at + MOVED] = words[at + TRIPPED] = words[at + CHARGED] = 0
        words[at + NEXT] = begin
        words[at + CREDIT] = credit
        words[at + LOW], words[at + SOON] = low_of(0, credit), soon_of(0, credit)

    def trip(self, slot: int) -> None:
        """Let nothing more through."""
        self.words[slot * GATE_WORDS + TRIPPED] = 1

    def close(self) -> None:
        """Unmap; the fd is the caller's to close, with the other maps'."""
        self.words.release()
        self._map.close()
