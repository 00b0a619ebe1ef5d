"""The kernel's counts mean what the accounting needs them to mean."""

from __future__ import annotations

import socket

import pytest

from tenantproxy.dataplane.relay.tcp_info import TcpInfo
from tests.dataplane.support import reset


def test_what_is_written_counts_though_nobody_read_it(connect):
    one, other = connect()
    one.sendall(bytes(1000))
    assert TcpInfo(one).written == 1000
    assert TcpInfo(other).received == 1000


def test_what_waits_to_be_sent_counts_as_written(connect):
    one, _ = connect()
    one.setblocking(False)
    took = 0
    while True:
        try:
            took += one.send(bytes(65_536))
        except BlockingIOError:
            break
    assert took > 65_536
    assert TcpInfo(one).written == took


def test_a_fin_counts_as_one_received_and_as_nothing_written(connect):
    one, other = connect()
    one.sendall(b"last")
    one.shutdown(socket.SHUT_WR)
    assert other.recv(100) == b"last"
    assert other.recv(100) == b""
    assert TcpInfo(other).received == 5
    assert TcpInfo(one).written == 4


def test_a_reset_connection_is_closed_and_keeps_its_counts(connect):
    one, other = connect()
    one.sendall(b"last words")
    assert not TcpInfo(other).closed
    reset(one)
    with pytest.raises(ConnectionResetError):
        while other.recv(100):
            pass
    info = TcpInfo(other)
    assert info.closed
    assert info.received == 10


def test_a_half_closed_connection_is_not_closed(connect):
    one, other = connect()
    one.shutdown(socket.SHUT_WR)
    assert other.recv(1) == b""
    assert not TcpInfo(one).closed
    assert not TcpInfo(other).closed


def test_a_closed_descriptor_has_no_answer(connect):
    one, _ = connect()
    one.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        TcpInfo(one)
