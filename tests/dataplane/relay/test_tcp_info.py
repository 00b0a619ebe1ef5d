"""The kernel's counts mean what the accounting needs them to mean."""

from __future__ import annotations

import socket

import pytest

from tenantproxy.dataplane.relay import tcp_info
from tenantproxy.dataplane.relay.tcp_info import TcpInfo, exactly_written, totals, written
from tests.dataplane.shaped import only_root, said_behind_a_small_queue
from tests.dataplane.support import reset


def test_what_is_written_counts_though_nobody_read_it(connect):
    one, other = connect()
    other.sendall(bytes(1000))
    assert written(other) == exactly_written(other) == 1000
    assert TcpInfo(one).received == 1000


def test_of_who_connected_the_syn_counts_too(connect):
    one, other = connect()
    assert (written(one), written(other)) == (1, 0)
    one.sendall(bytes(1000))
    assert written(one) == 1001
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
    assert written(one) == exactly_written(one) == took + 1


def test_an_exact_answer_is_of_one_moment(connect, monkeypatch):
    """An ACK between the questions; and one between all of them."""
    _, other = connect()
    acks = iter([0, 10, 10, 10])
    monkeypatch.setattr(TcpInfo, "acknowledged", property(lambda info: next(acks)))
    assert exactly_written(other) == 10
    acks = iter(range(100))
    with pytest.raises(BlockingIOError):
        exactly_written(other)
    assert next(acks) == 2 * tcp_info.TRIES


def test_totals_are_what_was_written_and_what_came(connect):
    one, other = connect()
    one.sendall(bytes(1000))
    assert other.recv(1000, socket.MSG_WAITALL) == bytes(1000)
    other.sendall(bytes(300))
    assert totals(one) == (1001, 300)
    assert totals(other) == (300, 1000)


def test_an_ack_between_the_questions_changes_no_total(connect, monkeypatch):
    _, other = connect()
    acknowledged = iter([10, 25, 25])
    waits = iter([20, 5, 5, 5])
    monkeypatch.setattr(TcpInfo, "acknowledged", property(lambda info: next(acknowledged)))
    monkeypatch.setattr(tcp_info, "unacknowledged", lambda fd: next(waits))
    next(acknowledged)
    assert totals(other)[0] == 30


def test_when_nothing_waits_no_more_is_asked(connect, monkeypatch):
    one, _ = connect()
    waits = iter([0])
    monkeypatch.setattr(tcp_info, "unacknowledged", lambda fd: next(waits))
    assert totals(one)[0] == 1


DROPPED = """
import socket, threading, time
from tenantproxy.dataplane.relay.tcp_info import TcpInfo, exactly_written

with socket.create_server(("127.0.0.1", 0)) as listening:
    reader = socket.create_connection(listening.getsockname())
    writer, _ = listening.accept()
size = 20 << 20
thread = threading.Thread(target=reader.recv, args=(size, socket.MSG_WAITALL))
thread.start()
writer.sendall(bytes(size))
thread.join()
while TcpInfo(writer).acknowledged < size:
    time.sleep(0.01)
print(exactly_written(writer) - size)
"""


@only_root
def test_what_the_queue_of_the_device_drops_is_not_counted_twice(tmp_path):
    assert said_behind_a_small_queue(DROPPED, tmp_path) == "0"


def test_a_fin_counts_as_one_at_both_ends(connect):
    one, other = connect()
    one.sendall(b"last")
    one.shutdown(socket.SHUT_WR)
    assert other.recv(100) == b"last"
    assert other.recv(100) == b""
    assert TcpInfo(other).received == 5
    assert written(one) == 1 + 4 + 1


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
