"""Links of four pairs with little credit, and connections to put in them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tenantproxy.dataplane.relay.gates import MESSAGE_BYTES
from tenantproxy.dataplane.relay.links import Link, Links
from tests.dataplane.relay.again import freeze

CREDIT = 4096
ONE = CREDIT - MESSAGE_BYTES
"""The longest message that fits the credit."""
PAIRS = 4
Connection = tuple[socket.socket, socket.socket]


@pytest.fixture
def links(kernel_relay) -> Iterator[Links]:
    links = Links(PAIRS, (CREDIT, CREDIT))
    yield links
    links.close()


@pytest.fixture
def connect() -> Iterator[Callable[[], Connection]]:
    """Make the two ends of a connection; no call on them waits longer than two seconds."""
    made: list[socket.socket] = []

    def connect() -> Connection:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            made.append(socket.create_connection(listening.getsockname(), timeout=2))
            made.append(listening.accept()[0])
        made[-1].settimeout(2)
        return made[-2], made[-1]

    yield connect
    for sock in made:
        sock.close()


@pytest.fixture
def going_back() -> Iterator[Callable[[socket.socket, int], socket.socket]]:
    """Put a socket in the place of another, so many bytes earlier in what it sends."""
    made: list[socket.socket] = []

    def going_back(sock: socket.socket, back: int) -> socket.socket:
        frozen = freeze(sock)
        frozen.sending -= back
        made.append(frozen.thaw())
        return made[-1]

    yield going_back
    for sock in made:
        sock.close()


def exactly(sock: socket.socket, size: int) -> bytes:
    """Return so many bytes; MSG_WAITALL does nothing for a socket with a timeout."""
    got = bytearray()
    while len(got) < size and (data := sock.recv(size - len(got))):
        got += data
    return bytes(got)


@dataclass
class Linked:
    """A client and a server outside, and the two sockets between them that are linked."""

    client: socket.socket
    ours: socket.socket
    theirs: socket.socket
    server: socket.socket
    link: Link

    @property
    def there(self) -> int:
        """The slot from client to server."""
        return self.link.slots[0]

    @property
    def back(self) -> int:
        return self.link.slots[1]


@pytest.fixture
def linked(links, connect) -> Linked:
    return linked_by(links, connect)


def linked_by(links: Links, connect: Callable[[], Connection]) -> Linked:
    client, ours = connect()
    server, theirs = connect()
    return Linked(client, ours, theirs, server, links.link(ours, theirs))
