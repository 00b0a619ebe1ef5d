"""Requests at a fixed rate, each timed from when it was due.

wrk sends the next request when the last was answered, so a proxy that stalls
is asked less while it stalls and its worst moments are not counted
(coordinated omission). Here the moments are fixed beforehand: a request that
finds no free connection waits, and its wait counts. Of what Debian packages,
h2load and hey hold a rate but time from when a request was sent, and h2load
needs no less CPU (14 us a request against 12 to 20 here, most of it the kernel's).

It blocks: nothing else is to run in this process meanwhile.
"""

from __future__ import annotations

import collections
import ctypes
import gc
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
_PR_SET_TIMERSLACK = 29


@dataclass(slots=True)
class Report:
    """What became of the requests."""

    due: int = 0
    latencies_s: list[float] = field(default_factory=list)
    errors: int = 0
    """Connections that ended; what was under way on them is not answered."""

    @property
    def unanswered(self) -> int:
        return self.due - len(self.latencies_s)

    def percentile_ms(self, percent: float) -> float:
        """Return the latency that so many percent of the requests did not exceed.

        An unanswered request counts as slower than any other.
        """
        ordered = sorted(self.latencies_s)
        at = min(int(self.due * percent / 100), self.due - 1)
        return ordered[at] * 1000 if at < len(ordered) else float("inf")


def connect(ports: Sequence[int], count: int) -> list[socket.socket]:
    """Return that many connections, spread evenly over the ports, each of which answered once."""
    found = []
    for number in range(count):
        sock = socket.create_connection(
            ("127.0.0.1", ports[number * len(ports) // count]), timeout=10
        )
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(REQUEST)
        assert sock.recv(4096)
        sock.setblocking(False)
        found.append(sock)
    return found


def close(socks: Sequence[socket.socket]) -> None:
    for sock in socks:
        sock.close()


def open_loop(socks: Sequence[socket.socket], *, per_second: float, seconds: float) -> Report:
    """Ask over the connections, at even distances; wait one second for the last answers."""
    # Timers may be late by 50 us otherwise, which is as much as a proxy adds.
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    collecting = gc.isenabled()
    gc.disable()
    epoll = select.epoll()
    for sock in socks:
        epoll.register(sock, select.EPOLLIN)
    try:
        return _run(epoll, {sock.fileno(): sock for sock in socks}, per_second, seconds)
    finally:
        epoll.close()
        if collecting:
            gc.enable()


def _run(
    epoll: select.epoll, by_fd: dict[int, socket.socket], per_second: float, seconds: float
) -> Report:
    report = Report(due=int(per_second * seconds))
    latencies, clock, poll = report.latencies_s, time.perf_counter, epoll.poll
    send = {fd: sock.send for fd, sock in by_fd.items()}
    receive = {fd: sock.recv_into for fd, sock in by_fd.items()}
    buffer = bytearray(65536)
    free = collections.deque(by_fd)
    asked: dict[int, float] = {}
    step, number = 1 / per_second, 0
    began = clock() + 0.01
    last = began + report.due * step + 1.0
    while len(latencies) < report.due and send:
        due = began + number * step
        while free and number < report.due and due <= clock():
            number += 1
            fd = free.popleft()
            asked[fd] = due
            try:  # noqa: SIM105 - a context for each request costs as much as its clock
                send[fd](REQUEST)
            except OSError:
                pass  # it ended, which is counted below
            due = began + number * step
        events = poll(0)
        if not events:
            now = clock()
            if now > last:
                break
            # epoll waits for whole milliseconds, select for microseconds.
            next_s = due - now if free and number < report.due else 0.1
            if next_s > 0:
                select.select((epoll,), (), (), next_s)
            continue
        for fd, _ in events:
            try:
                length = receive[fd](buffer)
            except OSError:
                length = 0
            if length:
                latencies.append(clock() - asked.pop(fd))
                free.append(fd)
                continue
            epoll.unregister(fd)
            del send[fd]
            if asked.pop(fd, None) is None:
                free.remove(fd)
            report.errors += 1
    return report


def one_each(ports: Sequence[int], *, seconds: float) -> tuple[int, int]:
    """Connect to the ports in turn, one request each, one after the other.

    Returns:
        How many were served, and how many were not.
    """
    served = failed = number = 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        try:
            with socket.create_connection(
                ("127.0.0.1", ports[number % len(ports)]), timeout=5
            ) as sock:
                sock.sendall(REQUEST)
                served += bool(sock.recv(4096))
        except OSError:
            failed += 1
        number += 1
    return served, failed


def ask_once(port: int, path: str) -> bytes:
    """Return the answer to one request over a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(REQUEST.replace(b" / ", f" {path} ".encode()))
        return sock.recv(65536)
