"""A client is known by its address."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tenantproxy.dataplane.client import client_key
from tests.dataplane.support import reset


@contextmanager
def connected(family: int, bind: str, connect: str) -> Iterator[tuple[socket.socket, ...]]:
    """Return the two ends of a connection, the accepted one first."""
    with socket.socket(family) as server:
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind((bind, 0))
        server.listen()
        with socket.create_connection((connect, server.getsockname()[1])) as client:
            sock, _ = server.accept()
            with sock:
                yield sock, client


@pytest.mark.parametrize(
    ("family", "bind", "connect", "key"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1", bytes([127, 0, 0, 1])),
        (socket.AF_INET6, "::1", "::1", bytes(15) + b"\1"),
        (socket.AF_INET6, "::", "127.0.0.1", bytes([127, 0, 0, 1])),
    ],
    ids=["IPv4", "IPv6", "IPv4 on a socket for both"],
)
def test_the_key_is_the_address_without_its_port(family, bind, connect, key):
    with connected(family, bind, connect) as (one, _), connected(family, bind, connect) as (two, _):
        assert client_key(one) == client_key(two) == key


def test_a_client_that_has_reset_its_connection_has_no_key():
    with connected(socket.AF_INET, "127.0.0.1", "127.0.0.1") as (sock, client):
        reset(client)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
        assert client_key(sock) == b""
