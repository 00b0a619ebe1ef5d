"""A connection through the proxy: a flow of two halves, the client's and the server's."""

from __future__ import annotations

import _socket
import errno
import fcntl
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from tenantproxy.dataplane.endpoint import Endpoint

if TYPE_CHECKING:
    from tenantproxy.dataplane.listener import Listener, Route
    from tenantproxy.dataplane.signals import Sample
    from tenantproxy.dataplane.upstream import Upstream

Socket = _socket.socket
"""Without the wrapper class of `socket`: cheaper to make, and no reference cycle."""

UNWATCHED = -1
"""`Half.mask` of a half that the epoll does not know. Below 0 no bit means anything."""
OVER = -2
"""`Half.mask` of a half whose flow has ended; nothing may be done with it."""
FIRST_SIZE = 65_536
"""Bytes of the first read: one answer, one chunk; grows if the flow proves to be bulk."""

_LINGER_RESET = struct.pack("ii", 1, 0)
_SIOCINQ = 0x541B
_NONE = bytes(4)
_count = bytearray(4)
_SIOCOUTQ = 0x5411
_INT = struct.Struct("i")


class Half:
    """One socket of a flow, with what has to be written to it and what was read from it."""

    __slots__ = (
        "broken", "cell", "eof", "fd", "flow", "last_ms", "mask", "on", "paused", "peer",
        "pending", "read", "size", "sock",
    )  # fmt: skip

    sealed: ClassVar[bool] = False
    """Its socket speaks TLS, and may hold bytes of which the epoll knows nothing."""
    cell: memoryview
    """Where bytes read from this half are counted: bytes, then milliseconds."""
    on: Callable[[Half, int], None]
    """Called with the events of the epoll."""
    read: Callable[[Half, int], None]
    """What `on` is while nothing but reading is to be done."""
    peer: Half
    flow: Flow

    def __init__(self, sock: Socket, fd: int, flow: Flow) -> None:
        self.sock = sock
        self.fd = fd
        self.flow = flow
        self.mask = UNWATCHED
        self.size = FIRST_SIZE
        self.last_ms = 0
        self.pending: memoryview | None = None
        """Read from the peer and not yet taken by our socket. While it is there, the peer
        is paused: never more than one buffer a direction."""
        self.paused = False
        """Not read from, because the peer has pending bytes."""
        self.eof = False
        """Nothing more will be read from here."""
        self.broken = False
        """Nothing more can be written to here; what it sent before is still passed on."""


class SealedHalf(Half):
    """A half whose socket is a `TlsSocket` once it is connected, and may only be pumped."""

    __slots__ = ()
    sealed: ClassVar[bool] = True


class Flow:
    """What belongs to both halves. `server` is there once a connect was tried."""

    __slots__ = (
        "adopted", "answered", "at_s", "backoff_s", "client", "deadline_s", "endpoint",
        "listener", "route", "said_bytes", "sample", "server", "slot", "spare", "stale", "tried",
        "turns", "unsent", "upstream",
    )  # fmt: skip

    upstream: Upstream
    endpoint: Endpoint

    def __init__(self, listener: Listener, route: Route, sock: Socket) -> None:
        self.listener = listener
        self.route = route
        self.client = Half(sock, sock.fileno(), self)
        self.server: Half | None = None
        self.adopted = False
        """Another process may still have the client's socket: it must be taken out of the
        epoll before it is closed."""
        self.at_s = 0.0
        """When the present connect began; then when it was done."""
        self.deadline_s = 0.0
        """Until when to connect, or until when the server has to speak; 0: no matter."""
        self.tried: tuple[Endpoint, ...] = ()
        """Those that have failed it."""
        self.slot = False
        """It has one of its upstream's, see `Upstream.take_slot`."""
        self.answered = False
        """The server has spoken."""
        self.said_bytes = 0
        """What we wrote to the server ourselves before anything of the client's."""
        self.spare = False
        """Its server's connection was a spare one."""
        self.stale = False
        """A spare has failed it, as one does that the server ends when it is used: once that is
        nobody's fault, and it gets no other spare."""
        self.unsent = b""
        """Read from the client and taken by no server; the next one gets it first."""
        self.sample: Sample | None = None
        """Its established connection, if it counts for a rollout."""
        self.backoff_s = 0.0
        """Not 0: held while the listener wakes; the time to the next try."""
        self.turns = 0
        """How often client and server took turns, while the kernel relay wants to know."""


def reset(sock: Socket) -> None:
    """Close with an RST; unsent bytes are lost."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
    except OSError:
        pass
    sock.close()


def unread(fd: int) -> bool:
    """Return True when bytes wait to be read (tcp(7), SIOCINQ)."""
    fcntl.ioctl(fd, _SIOCINQ, _count)  # into a buffer of our own: half the work of a new answer
    return _count != _NONE


def unacknowledged(fd: int) -> int:
    """Return how many bytes the kernel took and the other end has not acknowledged (SIOCOUTQ)."""
    count: int = _INT.unpack(fcntl.ioctl(fd, _SIOCOUTQ, _NONE))[0]
    return count


def waiting(fd: int) -> int:
    """Return how many bytes wait to be read, up to an urgent mark (tcp(7), SIOCINQ)."""
    count: int = _INT.unpack(fcntl.ioctl(fd, _SIOCINQ, _NONE))[0]
    return count


def has_left(client: Half) -> bool:
    """Return True when the client closed or reset, having sent nothing."""
    try:
        return not client.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def outcome_now(sock: Socket) -> int:
    """Return the errno of a connect under way; 0 is connected.

    Sending nothing asks for no more than that, and is a third of the work of
    `getpeername`, which makes a text of the address.
    """
    try:
        sock.send(b"", socket.MSG_DONTWAIT)
    except BlockingIOError:
        return errno.EINPROGRESS
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def met_itself(sock: Socket) -> bool:
    """Return True when a connect found no listener but its own SYN (RFC 9293, 3.5)."""
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:
        return False  # connected, and reset already: who reads finds that out
