"""Messages arrive whole, in order, with their descriptors; nobody waits."""

from __future__ import annotations

import os
import socket

import pytest

from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane.channel import Channel, channel_pair
from tests.dataplane.support import until


class End:
    def __init__(self, sock: socket.socket) -> None:
        self.got: list[tuple[m.Message, list[int]]] = []
        self.closed = 0
        self.sock = sock
        self.channel = Channel(sock, on_message=self._message, on_close=self._close)

    def _message(self, message: m.Message, fds: list[int]) -> None:
        self.got.append((message, fds))

    def _close(self) -> None:
        self.closed += 1


@pytest.fixture
async def ends():
    left, right = map(End, channel_pair())
    yield left, right
    for end in (left, right):
        end.channel.close()
        for _, fds in end.got:
            for fd in fds:
                os.close(fd)


def stopped(number: int, length: int = 1) -> m.Stopped:
    return m.Stopped((number,) * length)


async def test_messages_arrive_in_order_both_ways(ends):
    left, right = ends
    left.channel.start()
    right.channel.start()
    for number in range(200):
        left.channel.send(m.DropUpstreams((number,)))
        right.channel.send(stopped(number))
    await until(lambda: len(left.got) == len(right.got) == 200)
    assert [message.ids[0] for message, _ in right.got] == list(range(200))
    assert [message for message, _ in left.got] == [stopped(number) for number in range(200)]


async def test_descriptors_travel_and_are_not_inherited(ends):
    left, right = ends
    right.channel.start()
    read, write = os.pipe()
    left.channel.send(m.Adopt(1, 2), (read, write))
    os.close(read)
    os.close(write)
    await until(lambda: right.got)
    (_, fds) = right.got[0]
    os.write(fds[1], b"through")
    assert os.read(fds[0], 10) == b"through"
    assert not any(os.get_inheritable(fd) for fd in fds)


async def test_what_does_not_fit_waits_in_order_with_its_descriptors(ends):
    left, right = ends
    read, write = os.pipe()
    count = 250
    for number in range(count):
        left.channel.send(stopped(number % 100, 90_000), (write,) if number % 2 else ())
    assert left.channel.queued > 0
    os.close(write)
    right.channel.start()
    await until(lambda: len(right.got) == count)
    assert [message.ids[0] for message, _ in right.got] == [n % 100 for n in range(count)]
    assert [len(fds) for _, fds in right.got] == [number % 2 for number in range(count)]
    for number, (_, fds) in enumerate(right.got):
        if fds:
            os.write(fds[0], bytes([number]))
    assert os.read(read, 1000) == bytes(range(1, count, 2))
    os.close(read)
    assert left.channel.queued == 0


async def test_nothing_overtakes_the_queue_when_there_is_room_again(ends):
    left, right = ends
    for number in range(250):
        left.channel.send(stopped(number % 100, 90_000))
    assert left.channel.queued > 0
    got = 0
    while left.channel.queued + got < 250:
        right.sock.recv(m.MAX_BYTES)
        got += 1
    left.channel.send(m.Quit())  # the kernel has room, the loop has not turned
    right.channel.start()
    await until(lambda: right.got and isinstance(right.got[-1][0], m.Quit))
    assert len(right.got) == 251 - got


async def test_the_queue_is_worked_off_without_spinning(ends):
    left, right = ends
    for number in range(250):
        left.channel.send(stopped(number % 100, 90_000))
    queued = left.channel.queued
    right.channel.start()
    await until(lambda: len(right.got) == 250)
    assert queued > 0
    left.channel.send(stopped(99))
    await until(lambda: len(right.got) == 251)


async def test_the_other_end_closing_is_told_once_after_what_it_said(ends):
    left, right = ends
    right.channel.send(stopped(7))
    right.channel.close()
    left.channel.start()
    await until(lambda: left.closed)
    assert [message for message, _ in left.got] == [stopped(7)]
    left.channel.send(stopped(8))
    left.channel.close()
    assert (left.closed, right.closed) == (1, 0)
    assert left.channel.closed


async def test_closing_drops_the_queue_and_its_descriptors(ends):
    left, _ = ends
    read, write = os.pipe()
    for number in range(250):
        left.channel.send(stopped(number % 100, 90_000), (write,))
    left.channel.close()
    ends[1].channel.close()
    os.close(write)
    assert os.read(read, 1) == b"", "somebody still holds the writing end"
    os.close(read)


@pytest.mark.parametrize("datagram", [b"\xc1", b"\x80", b"junk", b"\x81\xa4type\xa4nope"])
async def test_what_is_no_message_closes_the_channel_and_its_descriptors(ends, datagram):
    left, right = ends
    left.channel.start()
    read, write = os.pipe()
    socket.send_fds(right.sock, [datagram], [write])
    os.close(write)
    await until(lambda: left.closed)
    assert left.got == []
    assert os.read(read, 1) == b""
    os.close(read)


async def test_a_datagram_longer_than_any_message_closes_the_channel(ends):
    left, right = ends
    left.channel.start()
    right.sock.send(m.encode(stopped(1, m.MAX_BYTES)))
    await until(lambda: left.closed)


async def test_too_long_or_too_many_is_refused_before_sending(ends):
    left, right = ends
    with pytest.raises(ValueError, match="do not fit"):
        left.channel.send(stopped(1, m.MAX_BYTES))
    with pytest.raises(ValueError, match="do not fit"):
        left.channel.send(m.Adopt(1, 1), [0] * (m.MAX_FDS + 1))
    right.channel.start()
    left.channel.send(m.Adopt(1, m.MAX_FDS), [0] * m.MAX_FDS)
    await until(lambda: right.got)
    assert len(right.got[0][1]) == m.MAX_FDS


async def test_closing_from_within_a_message_stops_the_delivery(ends):
    left, right = ends
    for number in range(3):
        left.channel.send(stopped(number))

    def close(message: m.Message, fds: list[int]) -> None:
        right.got.append((message, fds))
        right.channel.close()

    right.channel._on_message = close
    right.channel.start()
    await until(lambda: right.got)
    assert len(right.got) == 1
