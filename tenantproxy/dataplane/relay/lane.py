"""One direction of a pair that was linked, and the exact count of its bytes.

    KERNEL     the kernel passes the bytes on
    LEAVING    told to stop; what moved is not all written by the destination yet
    PUMPED     the pump reads the source; what comes is still handed to it by the
               program, and that is for good

    KERNEL -> LEAVING -> PUMPED

Bytes are accounted for by what the kernel counts from the beginning of a
connection. A flow is linked when user space has written all it read, so what
the destination had written then (`wrote`, with its SYN if it has sent one) is
also what user space had read from the source (`base`).
"""

from __future__ import annotations

import socket
from enum import Enum

from tenantproxy.dataplane.flow import Half
from tenantproxy.dataplane.relay.links import Links
from tenantproxy.dataplane.relay.tcp_info import TcpInfo, exactly_written, written

_SO_SNDBUFFORCE = 32
"""SO_SNDBUF without the limit of net.core.wmem_max; needs CAP_NET_ADMIN, as the maps do."""


class Stage(Enum):
    """Who passes the bytes of a lane on."""

    KERNEL = "kernel"
    LEAVING = "leaving"
    PUMPED = "pumped"


class MoreThanReceived(Exception):
    """The kernel handed out more bytes than it received: some of them twice."""


class BrokenStream(Exception):
    """The kernel handed out messages that do not follow each other: bytes are missing."""


class Lane:
    """From `source` to `to`. `counted` of `moved` are in the counters already.

    At the last grant `seen` had moved, and `charged` was charged for it.
    """

    __slots__ = (
        "_links", "answered", "base", "charged", "counted", "opposite", "passed", "seen", "slot",
        "source", "stage", "until_s", "wrote",
    )  # fmt: skip

    opposite: Lane
    slot: int

    def __init__(self, links: Links, source: Half, to: Half, *, syn: int) -> None:
        """`syn` is 1 if we have connected `to`, 0 if it was accepted.

        Raises:
            OSError: `to` is closed, or ACKs come to it all the time.
        """
        self._links = links
        self.source = source
        self.stage = Stage.KERNEL
        self.wrote = exactly_written(to.sock)
        self.base = self.wrote - syn
        self.counted = 0
        self.passed = 0
        """Bytes that the pump read since it has the lane."""
        self.answered = 0
        """What had moved the other way when credit was given last."""
        self.seen = self.charged = 0
        self.until_s = 0.0
        """When to wait no longer; 0: for ever."""

    def count(self, now_ms: int) -> None:
        """Add what moved since the last time to the counters."""
        moved = self._links.moved(self.slot)
        if moved != self.counted:
            source = self.source
            source.cell[0] += moved - self.counted
            source.cell[1] = source.last_ms = now_ms
            self.counted = moved

    def stop(self, now_ms: int) -> None:
        """Let the kernel pass nothing more on; when this returns `moved` is final and counted."""
        self._links.stop(self.slot)
        try:
            TcpInfo(self.source.sock)  # for its lock: a message under way is through afterwards
        except OSError:
            pass
        self.count(now_ms)

    def is_written(self) -> bool:
        """Return True when the destination took, or never can take, all that moved."""
        to = self.source.peer.sock
        info = TcpInfo(to)
        return info.closed or written(to, info) - self.wrote >= self.counted

    def make_room(self) -> None:
        """Let the destination's socket take all that waits for it in the kernel.

        What the program hands to user space waits behind what the same socket
        still has to send (sk_psock_verdict_apply), so a client that sends and
        does not read would wait for ever. What waits is within the credit; its
        send buffer keeps its new size.
        """
        sock = self.source.peer.sock
        try:
            room = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            # Twice, for a socket keeps less than it has room for: 72 % (6.18).
            room += 2 * self._links.credit(self.slot)
            sock.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, room // 2)  # which is doubled
        except OSError:
            pass  # not allowed here, or closed: it waits for its reader

    def grant(self) -> bool:
        """Give credit again if this is a conversation and the destination keeps up.

        What is charged and not free never exceeds the credit. If all that moved
        is written, all is free; else, if what the last grant saw is, what was
        charged for that, and of what came since at least the bytes written.
        """
        links, slot = self._links, self.slot
        charged, moved = links.charged(slot), links.moved(slot)
        moved_back = links.moved(self.opposite.slot)
        took = written(self.source.peer.sock) - self.wrote
        if moved_back == self.answered or took < self.seen:
            return False
        freed = charged if took >= moved else self.charged + took - self.seen
        links.grant(slot, freed)
        self.charged, self.seen, self.answered = charged, moved, moved_back
        return True

    def is_late(self) -> bool:
        """Return True when the kernel received more before the FIN than it handed out.

        Raises:
            MoreThanReceived: it handed out more, so some of it twice.
        """
        received = TcpInfo(self.source.sock).received
        handed_out = self.base + self.counted + self.passed
        if handed_out > received:
            raise MoreThanReceived(f"{handed_out} bytes of {received}")
        # A FIN counts as one; not always, if it is the second and ends the connection.
        return received - 1 > handed_out
