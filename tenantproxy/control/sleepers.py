"""Sleeping ports: one epoll over all their sockets, a call when somebody knocks.

With `wake.after_first_bytes` a connection is accepted here and kept until
its first byte, so that a port scanner, which sends nothing, wakes nothing.
"""

from __future__ import annotations

import asyncio
import os
import resource
import select
import socket
from collections.abc import Callable

from tenantproxy.control.listener import Listener
from tenantproxy.control.sockets import accept_all

_IN = select.EPOLLIN
_BATCH = 256


class Sleepers:
    """Watches sockets of sleeping listeners on the running loop.

    `on_knock(listener)` is called once for each `watch`, when a connection
    waits (or has sent its first byte; it is in `listener.held` then).
    """

    def __init__(self, on_knock: Callable[[Listener], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._by_fd: dict[int, Listener] = {}
        self._silent: dict[int, tuple[Listener, asyncio.TimerHandle]] = {}
        self._on_knock = on_knock
        # Silent connections must never use up the descriptors of the API and of new listeners.
        self._most_silent = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4
        self._loop.add_reader(self._epoll.fileno(), self._ready)

    def watch(self, listener: Listener) -> None:
        """Begin to watch its sockets; what already waits is seen at once."""
        for fd in listener.fds:
            if fd not in self._by_fd:
                self._epoll.register(fd, _IN)
                self._by_fd[fd] = listener

    def unwatch(self, listener: Listener) -> None:
        """Look away; connections that were silent so far stay in `listener.held`."""
        for fd in listener.fds:
            if self._by_fd.pop(fd, None) is not None:
                self._epoll.unregister(fd)
        if listener.held is not None:
            for fd, (whose, timer) in tuple(self._silent.items()):
                if whose is listener:
                    timer.cancel()
                    del self._silent[fd]
                    self._epoll.unregister(fd)

    def close(self) -> None:
        """Stop watching; silent connections stay in `listener.held`."""
        self._loop.remove_reader(self._epoll.fileno())
        for _, timer in self._silent.values():
            timer.cancel()
        self._silent.clear()
        self._by_fd.clear()
        self._epoll.close()

    def _ready(self) -> None:
        for fd, _ in self._epoll.poll(0, _BATCH):
            if fd in self._silent:
                self._spoke(fd)
            elif (listener := self._by_fd.get(fd)) is not None:
                if listener.spec.wake.after_first_bytes:
                    self._take_in(listener, fd)
                else:
                    self._knock(listener)

    def _knock(self, listener: Listener) -> None:
        self.unwatch(listener)
        self._on_knock(listener)

    def _take_in(self, listener: Listener, fd: int) -> None:
        held = listener.held = listener.held if listener.held is not None else []
        room = min(
            listener.spec.wake.hold - len(held), self._most_silent - len(self._silent), _BATCH
        )
        taken = accept_all((fd,), room) if room > 0 else []
        for one in taken:
            timer = self._loop.call_later(listener.spec.wake.timeout_s, self._forget, one)
            self._silent[one] = (listener, timer)
            held.append(one)
            self._epoll.register(one, _IN)
        if not taken:
            # Full, or out of descriptors: the rest waits in the kernel's queue for a while.
            self._epoll.modify(fd, 0)
            self._loop.call_later(0.1, self._look_again, fd)

    def _look_again(self, fd: int) -> None:
        if fd in self._by_fd and not self._epoll.closed:
            self._epoll.modify(fd, _IN)

    def _spoke(self, fd: int) -> None:
        one = socket.socket(fileno=fd)
        try:
            said = one.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        finally:
            one.detach()
        if said:
            self._knock(self._silent[fd][0])
        else:
            self._forget(fd)

    def _forget(self, fd: int) -> None:
        listener, timer = self._silent.pop(fd)
        timer.cancel()
        self._epoll.unregister(fd)
        if listener.held is not None:
            listener.held.remove(fd)
        os.close(fd)
