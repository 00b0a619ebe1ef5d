"""The process: ready at once, deaf to people's signals, gone with its control."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from tenantproxy.dataplane import messages as m
from tenantproxy.dataplane.counters import CounterFile
from tenantproxy.dataplane.worker import EXIT_ORPHANED
from tests.dataplane.support import (
    a_worker,
    listener,
    port_of,
    receive,
    receive_all,
    send,
    until,
    upstream,
    was_reset,
)


async def test_a_worker_serves_and_quits_with_0():
    async with a_worker() as worker:
        (ready,) = worker.reports
        assert ready == m.Ready(m.VERSION, worker.popen.pid)
        server = worker.listening()
        port = await worker.open(listener(1, {1: 1}), [upstream(1, port_of(server))])
        client = await worker.connect(port)
        end = await worker.accept(server)
        await send(client, b"through a process")
        assert await receive(end, 17) == b"through a process"
        worker.channel.send(m.Quit())
        assert await worker.exit_code() == 0
        assert await was_reset(client)
        assert worker.lost
        assert worker.books.ends() == {"shutdown": 1}


async def test_workers_that_share_no_socket_share_the_limit_of_an_upstream():
    files = [CounterFile.create("test") for _ in range(2)]
    seen = [os.dup(fd) for _, fd in files]
    async with (
        a_worker(counters=files[0], peer_fds=seen[1:]) as one,
        a_worker(counters=files[1], peer_fds=seen[:1]) as other,
    ):
        server = one.listening()
        order = upstream(1, port_of(server), max_connections=1)
        ports = [await worker.open(listener(1, {1: 1}), [order]) for worker in (one, other)]
        client = await one.connect(ports[0])
        end = await one.accept(server)
        assert await was_reset(await other.connect(ports[1]))
        await until(lambda: other.books.ends() == {"!upstream_full": 1})
        client.close()
        end.close()
        await until(lambda: one.books.ends() == {"done": 1})
        await other.connect(ports[1])
        await one.accept(server)
    for fd in seen:
        os.close(fd)


async def test_signals_meant_for_people_do_nothing():
    async with a_worker() as worker:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            worker.popen.send_signal(number)
        server = worker.listening()
        port = await worker.open(listener(1, {1: 1}), [upstream(1, port_of(server))])
        client = await worker.connect(port)
        (await worker.accept(server)).close()
        assert await receive_all(client) == b""


async def test_a_worker_ends_when_the_channel_does():
    async with a_worker() as worker:
        worker.channel.close()
        assert await worker.exit_code() == EXIT_ORPHANED


async def test_what_is_no_order_ends_the_worker():
    async with a_worker() as worker:
        worker.channel._sock.send(b"nonsense")
        assert await worker.exit_code() == EXIT_ORPHANED
        await until(lambda: worker.lost)


def test_a_worker_dies_with_its_parent_even_if_the_channel_stays_open():
    script = textwrap.dedent("""
        import os, subprocess, sys
        from tenantproxy.dataplane.channel import channel_pair
        from tenantproxy.dataplane.counters import CounterFile
        ours, theirs = channel_pair()
        _, fd = CounterFile.create("test")
        worker = subprocess.Popen(
            [sys.executable, "-m", "tenantproxy.dataplane.worker", "--channel-fd",
             str(theirs.fileno()), "--counters-fd", str(fd), "--index", "0"],
            pass_fds=[theirs.fileno(), fd],
        )
        ours.setblocking(True)
        ours.recv(1000)
        # This copy outlives us: the channel tells the worker nothing.
        sleeper = subprocess.Popen(["sleep", "60"], pass_fds=[ours.fileno()],
                                   stdout=-3, stderr=-3)
        print(worker.pid, sleeper.pid, flush=True)
        os.kill(os.getpid(), 9)
    """)
    parent = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=False
    )
    worker, sleeper = map(int, parent.stdout.split())
    try:
        assert parent.returncode == -signal.SIGKILL
        assert gone_within_a_second(worker)
    finally:
        os.kill(sleeper, signal.SIGKILL)


def gone_within_a_second(pid: int) -> bool:
    until_s = time.monotonic() + 1
    while time.monotonic() < until_s:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.01)
    return False
