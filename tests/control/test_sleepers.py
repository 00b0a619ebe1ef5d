"""Sleeping sockets: one knock for each watch, silent clients kept and let go."""

import asyncio
import os
import socket

import pytest

from tenantproxy.control import sockets
from tenantproxy.control.listener import Listener
from tenantproxy.control.sleepers import Sleepers
from tenantproxy.model.spec import WakeRule
from tests.control.support import listener, until


class Scene:
    def __init__(self, **wake):
        self.knocks = []
        self.sleepers = Sleepers(self.knocks.append)
        self.listener = Listener(listener(wake=WakeRule(**wake)), 0, 1)
        self.listener.fds = sockets.listen("127.0.0.1", 0)
        with socket.socket(fileno=os.dup(self.listener.fds[0])) as one:
            self.port = one.getsockname()[1]
        self.clients = []

    def connect(self, said=b""):
        self.clients.append(socket.create_connection(("127.0.0.1", self.port)))
        if said:
            self.clients[-1].sendall(said)
        return self.clients[-1]

    def close(self):
        self.sleepers.close()
        sockets.close_all((*self.listener.fds, *(self.listener.held or ())))
        for client in self.clients:
            client.close()


@pytest.fixture
async def scene():
    scenes = []

    def make(**wake):
        scenes.append(Scene(**wake))
        return scenes[-1]

    yield make
    for one in scenes:
        one.close()


async def test_who_waits_already_is_seen_at_once_and_only_once(scene):
    here = scene()
    here.connect()
    here.connect()
    here.sleepers.watch(here.listener)
    await until(lambda: here.knocks)
    await asyncio.sleep(0.05)
    assert here.knocks == [here.listener]


async def test_nothing_is_seen_after_looking_away(scene):
    here = scene()
    here.sleepers.watch(here.listener)
    here.sleepers.unwatch(here.listener)
    here.connect()
    await asyncio.sleep(0.05)
    assert here.knocks == []


async def test_silent_clients_do_not_knock_and_are_kept_for_whoever_opens(scene):
    here = scene(after_first_bytes=True)
    here.sleepers.watch(here.listener)
    here.connect()
    await until(lambda: here.listener.held)
    assert here.knocks == []
    here.connect(b"hello")
    await until(lambda: here.knocks)
    assert len(here.listener.held) == 2


async def test_a_silent_client_that_leaves_is_let_go(scene):
    here = scene(after_first_bytes=True)
    here.sleepers.watch(here.listener)
    here.connect().close()
    await until(lambda: here.listener.held == [])
    assert here.knocks == []


async def test_a_silent_client_is_let_go_after_the_wake_timeout(scene):
    here = scene(after_first_bytes=True, timeout_s=0.05)
    here.sleepers.watch(here.listener)
    client = here.connect()
    assert await asyncio.to_thread(client.recv, 1) == b""


async def test_those_beyond_hold_wait_in_the_queue(scene):
    here = scene(after_first_bytes=True, hold=1)
    here.sleepers.watch(here.listener)
    first = here.connect()
    here.connect()
    await until(lambda: here.listener.held)
    await asyncio.sleep(0.15)
    assert len(here.listener.held) == 1
    first.close()
    await until(lambda: here.listener.held and not sockets.queued(here.listener.fds))
