"""Does the kernel relay work here? Every step is tried for real, on sockets of our own.

A kernel may refuse the system call, a map, the program or a socket; it may
also accept all of them and do something else, so bytes are sent through a
link, counted, and sent beyond its credit.
"""

from __future__ import annotations

import platform
import select
import socket
from contextlib import ExitStack
from dataclasses import dataclass

from tenantproxy.dataplane.relay.links import Links
from tenantproxy.dataplane.relay.tcp_info import TcpInfo, exactly_written, written

_WAIT_S = 2.0
_CREDIT = 4096
_WORDS = b"a few words"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the kernel relay works, and a reason for people."""

    works: bool
    reason: str


def probe() -> Verdict:
    """Try it; takes a few milliseconds, and leaves nothing behind."""
    try:
        with ExitStack() as stack:
            _try(stack)
    except OSError as error:
        step = f" ({error.filename})" if error.filename else ""
        return Verdict(False, f"{error.strerror or error}{step}")
    except (_Wrong, ValueError) as error:
        return Verdict(False, str(error))
    return Verdict(True, f"Linux {platform.release()}: every step works")


class _Wrong(Exception):
    """The kernel accepted a step and did not do it."""


def _try(stack: ExitStack) -> None:
    links = Links(pairs=1, credit=(_CREDIT, _CREDIT))
    stack.callback(links.close)
    client, ours = _connection(stack)
    server, theirs = _connection(stack)
    base = exactly_written(theirs)
    link = links.link(ours, theirs)
    there = link.slots[0]
    for a, b in ((client, server), (server, client)):
        a.sendall(_WORDS)
        _expect(b, _WORDS)
    if links.moved(there) != len(_WORDS):
        raise _Wrong("bytes that moved are not counted")
    if written(theirs) - base != len(_WORDS) or TcpInfo(ours).received != len(_WORDS):
        raise _Wrong("TCP_INFO does not count bytes as expected")
    links.stop(there)
    client.sendall(_WORDS)
    client.shutdown(socket.SHUT_WR)
    _expect(ours, _WORDS)
    if not links.tripped(there) or there not in tuple(links.told()):
        raise _Wrong("a link does not trip when its credit is used up")
    _expect(ours, b"")


def _connection(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a TCP connection on the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        one = stack.enter_context(socket.create_connection(listening.getsockname()))
        other = stack.enter_context(listening.accept()[0])
    return one, other


def _expect(sock: socket.socket, data: bytes) -> None:
    if not select.select([sock], [], [], _WAIT_S)[0]:
        raise _Wrong("a linked socket did not get what was sent")
    if sock.recv(len(data) + 1, socket.MSG_DONTWAIT) != data:
        raise _Wrong("a linked socket got something else than was sent")
