"""TLS over a socket of our own keeps what the pump relies on."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenantproxy.dataplane.flow import reset
from tenantproxy.dataplane.tls_socket import CHUNK_BYTES, LAST_WORD, TlsSocket
from tests.dataplane.tls_support import (
    NAME,
    in_thread,
    read_all,
    send_all,
    shake,
    tcp_pair,
    wait,
)

MIB = 1 << 20
VERSIONS = pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
BUFFER = bytearray(MIB)


class Ends:
    """Our end, and theirs after its handshake."""

    def __init__(self, ours: TlsSocket, theirs: ssl.SSLSocket, failures: list[str]) -> None:
        self.ours, self.theirs, self.failures = ours, theirs, failures


@pytest.fixture
def connect(pki) -> Iterator[Callable[..., Ends]]:
    """Connect both ends; `then(theirs)` runs in a thread right after their handshake."""
    with ThreadPoolExecutor(4) as pool:
        made: list[socket.socket | TlsSocket] = []

        def connected(version: str = "", *, small: bool = False, demand: bool = False) -> Ends:
            raw, theirs = tcp_pair(small=small)
            failures: list[str] = []
            ours = TlsSocket(raw, pki.client_context(), NAME, failures.append)
            context = pki.server_context(version=version, demand=demand)
            made.extend((ours, theirs))
            future = pool.submit(
                context.wrap_socket, theirs, server_side=True, suppress_ragged_eofs=False
            )
            shake(ours)
            made[-1] = secured = future.result(20)
            tickets(ours)
            return Ends(ours, secured, failures)

        yield connected
        for one in made:
            one.close()


def tickets(sock: TlsSocket) -> None:
    """Let the tickets of TLS 1.3 come."""
    time.sleep(0.05)
    with pytest.raises(BlockingIOError):
        recv(sock, 100)


def recv(sock: TlsSocket, size: int) -> bytes:
    got = sock.recv_into(BUFFER, size, 0)
    return bytes(BUFFER[:got])


def their_read(sock: ssl.SSLSocket) -> bytes:
    """Read to the end; a FIN without close_notify is an error."""
    got = bytearray()
    while data := sock.recv(65_536):
        got += data
    return bytes(got)


# Bytes -----------------------------------------------------------------------------


@VERSIONS
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    sizes=st.lists(st.integers(1, 200_000), min_size=1, max_size=6),
    read_size=st.integers(1, 300_000),
)
def test_what_is_sent_comes_back_whole_whatever_the_sizes(connect, version, sizes, read_size):
    read_size = max(read_size, sum(sizes) // 500)
    ends = connect(version, small=True)
    data = [bytes([i + 1]) * size for i, size in enumerate(sizes)]

    def echo():
        while got := ends.theirs.recv(70_000):
            ends.theirs.sendall(got)

    with in_thread(echo):
        for part in data:
            with in_thread(lambda part=part: send_all(ends.ours, part)):
                pass
            assert read_all(ends.ours, read_size, len(part)) == part
        ends.ours.shutdown(socket.SHUT_WR)


@VERSIONS
def test_a_read_shorter_than_asked_has_drained_all(connect, version):
    """As the pump with its edges: no event comes for what a short read has left."""
    ends = connect(version)
    for length in (1, 16_384, 16_385, 50_000):
        ends.theirs.sendall(b"x" * length)
        time.sleep(0.05)
        got = len(recv(ends.ours, 16_384))
        if length > 16_384:
            got += len(recv(ends.ours, 65_536))
        assert got == length
        assert not ends.ours.more
        with pytest.raises(BlockingIOError):
            recv(ends.ours, 100)


@VERSIONS
def test_after_a_full_read_it_is_known_that_there_is_more_inside(connect, version):
    ends = connect(version)
    ends.theirs.sendall(b"x" * 1000)
    wait(ends.ours)
    for left in range(900, 0, -100):
        assert recv(ends.ours, 100)
        assert ends.ours.more == bool(left)
        assert not select.select([ends.ours.fileno()], [], [], 0)[0] or left == 900
    assert len(recv(ends.ours, 100)) == 100
    assert not ends.ours.more


def test_records_that_wait_behind_a_full_read_are_more_too(connect):
    ends = connect()
    for _ in range(3):
        ends.theirs.sendall(b"x" * 100)
    time.sleep(0.05)
    assert len(recv(ends.ours, 100)) == 100  # exactly one record; two are still encrypted
    assert ends.ours.more


def test_new_bytes_are_found_behind_what_was_inside(connect):
    """The event for them is served by a read that begins with what was inside before."""
    ends = connect()
    ends.theirs.sendall(b"x" * 150)
    wait(ends.ours)
    assert len(recv(ends.ours, 100)) == 100
    ends.theirs.sendall(b"y" * 30)
    wait(ends.ours)
    assert recv(ends.ours, 1000) == b"x" * 50 + b"y" * 30


# Sending to who does not read ---------------------------------------------------------


@VERSIONS
def test_the_last_byte_is_owed_while_ciphertext_waits_for_room(connect, version):
    ends = connect(version, small=True)
    data = bytes(range(256)) * 8192
    at = ends.ours.send(memoryview(data))
    while True:
        try:
            sent = ends.ours.send(memoryview(data)[at:])
        except BlockingIOError:
            break
        assert sent < len(data) - at  # one is always owed, or this would look like the end
        at += sent
    with in_thread(lambda: read_exactly(ends.theirs, len(data))) as reading:
        send_all(ends.ours, data[at:])
    assert reading.result() == data


def read_exactly(sock: socket.socket, size: int) -> bytes:
    got = bytearray()
    while len(got) < size:
        got += sock.recv(65_536)
    return bytes(got)


def test_one_byte_that_finds_no_room_is_not_sent_twice(connect):
    ends = connect(small=True)
    count = 0
    owed = False
    while not owed:
        try:
            owed = ends.ours.send(b"%d" % (count % 10)) == 0
        except BlockingIOError:
            pytest.fail("the byte before was acknowledged")
        count += 1
    with pytest.raises(BlockingIOError):
        ends.ours.send(b"%d" % ((count - 1) % 10))
    with in_thread(lambda: read_exactly(ends.theirs, count)) as reading:
        send_all(ends.ours, b"%d" % ((count - 1) % 10))
    assert reading.result() == b"".join(b"%d" % (i % 10) for i in range(count))


def test_no_more_than_a_chunk_is_encrypted_ahead_of_a_reader_that_stands_still(connect):
    ends = connect(small=True)
    data = memoryview(bytes(4 * MIB))
    at = ends.ours.send(data)
    with pytest.raises(BlockingIOError):
        while True:
            at += ends.ours.send(data[at:])
    assert at < 2 * MIB
    assert len(ends.ours._unsent) <= CHUNK_BYTES + 4096


# Ends ------------------------------------------------------------------------------


@VERSIONS
@pytest.mark.parametrize("polite", [True, False])
def test_close_notify_is_the_end_and_so_is_a_fin_alone(connect, version, polite):
    ends = connect(version)
    ends.theirs.sendall(b"last words")
    if polite:
        with pytest.raises((ssl.SSLError, TimeoutError)):
            ends.theirs.settimeout(0.05)  # it sends its close_notify, and waits for ours in vain
            ends.theirs.unwrap()
    else:
        ends.theirs.shutdown(socket.SHUT_WR)
    time.sleep(0.05)
    assert recv(ends.ours, 1000) == b"last words"
    assert recv(ends.ours, 1000) == b""
    assert recv(ends.ours, 1000) == b""
    assert ends.failures == []


def test_an_end_behind_bytes_is_known_as_more(connect):
    """Of a FIN that a read has met there is no event any more."""
    ends = connect()
    ends.theirs.sendall(b"x" * 50)
    wait(ends.ours)
    with pytest.raises((ssl.SSLError, TimeoutError)):
        ends.theirs.settimeout(0.05)
        ends.theirs.unwrap()
    assert recv(ends.ours, 1000) == b"x" * 50
    assert ends.ours.more
    assert recv(ends.ours, 1000) == b""


def test_a_reset_is_a_reset(connect):
    ends = connect()
    reset(ends.theirs)
    wait(ends.ours)
    with pytest.raises(ConnectionResetError):
        recv(ends.ours, 1000)
    assert ends.failures == []


def test_what_is_no_tls_is_a_reset_with_a_reason(connect):
    ends = connect("TLSv1_2")
    ends.theirs.sendall(b"good")
    wait(ends.ours)
    raw = socket.socket(fileno=ends.theirs.detach())
    with raw:
        raw.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        time.sleep(0.05)
        assert recv(ends.ours, 1000) == b"good"
        assert ends.ours.more
        with pytest.raises(ConnectionResetError):
            recv(ends.ours, 1000)
        with pytest.raises(ConnectionResetError):
            recv(ends.ours, 1000)
        assert ends.failures == ["decryption failed or bad record mac"]
        ends.ours.close()
        assert raw.recv(100)[0] == 21  # an alert says so


@VERSIONS
def test_half_close_lets_the_other_end_speak_on(connect, version):
    ends = connect(version)
    ends.theirs.sendall(b"inside" * 100)
    ends.theirs.sendall(b"behind" * 100)
    time.sleep(0.05)
    assert recv(ends.ours, 6) == b"inside"  # the rest is decrypted, and a record is not
    ends.theirs.sendall(b"queued" * 100)  # in the kernel
    send_all(ends.ours, b"question")
    ends.ours.shutdown(socket.SHUT_WR)
    answer = bytes(range(256)) * 16_384

    def serve():
        assert their_read(ends.theirs) == b"question"
        ends.theirs.sendall(answer)
        ends.theirs.unwrap()

    with in_thread(serve):
        got = read_all(ends.ours)
    assert got == b"inside" * 99 + b"behind" * 100 + b"queued" * 100 + answer
    assert ends.failures == []


def test_tickets_that_come_after_our_goodbye_end_nothing(pki):
    """A client that sends its question with a FIN is faster than the server's tickets."""
    raw, theirs = tcp_pair()
    ours = TlsSocket(raw, pki.client_context(), NAME, pytest.fail)
    context = pki.server_context(version="TLSv1_3")
    context.num_tickets = 4
    hold = threading.Event()

    def serve() -> bytes:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        with pytest.raises(ssl.SSLWantReadError):
            incoming.write(theirs.recv(65_536))
            tls.do_handshake()
        theirs.sendall(outgoing.read())
        assert hold.wait(20)
        question = bytearray()
        while data := theirs.recv(65_536):
            incoming.write(data)
        tls.do_handshake()
        while data := tls.read(100):
            question += data
        tls.write(b"answer")
        theirs.sendall(outgoing.read())  # tickets, and the answer behind them
        theirs.close()
        return bytes(question)

    with in_thread(serve) as serving:
        shake(ours)
        send_all(ours, b"question")
        ours.shutdown(socket.SHUT_WR)
        hold.set()
        assert read_all(ours) == b"answer"
        assert serving.result(20) == b"question"
    ours.close()


@VERSIONS
def test_a_last_word_that_finds_no_room_waits_for_it(connect, version):
    ends = connect(version, small=True)
    data = bytes(MIB)
    at = 0
    while True:  # exactly full: the kernel takes all of the last one, and has no room any more
        try:
            sent = ends.ours.send(data[:512])
        except BlockingIOError:
            break
        at += sent
        if sent < 512:
            break
    at += 1  # the owed one is on its way too
    with pytest.raises(BlockingIOError):
        ends.ours.shutdown(socket.SHUT_WR)
    with in_thread(lambda: their_read(ends.theirs)) as reading:
        while True:
            wait(ends.ours, select.POLLOUT)
            try:
                assert ends.ours.send(LAST_WORD) == 1
                break
            except BlockingIOError:
                continue
    assert len(reading.result()) == at


def test_closing_says_goodbye(connect):
    ends = connect()
    send_all(ends.ours, b"all")
    ends.ours.close()
    assert their_read(ends.theirs) == b"all"


def test_who_resets_says_no_goodbye(connect):
    """It would make a part look like a whole."""
    ends = connect()
    send_all(ends.ours, b"part")
    assert ends.theirs.recv(100) == b"part"
    reset(ends.ours)
    with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
        ends.theirs.recv(100)
