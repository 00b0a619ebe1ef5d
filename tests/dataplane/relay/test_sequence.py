"""The place where user space reads next, told by the kernel."""

from __future__ import annotations

import errno
import socket

import pytest

from tenantproxy.dataplane.relay import sequence
from tenantproxy.dataplane.relay.sequence import next_sequence
from tests.dataplane.relay.again import freeze

pytestmark = pytest.mark.usefixtures("kernel_relay")


def test_it_moves_by_what_is_read_and_not_by_what_comes(connect):
    client, ours = connect()
    first = next_sequence(ours, 0)
    client.sendall(b"seven by")
    assert next_sequence(ours, 0) == first
    assert ours.recv(7) == b"seven b"
    assert next_sequence(ours, 7) == (first + 7) % 2**32
    assert ours.recv(1) == b"y"
    assert next_sequence(ours, 8) == (first + 8) % 2**32


def test_it_is_the_number_that_the_sender_sends_next(connect):
    client, ours = connect()
    client.sendall(b"some")
    ours.recv(4)
    number = next_sequence(ours)
    assert freeze(client).sending % 2**32 == number


def test_numbers_begin_again_at_zero(connect):
    client, ours = connect()
    theirs = freeze(client)
    mine = freeze(ours)
    theirs.sending = mine.receiving = 2**32 - 2
    client, ours = theirs.thaw(), mine.thaw()
    try:
        client.sendall(b"1234")
        assert next_sequence(ours, 0) == 2**32 - 2
        assert ours.recv(3) == b"123"
        assert next_sequence(ours, 3) == 1
    finally:
        client.close()
        ours.close()


@pytest.mark.parametrize("ended", ["by them", "by us", "by a reset"])
def test_of_a_stream_that_ends_it_is_not_known(connect, ended):
    client, ours = connect()
    client.sendall(b"last")
    if ended == "by us":
        ours.shutdown(socket.SHUT_WR)
    elif ended == "by them":
        client.shutdown(socket.SHUT_WR)
    else:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    with pytest.raises(OSError) as caught:
        next_sequence(ours)
    assert caught.value.errno == errno.EOPNOTSUPP


def test_of_a_stream_with_an_urgent_mark_it_is_not_known(connect):
    client, ours = connect()
    client.sendall(b"before")
    client.send(b"!", socket.MSG_OOB)
    client.sendall(b"after")
    with pytest.raises(OSError, match="place in the stream") as caught:
        next_sequence(ours, 0)
    assert caught.value.errno == errno.EOPNOTSUPP


def test_it_is_not_known_when_the_books_of_the_caller_say_otherwise(connect):
    client, ours = connect()
    client.sendall(b"some")
    ours.recv(2)
    for read in 1, 3, 4:
        with pytest.raises(OSError, match="place in the stream"):
            next_sequence(ours, read)


def test_it_is_asked_again_when_more_comes_meanwhile(connect, monkeypatch):
    _, ours = connect()
    ends = iter([1, 2, 3, 3])
    monkeypatch.setattr(sequence, "_end", lambda sock: next(ends))
    assert next_sequence(ours) == 3
    ends = iter(range(100))
    with pytest.raises(OSError, match="place in the stream"):
        next_sequence(ours)
    assert next(ends) == 2 * sequence.TRIES


def test_a_kernel_that_does_not_tell_names_the_step(connect, monkeypatch):
    _, ours = connect()
    monkeypatch.setattr(sequence, "_REPAIR", 9999)
    with pytest.raises(OSError) as caught:
        next_sequence(ours)
    assert caught.value.filename == "ask where a stream goes on"


@pytest.mark.parametrize("refused", [False, True])
@pytest.mark.parametrize("reuse", [0, 1])
def test_the_socket_is_left_as_it_was(connect, reuse, refused):
    client, ours = connect()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    if refused:
        with pytest.raises(OSError, match="place in the stream"):
            next_sequence(ours, 77)
    else:
        next_sequence(ours)
    assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == reuse
    ours.sendall(b"still well")
    assert client.recv(100) == b"still well"
    client.sendall(b"both ways")
    assert ours.recv(100) == b"both ways"
