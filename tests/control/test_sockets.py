"""Listening sockets: exact clashes, newcomers held back, queues looked into."""

import os
import resource
import socket

import pytest

from tenantproxy.control import sockets
from tenantproxy.errors import FdLimit, ListenFailed, PortTaken


def port_of(fds):
    with socket.socket(fileno=os.dup(fds[0])) as one:
        return one.getsockname()[1]


@pytest.fixture
def listening():
    opened = []

    def listen(port=0, count=1):
        fds = sockets.listen("127.0.0.1", port, count=count)
        opened.extend(fds)
        return fds

    yield listen
    sockets.close_all(tuple(opened))


def foreign(port=0, **options):
    other = socket.socket()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if options.get("reuseport"):
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    other.bind(("127.0.0.1", port))
    other.listen()
    return other


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("reuseport", [False, True])
def test_a_foreign_listener_is_found_even_if_it_shares_its_port(count, reuseport):
    with foreign(reuseport=reuseport) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=str(port)):
            sockets.listen("127.0.0.1", port, count=count)


def test_a_clash_leaves_nothing_open():
    before = len(os.listdir("/proc/self/fd"))
    with foreign() as other, pytest.raises(PortTaken):
        sockets.listen("127.0.0.1", other.getsockname()[1], count=3)
    assert len(os.listdir("/proc/self/fd")) == before


def test_several_sockets_share_one_port_and_its_clients():
    port = port_of(first := sockets.listen("127.0.0.1", 0))
    sockets.close_all(first)
    pair = sockets.listen("127.0.0.1", port, count=2)
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
    shares = [sockets.accept_all((fd,), 100) for fd in pair]
    assert sum(map(len, shares)) == 40
    assert all(shares)
    for client in clients:
        client.close()
    sockets.close_all((*pair, *shares[0], *shares[1]))


def test_an_address_of_another_host_is_said():
    with pytest.raises(ListenFailed, match=r"192\.0\.2\.1"):
        sockets.listen("192.0.2.1", 0)


def test_accepted_sockets_inherit_no_delay_and_keep_alive(listening):
    fds = listening()
    with socket.create_connection(("127.0.0.1", port_of(fds))):
        [accepted] = sockets.accept_all(fds, 10)
        with socket.socket(fileno=accepted) as one:
            assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_newcomers_are_held_back_and_let_in_again(listening):
    fds = listening()
    port = port_of(fds)
    sockets.hold_back_newcomers(fds)
    with pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), timeout=0.2)
    sockets.let_newcomers_in(fds)
    socket.create_connection(("127.0.0.1", port), timeout=1).close()


def test_what_was_queued_before_stays_queued_while_newcomers_are_held_back(listening):
    fds = listening()
    with socket.create_connection(("127.0.0.1", port_of(fds))) as client:
        sockets.hold_back_newcomers(fds)
        assert sockets.queued(fds)
        [accepted] = sockets.accept_all(fds, 10)
        with socket.socket(fileno=accepted) as one:
            client.sendall(b"still here")
            assert one.recv(100) == b"still here"
        assert not sockets.queued(fds)


def test_accepting_stops_at_the_number_asked_for(listening):
    fds = listening()
    clients = [socket.create_connection(("127.0.0.1", port_of(fds))) for _ in range(3)]
    taken = sockets.accept_all(fds, 2)
    assert len(taken) == 2
    assert sockets.queued(fds)
    sockets.close_all(tuple(taken))
    for client in clients:
        client.close()


def test_the_reserve_of_descriptors_is_kept():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + sockets.FD_RESERVE + 50, hard))
        sockets.check_fds(20)
        with pytest.raises(FdLimit, match="open files") as caught:
            sockets.check_fds(80)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "ulimit" in caught.value.hint


def test_root_may_bind_every_port_and_others_only_from_the_first_unprivileged():
    lowest = sockets.first_unprivileged_port()
    assert lowest == 0 if os.geteuid() == 0 else lowest > 0
