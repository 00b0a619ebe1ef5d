"""Pairs of sockets that the kernel relays between: the narrow door to maps and program."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from tenantproxy.dataplane.flow import Socket
from tenantproxy.dataplane.relay.bpf import (
    Elements,
    MapType,
    attach_verdict,
    create_map,
    load_verdict,
)
from tenantproxy.dataplane.relay.gates import (
    BROKEN,
    CHARGED,
    CREDIT,
    GATE_WORDS,
    LOW,
    MOVED,
    SOON,
    TRIPPED,
    Gates,
    low_of,
    soon_of,
)
from tenantproxy.dataplane.relay.program import verdict
from tenantproxy.dataplane.relay.ring import Ring
from tenantproxy.dataplane.relay.sequence import next_sequence

_SO_COOKIE = 57
_UNKNOWN = None, None


@dataclass(frozen=True, slots=True)
class Link:
    """A linked pair: the slots of both directions, and the cookies the kernel knows them by."""

    slots: tuple[int, int]
    cookies: tuple[int, int]


class Links:
    """Links up to `pairs` pairs; `credit` bytes of its memory may wait there, each way.

    Four maps: `slots` from a socket's cookie to its slot; `gates`; `peers`,
    where the program looks up whom to send to; `sources`, whose sockets the
    program judges.
    """

    def __init__(self, pairs: int, credit: tuple[int, int]) -> None:
        """Raises OSError, with the step in `filename`, when the kernel refuses."""
        self._pair_credit = credit
        self._credit = [0] * (2 * pairs)
        self._fds: list[int] = []
        count = 2 * pairs
        try:
            self._gates = Gates(count)
            self._fds.append(self._gates.fd)
            # A pair leaves at most four in a slot: soon, low, trip and break. What is told quietly
            # is read at the next beat, by when few slots have had a second pair.
            self._ring = Ring(4 * count)
            self._fds.append(self._ring.fd)
            slots = self._map(MapType.HASH, 8, 4, count)
            peers = self._map(MapType.SOCKMAP, 4, 8, count)
            sources = self._map(MapType.SOCKMAP, 4, 8, count)
            code = verdict(slots=slots, gates=self._gates.fd, peers=peers, ring=self._ring.fd)
            program = load_verdict(code)
            self._fds.append(program)
            attach_verdict(sources, program)
        except OSError:
            self.close()
            raise
        self._slots = Elements(slots, "slots")
        self._peers = Elements(peers, "peers")
        self._sources = Elements(sources, "sources")
        self._free = list(range(count - 1, -1, -1))

    def _map(self, kind: MapType, key_bytes: int, value_bytes: int, entries: int) -> int:
        fd = create_map(kind, key_bytes=key_bytes, value_bytes=value_bytes, entries=entries)
        self._fds.append(fd)
        return fd

    @property
    def ring_fd(self) -> int:
        """Becomes readable when `told` has something to say that cannot wait for the next beat."""
        return self._ring.fd

    @property
    def free(self) -> int:
        """How many more pairs there is room for."""
        return len(self._free) // 2

    def close(self) -> None:
        """Give everything back; sockets that are still linked must be closed by the caller."""
        for part in (getattr(self, "_gates", None), getattr(self, "_ring", None)):
            if part is not None:
                part.close()
        while self._fds:
            os.close(self._fds.pop())

    def link(self, a: Socket, b: Socket, read: tuple[int, int] | None = None) -> Link:
        """Let the kernel pass what comes from each to the other, what is queued already included.

        Nobody may read from or write to them meanwhile, nor afterwards, until
        `stop`. Slot 0 of the link is the direction from `a` to `b`. `read` is how
        many bytes of each have been read by the caller's books.

        When the last step fails, both directions of the link have tripped at once.

        Raises:
            OSError: the kernel refused; both are as they were. EOPNOTSUPP: one has just
                ended, or what was read of it is not what the kernel says.
        """
        begins = [
            next_sequence(sock, one) for sock, one in zip((a, b), read or _UNKNOWN, strict=True)
        ]
        slots = self._free.pop(), self._free.pop()
        cookies = _cookie(a), _cookie(b)
        link = Link(slots, cookies)
        try:
            for slot, cookie, credit, begin in zip(
                slots, cookies, self._pair_credit, begins, strict=True
            ):
                self._credit[slot] = credit
                self._gates.reset(slot, credit, begin)
                self._slots.set(cookie, slot)
            # First whom to send to, then whom to judge: the other way round, what comes in
            # between would find no peer and be dropped.
            self._peers.set(slots[0], b.fileno())
            self._peers.set(slots[1], a.fileno())
            self._sources.set(slots[0], a.fileno())
        except OSError:
            for slot in slots:
                self._peers.discard(slot)
                self._sources.discard(slot)
            self.forget(link)
            raise
        try:
            self._sources.set(slots[1], b.fileno())
        except OSError:
            # `b` has ended in this moment, most likely. What came from `a` since may be on its
            # way to it, and would be lost by taking the pair apart.
            for slot in slots:
                self._gates.trip(slot)
        # Calls the data-ready callback: what was queued before goes through the program.
        for sock in (a, b):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        return link

    def forget(self, link: Link) -> None:
        """Make the slots free, of a pair whose sockets are closed.

        Closed sockets have left the socket maps by themselves. Not so if
        another process has them too: such must not be linked.
        """
        for cookie in link.cookies:
            self._slots.discard(cookie)
        self._free += link.slots

    # Gates ------------------------------------------------------------------

    def moved(self, slot: int) -> int:
        """Return how many bytes the kernel passed on from this slot."""
        count: int = self._gates.words[slot * GATE_WORDS + MOVED]
        return count

    def charged(self, slot: int) -> int:
        """Return how many bytes of memory what moved has taken; ask before `moved`."""
        count: int = self._gates.words[slot * GATE_WORDS + CHARGED]
        return count

    def credit(self, slot: int) -> int:
        """Return how many bytes of memory may wait in the kernel in this direction."""
        return self._credit[slot]

    def tripped(self, slot: int) -> bool:
        """Return True when what comes to this slot goes to user space."""
        return bool(self._gates.words[slot * GATE_WORDS + TRIPPED])

    def broken(self, slot: int) -> bool:
        """Return True when messages of this slot did not follow each other."""
        return bool(self._gates.words[slot * GATE_WORDS + TRIPPED] == BROKEN)

    def is_low(self, slot: int) -> bool:
        """Return True when what was charged has passed `low`; a word of that may be an old one."""
        at, words = slot * GATE_WORDS, self._gates.words
        return bool(words[at + CHARGED] >= words[at + LOW])

    def is_soon(self, slot: int) -> bool:
        """Return True when what was charged has passed `soon`, and credit may be given again."""
        at, words = slot * GATE_WORDS, self._gates.words
        return bool(words[at + CHARGED] >= words[at + SOON])

    def grant(self, slot: int, freed: int) -> None:
        """Give the whole credit again, counted from what is free of what was charged."""
        at, words = slot * GATE_WORDS, self._gates.words
        credit = freed + self._credit[slot]
        charged = words[at + CHARGED]
        words[at + CREDIT] = credit
        words[at + LOW], words[at + SOON] = low_of(charged, credit), soon_of(charged, credit)

    def stop(self, slot: int) -> None:
        """Pass nothing on from now on; what comes goes to user space.

        A message may be under way in the kernel. `moved` is final after the
        next system call that takes the lock of the slot's socket.
        """
        self._gates.words[slot * GATE_WORDS + CREDIT] = 0

    def told(self) -> Iterator[int]:
        """Give the slots whose `charged` passed `soon` or `low`, that tripped, or that broke."""
        return self._ring.read()


def _cookie(sock: Socket) -> int:
    return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), "little")
