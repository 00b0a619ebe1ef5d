"""Messages and file descriptors between the control process and a worker.

One SOCK_SEQPACKET socket pair a worker; a datagram is one message, so there is
no framing to go wrong, and the fds of a message arrive with it or not at all.
Both ends use `Channel`; neither end ever waits for the other: what does not
fit into the kernel's buffer waits in a queue of ours, in order.
"""

from __future__ import annotations

import array
import asyncio
import errno
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from tenantproxy.dataplane.messages import MAX_BYTES, MAX_FDS, Message, decode, encode

BUFFER_BYTES = 4 << 20
"""Asked for in each direction; the kernel gives at most `net.core.wmem_max`."""
BATCH = 64
"""Messages read in one wake-up, so that a flood leaves the loop its turn."""
RETRY_S = 0.01
"""Pause after the kernel refused for want of memory or of in-flight descriptors."""

_SPACE = socket.CMSG_SPACE(MAX_FDS * 4)
_RECEIVE = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
_SEND = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
_LATER = (errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS)

OnMessage = Callable[[Message, list[int]], None]


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected ends, non-blocking and not inherited by programs we start."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
    return ours, theirs


class Channel:
    """One end, on the running loop from `start()` to `close()`.

    `on_message(message, fds)` owns the fds it gets. There are fewer of them
    than were sent if this process ran out of descriptors. `on_close()` is
    called once, when the other end is gone or sent what is not a message;
    not after our own `close()`.
    """

    def __init__(
        self, sock: socket.socket, *, on_message: OnMessage, on_close: Callable[[], None]
    ) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._on_message = on_message
        self._on_close = on_close
        self._queue: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """True when nothing can be sent or will arrive any more."""
        return self._closed

    @property
    def queued(self) -> int:
        """How many messages wait for room in the kernel."""
        return len(self._queue)

    def start(self) -> None:
        """Begin to deliver messages on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._readable)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send now if the kernel has room, else as soon as it has; never wait.

        The caller keeps its `fds` and may close them at once. Nothing happens
        on a closed channel.

        Raises:
            ValueError: the message is longer than `MAX_BYTES` or has more
                than `MAX_FDS` descriptors.
            OSError: a descriptor could not be duplicated for the queue.
        """
        datagram = encode(message)
        if len(datagram) > MAX_BYTES or len(fds) > MAX_FDS:
            raise ValueError(f"{len(datagram)} bytes and {len(fds)} fds do not fit a message")
        if self._closed or (not self._queue and self._try(datagram, fds)):
            return
        self._queue.append((datagram, _dup_all(fds)))
        if len(self._queue) == 1:
            self._wait()

    def close(self) -> None:
        """Close the socket; what is still queued is dropped, its fds are closed."""
        if self._closed:
            return
        self._closed = True
        if self._loop is not None:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
        if self._retry is not None:
            self._retry.cancel()
        while self._queue:
            _close_all(self._queue.popleft()[1])
        self._sock.close()

    def _readable(self) -> None:
        for _ in range(BATCH):
            if self._closed:
                return
            try:
                datagram, cmsgs, flags, _ = self._sock.recvmsg(MAX_BYTES, _SPACE, _RECEIVE)
            except BlockingIOError:
                return
            except OSError:
                self._lost()
                return
            fds = _fds_of(cmsgs)
            try:
                if not datagram or flags & socket.MSG_TRUNC:
                    raise msgspec.DecodeError("the end, or longer than any message")
                message = decode(datagram)
            except msgspec.DecodeError:
                _close_all(fds)
                self._lost()
                return
            self._on_message(message, fds)

    def _lost(self) -> None:
        self.close()
        self._on_close()

    def _try(self, datagram: bytes, fds: Sequence[int]) -> bool:
        """Return True when the message is gone, sent or undeliverable for good."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._sock.sendmsg([datagram], rights, _SEND)
        except BlockingIOError:
            return False
        except OSError as error:
            # Anything else: the other end is gone, which the reader finds out in its turn,
            # after the messages that came before.
            return error.errno not in _LATER
        return True

    def _wait(self) -> None:
        loop = self._loop or asyncio.get_running_loop()
        loop.add_writer(self._fd, self._writable)
        self._loop = loop

    def _writable(self) -> None:
        for _ in range(BATCH):
            datagram, fds = self._queue[0]
            if not self._try(datagram, fds):
                break
            self._queue.popleft()
            _close_all(fds)
            if not self._queue:
                break
        else:
            return
        assert self._loop is not None  # noqa: S101 - for the type checker; _wait set it
        self._loop.remove_writer(self._fd)
        if self._queue:
            # A socket can be writable and still refuse (in-flight descriptors): never spin on it.
            self._retry = self._loop.call_later(RETRY_S, self._wait)


def _fds_of(cmsgs: Sequence[tuple[int, int, bytes]]) -> list[int]:
    fds = array.array("i")
    for level, kind, data in cmsgs:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return list(fds)


def _dup_all(fds: Sequence[int]) -> tuple[int, ...]:
    copies: list[int] = []
    try:
        copies.extend(os.dup(fd) for fd in fds)
    except OSError:
        _close_all(copies)
        raise
    return tuple(copies)


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
