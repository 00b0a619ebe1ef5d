"""A worker that hangs is replaced."""

import os
import signal

from tenantproxy.control import watchdog
from tests.control.support import (
    ask,
    control,
    events,
    key,
    listener,
    naming_server,
    tenant,
    until,
    upstream,
)


async def test_a_worker_that_hangs_is_replaced_and_its_port_serves_again(monkeypatch):
    monkeypatch.setattr(watchdog, "PERIOD_S", 0.1)
    monkeypatch.setattr(watchdog, "SILENT_S", 0.6)
    async with naming_server(b"v1") as number:
        acme = tenant([listener()], [upstream("v1", number)])
        async with control(acme) as running:
            port = running.listener(key()).port
            assert await ask(port) == b"v1 hello"
            os.kill(running.status().workers[0].pid, signal.SIGSTOP)
            assert await ask(port) == b"v1 hello", "it waits for the next worker"
            await until(lambda: events(running, "worker_died"))
            assert "no sign of life" in events(running, "worker_died")[0].reason


async def test_a_worker_that_lives_is_left_alone(monkeypatch):
    monkeypatch.setattr(watchdog, "PERIOD_S", 0.05)
    monkeypatch.setattr(watchdog, "SILENT_S", 2.0)
    async with naming_server(b"v1") as number:
        acme = tenant([listener()], [upstream("v1", number)])
        async with control(acme) as running:
            for _ in range(20):
                assert await ask(running.listener(key()).port) == b"v1 hello"
            assert running.status().worker_restarts == 0
