"""Listening sockets: bind them exactly, hold newcomers back, look into their queues.

Listening sockets are kept as bare file descriptors: there are thousands, and
a descriptor costs nothing where a socket object costs 100 bytes.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import select
import socket
import struct
from pathlib import Path

from tenantproxy.errors import FdLimit, ListenFailed, PortPrivileged, PortTaken

BACKLOG = 65_535
"""Asked for; the kernel cuts it to net.core.somaxconn."""

FD_RESERVE = 100
"""Descriptors that listeners may not use up: the API, metrics, workers, files."""

_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27

# Classic BPF on the TCP header: `ldb [13]` (flags), `jset #2` (SYN) -> drop, else keep all.
# A listener with it completes the handshakes under way and begins no new one.
_NO_SYN = (ctypes.c_char * 32).from_buffer_copy(
    b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (0x30, 0, 0, 13),
            (0x45, 0, 1, 2),
            (0x06, 0, 0, 0),
            (0x06, 0, 0, 0xFFFFFFFF),
        )
    )
)
_NO_SYN_PROGRAM = struct.pack("HxxxxxxP", 4, ctypes.addressof(_NO_SYN))

Address = tuple[str, int]


def listen(address: str, port: int, *, count: int = 1) -> tuple[int, ...]:
    """Bind and listen; return `count` descriptors that share the port.

    The first socket is bound without SO_REUSEPORT, so that a clash with any
    other socket shows; only then is the option set, which lets our own
    further sockets join (`inet_csk_bind_conflict` looks at both sides'
    present options). Accepted sockets inherit TCP_NODELAY and keep-alive.

    Raises:
        PortTaken, PortPrivileged, FdLimit, ListenFailed: nothing is left open.
    """
    fds: list[int] = []
    try:
        fds.append(_listen_one(address, port, first=True, shared=count > 1))
        while len(fds) < count:
            fds.append(_listen_one(address, port, first=False, shared=True))
    except OSError as error:
        for fd in fds:
            os.close(fd)
        raise _explain(error, address, port) from error
    return tuple(fds)


def _listen_one(address: str, port: int, *, first: bool, shared: bool) -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if not first:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind((address, port))
        if first and shared:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.listen(BACKLOG)
    except OSError:
        one.close()
        raise
    return one.detach()


def _explain(error: OSError, address: str, port: int) -> ListenFailed | PortTaken | PortPrivileged:
    match error.errno:
        case errno.EADDRINUSE:
            return PortTaken(
                f"port {port} on {address} is in use by another process",
                hint=f"find it with `ss -ltnp 'sport = :{port}'`, or choose another number",
            )
        case errno.EACCES | errno.EPERM:
            return PortPrivileged(
                f"port {port} on {address} may not be bound by this user",
                hint="grant CAP_NET_BIND_SERVICE or choose a number from 1024 up",
            )
        case errno.EMFILE | errno.ENFILE:
            return FdLimit(
                f"no file descriptor is left for port {port}",
                hint="raise the limit of open files (ulimit -n, LimitNOFILE=)",
            )
        case errno.EADDRNOTAVAIL:
            return ListenFailed(
                f"this host has no address {address}", hint="correct proxy.listen_address"
            )
        case _:
            return ListenFailed(f"port {port} on {address}: {error.strerror}")


def check_fds(more: int) -> None:
    """Raise `FdLimit` if `more` descriptors would eat into the reserve."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The size of this directory is the number of descriptors since Linux 6.2; 0 before.
    directory = Path("/proc/self/fd")
    used = directory.stat().st_size or sum(1 for _ in directory.iterdir())
    if used + more > soft - FD_RESERVE:
        raise FdLimit(
            f"{more} more listening sockets need {used + more + FD_RESERVE} open files, "
            f"and the limit is {soft}",
            hint="raise the limit of open files (ulimit -n, LimitNOFILE=)",
        )


def hold_back_newcomers(fds: tuple[int, ...]) -> None:
    """Drop SYNs from now on: clients try again by themselves after a second.

    Handshakes under way still complete and land in the accept queue. A kernel
    may demand CAP_NET_ADMIN for it: without it, who comes in the last
    milliseconds is reset, and the port closes all the same.
    """
    for fd in fds:
        with socket.socket(fileno=os.dup(fd)) as one, contextlib.suppress(PermissionError):
            one.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _NO_SYN_PROGRAM)


def let_newcomers_in(fds: tuple[int, ...]) -> None:
    """Undo `hold_back_newcomers`; nothing happens where they are not held back."""
    for fd in fds:
        with (
            socket.socket(fileno=os.dup(fd)) as one,
            contextlib.suppress(FileNotFoundError, PermissionError),
        ):
            one.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def queued(fds: tuple[int, ...]) -> bool:
    """Tell whether a connection waits to be accepted on one of them."""
    look = select.poll()
    for fd in fds:
        look.register(fd, select.POLLIN)
    return bool(look.poll(0))


def accept_all(fds: tuple[int, ...], most: int) -> list[int]:
    """Accept up to `most` waiting connections; return their descriptors."""
    taken: list[int] = []
    for fd in fds:
        with socket.socket(fileno=os.dup(fd)) as one:
            try:
                while len(taken) < most:
                    taken.append(one._accept()[0])  # type: ignore[attr-defined] # noqa: SLF001 - no wrapper object for an fd that is handed on at once
            except OSError:
                continue  # empty, or out of descriptors: the rest stays queued
    return taken


def close_all(fds: tuple[int, ...]) -> None:
    """Close them; what was still queued is reset by the kernel."""
    for fd in fds:
        os.close(fd)


def first_unprivileged_port() -> int:
    """Return the lowest number this process may bind: 0 with CAP_NET_BIND_SERVICE."""
    capabilities = 0
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            capabilities = int(line.split()[1], 16)
    if capabilities >> 10 & 1:
        return 0
    return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
