"""What the other workers have: connections, and slots of the upstreams that have a limit.

Connections, so that none takes more than its part of a burst. Workers that
share a listening socket are all woken by a connection, and without this the
one that is awake first takes what it can get: of 2,000 that came in bursts
one worker of four took 1,130 and another 176. So each reads the others'
counters and lets those that have fewer connections go first. Nothing is
promised to anybody: a worker that waited takes what is still there, so a slow
or hung peer costs a moment and never a connection.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable

from tenantproxy.dataplane.acceptor import FOR_A_FLOW
from tenantproxy.dataplane.counters import CAPACITY, WORD, Capacity, Header

SLACK = 16
"""Connections that a worker may be ahead of the one that has the fewest."""
ANY = 1 << 30
"""Room of a worker that shares with nobody."""
SILENT_MS = 300
"""A worker notes ten times a second that it lives; one that did not is not waited for."""

_CONNECTIONS = int(Header.CONNECTIONS)
_HEARTBEAT_MS = int(Header.HEARTBEAT_MS)
_FDS_FREE = int(Header.FDS_FREE)


class Peers:
    """The counters of the other workers, read only. With `shared` they accept from our sockets."""

    def __init__(
        self, fds: Iterable[int] = (), *, shared: bool = True, capacity: Capacity = CAPACITY
    ) -> None:
        """Map the files; the fds stay the caller's."""
        # All of it: the files are sparse, and what nobody looks at costs nothing.
        self._maps = [mmap.mmap(fd, capacity.words * WORD, prot=mmap.PROT_READ) for fd in fds]
        self._words = [memoryview(one).cast("Q") for one in self._maps]
        self._rivals = self._words if shared else []

    def total(self, at: int) -> int:
        """Return the sum of one word, by its index, over all the others."""
        total = 0
        for words in self._words:
            total += words[at]
        return total

    def room(self, mine: int, now_ms: int) -> int:
        """Return how many a worker with `mine` may take; 0 or less: let others go first.

        Workers that are silent or out of descriptors are not counted.
        """
        fewest = ANY
        for words in self._rivals:
            if (
                words[_CONNECTIONS] < fewest
                and now_ms - words[_HEARTBEAT_MS] < SILENT_MS
                and words[_FDS_FREE] >= FOR_A_FLOW
            ):
                fewest = words[_CONNECTIONS]
        return fewest + SLACK - mine

    def close(self) -> None:
        """Unmap."""
        for view, one in zip(self._words, self._maps, strict=True):
            view.release()
            one.close()
