"""Accepting, and never accepting what could not be served for want of descriptors.

A second epoll holds all listening sockets; its fd is one reader of the loop,
so that to pause every listener is one `remove_reader`, however many there are.
"""

from __future__ import annotations

import errno
import resource
import select
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from pathlib import Path

from tenantproxy.dataplane.listener import Listener
from tenantproxy.dataplane.notices import Notices

RESERVE = 16
"""Descriptors kept for orders of the control process and for sockets that linger."""
FOR_A_FLOW = 2
BATCH = 128
"""Accepts of one wake-up, shared by the listeners that are ready."""
READY = 64
"""Listeners of one wake-up."""
SWEEP_PASS = 1024
"""Accepts of one pass over a queue that is swept."""
TURN_S = 0.001
"""How long workers that have fewer connections get to take one before we do."""
AFTER_TURN = 1
"""Accepts of a worker that has let the others go first, in spite of what it has."""
REFUSED_PAUSE_S = 0.1
"""Pause after accept(2) failed for want of descriptors or memory in spite of the reserve."""
CALM_S = 1.0
"""So long without a pause, and the limit is over."""

_NO_SOCKET = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_NOT_LISTENING = (errno.EINVAL, errno.ENOTSOCK, errno.EOPNOTSUPP)


class Acceptor:
    """Accepts from the listeners added, while descriptors last.

    `begin(listener, fd)` gets each connection. `in_use()` is how many
    descriptors flows have, or will have when they are connected. `room()` is
    how many connections we may take before workers that share our sockets
    had their turn.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        begin: Callable[[Listener, int], None],
        in_use: Callable[[], int],
        room: Callable[[], int],
        notices: Notices,
    ) -> None:
        self._loop = loop
        self._begin = begin
        self._in_use = in_use
        self._room = room
        self._notices = notices
        self._epoll = select.epoll()
        self._listeners: dict[int, Listener] = {}
        soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._limit = soft - sum(1 for _ in Path("/proc/self/fd").iterdir())
        self.paused = False
        self.pauses = 0
        self._turn: TimerHandle | None = None
        """Set while the others have their turn."""
        self._retry: TimerHandle | None = None
        self._calm: TimerHandle | None = None
        loop.add_reader(self._epoll.fileno(), self._ready)

    def free(self) -> int:
        """Return how many descriptors are left before accepting pauses."""
        return self._limit - RESERVE - len(self._listeners) - self._in_use()

    def add(self, listener: Listener) -> None:
        """Begin to accept from a listener's socket."""
        assert listener.sock is not None  # noqa: S101 - for the type checker
        fd = listener.sock.fileno()
        self._listeners[fd] = listener
        self._epoll.register(fd, select.EPOLLIN)

    def remove(self, listener: Listener) -> None:
        """Accept no more; the socket stays open.

        It has to go from the epoll before it is closed: control has it too,
        so that closing ours would not take it out.
        """
        assert listener.sock is not None  # noqa: S101 - for the type checker
        fd = listener.sock.fileno()
        if self._listeners.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def sweep(self, listener: Listener) -> bool:
        """Accept what waits in the queue; return True when it was empty at the end."""
        return self._accept(listener, SWEEP_PASS)

    def freed(self) -> None:
        """A flow has ended: accept again if that was waited for."""
        if self.paused and self._retry is None and self.free() >= FOR_A_FLOW:
            self._resume()

    def close(self) -> None:
        """Leave the loop."""
        if not self.paused:
            self._loop.remove_reader(self._epoll.fileno())
        for timer in (self._turn, self._retry, self._calm):
            if timer is not None:
                timer.cancel()
        self._epoll.close()

    def _ready(self) -> None:
        events = self._epoll.poll(0, READY)
        if not events:  # another worker was faster
            return
        room = self._room()
        if room > 0:
            self._take(events, room)
        else:
            self._loop.remove_reader(self._epoll.fileno())
            self._turn = self._loop.call_later(TURN_S, self._our_turn)

    def _our_turn(self) -> None:
        self._turn = None
        if not self.paused:
            self._loop.add_reader(self._epoll.fileno(), self._ready)
            self._take(self._epoll.poll(0, READY), max(self._room(), AFTER_TURN))

    def _take(self, events: list[tuple[int, int]], most: int) -> None:
        share = max(1, min(most, BATCH) // (len(events) or 1))
        for fd, _ in events:
            listener = self._listeners.get(fd)
            if listener is not None and not self.paused:
                self._accept(listener, share)

    def _accept(self, listener: Listener, most: int) -> bool:
        """Accept up to `most`; return True when nobody waits any more."""
        assert listener.sock is not None  # noqa: S101 - for the type checker
        accept = listener.sock._accept  # type: ignore[attr-defined]  # noqa: SLF001 - the fd alone
        begin = self._begin
        room = self.free() // FOR_A_FLOW
        for _ in range(min(most, room)):
            try:
                fd, _address = accept()
            except BlockingIOError:
                return True
            except OSError as error:
                if error.errno in _NO_SOCKET:
                    self._refused(error)
                    return False
                if error.errno in _NOT_LISTENING:
                    self._notices.add("internal", listener.order.name, f"accept: {error.strerror}")
                    self.remove(listener)  # it would be reported without end
                    return True
                continue  # that one connection went away while it waited
            begin(listener, fd)
        if most > room:
            self._pause("none left for a new connection")
        return False

    def _pause(self, why: str) -> None:
        if not self.paused:
            self.paused = True
            self.pauses += 1
            self._loop.remove_reader(self._epoll.fileno())
        if self._calm is not None:
            self._calm.cancel()
            self._calm = None
        self._notices.add("fd_limit", "", why)

    def _refused(self, error: OSError) -> None:
        self._pause(f"accept failed: {error.strerror}")
        if self._retry is None:
            self._retry = self._loop.call_later(REFUSED_PAUSE_S, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        if self.free() >= FOR_A_FLOW:
            self._resume()

    def _resume(self) -> None:
        if not self.paused:
            return
        self.paused = False
        self._loop.add_reader(self._epoll.fileno(), self._ready)
        if self._calm is None:
            self._calm = self._loop.call_later(CALM_S, self._over)

    def _over(self) -> None:
        self._calm = None
        self._notices.add("fd_limit_over", "", "accepting again")
