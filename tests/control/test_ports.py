"""The life of a port, with real workers: asleep, woken, open, asleep again, closed."""

import asyncio
import os
import signal
import socket
from dataclasses import replace

import pytest

from tenantproxy.control import closing, ports, registry
from tenantproxy.errors import Conflict, GoingDown, WakeTimeout
from tenantproxy.model.lifecycle import State
from tenantproxy.model.spec import IdleRule, WakeRule
from tests.control.support import (
    PROXY,
    ask,
    control,
    events,
    key,
    listener,
    reload,
    tenant,
    until,
)


def state(running, name="web"):
    return running.listener(key(name)).state


def port(running, name="web"):
    return running.listener(key(name)).port


def live(running, name="web"):
    return running.listener(key(name)).totals.connections


async def test_a_port_sleeps_until_its_first_connection_which_is_served(v1):
    async with control(tenant([listener()], [v1])) as running:
        assert state(running) is State.ASLEEP
        assert await ask(port(running)) == b"v1 hello"
        assert state(running) is State.OPEN
        assert running.listener(key()).reason == "first connection"


async def test_a_port_that_is_always_open_opens_by_itself(v1):
    async with control(tenant([listener(open="always")], [v1])) as running:
        await until(lambda: state(running) is State.OPEN)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("accept", ["shared", "reuseport"])
async def test_both_accept_modes_serve_sleep_and_wake(v1, accept, workers):
    async with control(
        tenant([listener()], [v1]), proxy=replace(PROXY, accept=accept), workers=workers
    ) as running:
        for _ in range(3):
            assert (
                await asyncio.gather(*(ask(port(running)) for _ in range(20))) == [b"v1 hello"] * 20
            )
            await until(lambda: live(running) == 0)
            assert (await running.sleep(key())).state is State.ASLEEP


async def test_an_idle_port_goes_to_sleep_and_wakes_again(v1):
    spec = listener(idle=IdleRule(0.1, "sleep"))
    async with control(tenant([spec], [v1])) as running:
        for _ in range(2):
            assert await ask(port(running)) == b"v1 hello"
            await until(lambda: state(running) is State.ASLEEP)
        assert running.status().policy_actions["listener", "sleep"] == 2


async def test_an_open_connection_keeps_a_port_awake(v1):
    spec = listener(idle=IdleRule(0.05, "sleep"))
    async with control(tenant([spec], [v1])) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", port(running))
        assert await reader.read(3) == b"v1 "
        await asyncio.sleep(0.3)
        assert state(running) is State.OPEN
        writer.close()
        await until(lambda: state(running) is State.ASLEEP)


async def test_an_idle_port_that_closes_keeps_its_number_and_opens_when_asked(v1, monkeypatch):
    monkeypatch.setattr(closing, "LINGER_S", 0.05)
    spec = listener(idle=IdleRule(0.05, "close"))
    async with control(tenant([spec], [v1])) as running:
        number = port(running)
        await ask(number)
        await until(lambda: state(running) is State.COOLING)
        assert running.listener(key()).reserved_until_s > running.listener(key()).since_s
        with pytest.raises(ConnectionRefusedError):
            await ask(number)
        assert (await running.open(key())).state is State.OPEN
        assert await ask(number) == b"v1 hello"


async def test_a_number_is_free_for_all_when_its_reservation_ends(v1, monkeypatch):
    monkeypatch.setattr(registry, "RESERVED_S", 0.2)
    monkeypatch.setattr(ports, "RESERVED_S", 0.2)
    async with control(tenant([listener()], [v1])) as running:
        assert (await running.close(key())).state is State.COOLING
        assert running._registry.reserved
        await until(lambda: state(running) is State.CLOSED and not running._registry.reserved)
        assert (await running.open(key())).state is State.OPEN


async def test_a_client_that_comes_while_a_policy_closes_opens_the_port_again(v1):
    spec = listener(idle=IdleRule(0.05, "close"))
    async with control(tenant([spec], [v1])) as running:
        await ask(port(running))
        await until(lambda: state(running) is State.DRAINING)
        assert await ask(port(running)) == b"v1 hello"
        assert state(running) is State.OPEN
        assert running.listener(key()).reason == "a connection arrived"


async def test_a_scanner_wakes_nothing_and_a_client_that_speaks_is_served(v1):
    spec = listener(wake=WakeRule(timeout_s=0.3, after_first_bytes=True))
    async with control(tenant([spec], [v1])) as running:
        _, gone = await asyncio.open_connection("127.0.0.1", port(running))
        gone.close()
        reader, silent = await asyncio.open_connection("127.0.0.1", port(running))
        assert await reader.read(1) == b"", "it is let go after wake.timeout"
        silent.close()
        assert state(running) is State.ASLEEP
        assert await ask(port(running)) == b"v1 hello"
        assert state(running) is State.OPEN


async def test_a_silent_client_is_served_once_another_has_woken_the_port(v1):
    spec = listener(wake=WakeRule(after_first_bytes=True))
    async with control(tenant([spec], [v1])) as running:
        reader, silent = await asyncio.open_connection("127.0.0.1", port(running))
        await asyncio.sleep(0.05)
        assert await ask(port(running)) == b"v1 hello"
        assert await reader.read(3) == b"v1 "
        silent.close()


async def test_no_more_than_hold_silent_clients_are_kept(v1):
    spec = listener(wake=WakeRule(hold=3, after_first_bytes=True))
    async with control(tenant([spec], [v1])) as running:
        silent = [await asyncio.open_connection("127.0.0.1", port(running)) for _ in range(6)]
        await asyncio.sleep(0.2)
        assert len(running._registry.by_key[key()].held) == 3
        silent[0][1].write(b"x")
        for reader, writer in silent:
            assert await reader.read(3) == b"v1 "
            writer.close()


async def test_sleep_with_kept_connections_leaves_them_alone(v1):
    async with control(tenant([listener()], [v1])) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", port(running))
        assert await reader.read(3) == b"v1 "
        assert (await running.sleep(key(), connections="keep")).state is State.ASLEEP
        writer.write(b"more")
        assert await reader.read(4) == b"more"
        writer.close()


async def test_close_with_kill_resets_what_is_alive(v1):
    async with control(tenant([listener()], [v1])) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", port(running))
        assert await reader.read(3) == b"v1 "
        assert (await running.close(key(), connections="kill")).state is State.COOLING
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()
        assert running.listener(key()).totals.closed["killed"] == 1


async def test_close_with_drain_cuts_within_the_window(v1):
    spec = listener(drain_s=0.3)
    async with control(tenant([spec], [v1])) as running:
        clients = [await asyncio.open_connection("127.0.0.1", port(running)) for _ in range(3)]
        for reader, _ in clients:
            await reader.read(3)
        assert (await running.close(key())).state is State.DRAINING
        await until(lambda: state(running) is State.COOLING)
        assert running.listener(key()).totals.closed["drained"] == 3
        for _, writer in clients:
            writer.close()


async def test_a_port_that_drains_into_sleep_wakes_at_the_next_connection(v1):
    async with control(tenant([listener()], [v1])) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", port(running))
        await reader.read(3)
        assert (await running.sleep(key())).state is State.DRAINING
        assert await ask(port(running)) == b"v1 hello"
        assert state(running) is State.OPEN
        writer.write(b"alive")
        assert await reader.read(5) == b"alive"
        writer.close()


async def test_closing_again_and_sleeping_again_change_nothing(v1):
    async with control(tenant([listener()], [v1])) as running:
        assert (await running.sleep(key())).state is State.ASLEEP
        for _ in range(2):
            assert (await running.close(key())).state is State.COOLING
        for _ in range(2):
            assert (await running.open(key())).state is State.OPEN


async def test_who_waits_for_a_port_to_open_is_told_when_it_closes_or_sleeps_instead(v1):
    async with control(tenant([listener()], [v1])) as running:
        pid = running.status().workers[0].pid
        for change in (running.sleep, running.close):
            os.kill(pid, signal.SIGSTOP)
            opening = asyncio.ensure_future(running.open(key()))
            await until(lambda: state(running) is State.OPENING)
            changing = asyncio.ensure_future(change(key()))
            with pytest.raises(Conflict):
                await opening
            os.kill(pid, signal.SIGCONT)
            await changing


async def test_a_removed_port_refuses_new_clients_and_lets_the_old_ones_be(v1):
    async with control(tenant([listener(), listener("other")], [v1])) as running:
        number = port(running)
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        await reader.read(3)
        await reload(running, tenant([listener("other")], [v1]))
        await until(lambda: number not in running._registry.holders)
        with pytest.raises(ConnectionRefusedError):
            await ask(number)
        writer.write(b"alive")
        assert await reader.read(5) == b"alive"
        writer.close()
        await until(lambda: not running._registry.retired)


async def test_what_is_queued_when_a_port_closes_is_served(v1):
    async with control(tenant([listener()], [v1])) as running:
        await running.open(key())
        pid = running.status().workers[0].pid
        os.kill(pid, signal.SIGSTOP)
        queued = [socket.create_connection(("127.0.0.1", port(running))) for _ in range(20)]
        closing = asyncio.ensure_future(running.close(key()))
        await asyncio.sleep(0.05)
        os.kill(pid, signal.SIGCONT)
        await closing
        for one in queued:
            one.settimeout(5)
            assert await asyncio.to_thread(one.recv, 3) == b"v1 "
            one.close()


async def test_a_dead_worker_is_replaced_and_gets_its_ports_back(v1):
    async with control(tenant([listener()], [v1])) as running:
        await ask(port(running))
        reader, writer = await asyncio.open_connection("127.0.0.1", port(running))
        await reader.read(3)
        before = running.listener(key()).totals
        os.kill(running.status().workers[0].pid, signal.SIGKILL)
        assert await reader.read(1) == b"", "the kernel closes what a dead process had"
        writer.close()
        assert await ask(port(running)) == b"v1 hello"
        after = running.listener(key()).totals
        assert after.closed["worker_died"] == 1
        assert after.connections_total == before.connections_total + 1
        assert after.bytes_in > before.bytes_in
        assert len(events(running, "worker_died")) == 1


async def test_a_connection_waits_while_there_is_no_worker(v1):
    async with control(tenant([listener()], [v1])) as running:
        os.kill(running.status().workers[0].pid, signal.SIGKILL)
        assert await ask(port(running)) == b"v1 hello"


async def test_shutdown_serves_the_queue_and_then_refuses(v1):
    async with control(tenant([listener()], [v1])) as running:
        number = port(running)
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        await reader.read(3)
        down = asyncio.ensure_future(running.shutdown(keep_accepting_s=0.2, drain_s=5))
        await asyncio.sleep(0.05)
        assert not running.status().ready
        assert await ask(number) == b"v1 hello", "it still accepts"
        await until(lambda: not running._registry.by_key[key()].fds)
        with pytest.raises(ConnectionRefusedError):
            await ask(number)
        assert not down.done(), "a live connection keeps it up"
        writer.close()
        await down


async def test_shutdown_cuts_what_outlives_the_drain(v1):
    async with control(tenant([listener()], [v1])) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", port(running))
        await reader.read(3)
        await running.shutdown(keep_accepting_s=0, drain_s=0.1)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()
        assert events(running, "cut")


async def test_a_drain_into_sleep_does_not_cut_those_who_come_after_it(v1):
    """The timer of a drain whose last connection left by itself must be dead."""
    async with control(tenant([listener(drain_s=1.0)], [v1])) as running:
        stays, leaves = [
            await asyncio.open_connection("127.0.0.1", port(running)) for _ in range(2)
        ]
        for reader, _ in (stays, leaves):
            await reader.read(3)
        await running.sleep(key())
        leaves[1].close()
        await until(lambda: state(running) is State.ASLEEP)
        reader, late = await asyncio.open_connection("127.0.0.1", port(running))
        assert await reader.read(3) == b"v1 "
        await asyncio.sleep(1.2)
        late.write(b"alive")
        assert await reader.read(5) == b"alive"
        for writer in (stays[1], late):
            writer.close()


async def test_a_port_whose_worker_hangs_refuses_after_the_wake_timeout_and_works_later(v1):
    spec = listener(wake=WakeRule(timeout_s=0.3))
    async with control(tenant([spec], [v1])) as running:
        pid = running.status().workers[0].pid
        os.kill(pid, signal.SIGSTOP)
        reader, writer = await asyncio.open_connection("127.0.0.1", port(running))
        assert await reader.read(1) == b"", "let go after wake.timeout"
        writer.close()
        with pytest.raises(WakeTimeout):
            await running.open(key())
        assert state(running) is State.OPENING
        assert "no worker accepted" in running.listener(key()).reason
        os.kill(pid, signal.SIGCONT)
        assert await ask(port(running)) == b"v1 hello"
        assert state(running) is State.OPEN


async def test_closing_a_port_that_drains_into_sleep_closes_it(v1):
    async with control(tenant([listener()], [v1])) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", port(running))
        await reader.read(3)
        assert (await running.sleep(key())).state is State.DRAINING
        closing = asyncio.ensure_future(running.close(key()))
        await asyncio.sleep(0.05)
        writer.close()
        await closing
        await until(lambda: state(running) is State.COOLING)
        assert (await running.open(key())).state is State.OPEN
        assert await ask(port(running)) == b"v1 hello"


async def test_opening_a_port_while_it_closes_gives_an_open_port_that_control_holds(v1):
    async with control(tenant([listener()], [v1])) as running:
        await ask(port(running))
        for pause_s in (0, 0.05, 0.2, 0.3):
            closing = asyncio.ensure_future(running.close(key()))
            await asyncio.sleep(pause_s)
            assert (await running.open(key())).state is State.OPEN
            await closing
            await until(lambda: state(running) is State.OPEN)
            assert running._registry.by_key[key()].fds
            assert (await running.sleep(key())).state is State.ASLEEP
            assert await ask(port(running)) == b"v1 hello"
            await until(lambda: live(running) == 0)


async def test_silent_clients_are_closed_once_when_the_end_is_cut_short(v1):
    spec = listener(wake=WakeRule(after_first_bytes=True))
    async with control(tenant([spec], [v1])) as running:
        silent = [await asyncio.open_connection("127.0.0.1", port(running)) for _ in range(3)]
        await until(lambda: len(running._registry.by_key[key()].held or ()) == 3)
        await running.abort()
        for reader, writer in silent:
            assert await reader.read(1) == b""
            writer.close()


async def test_no_change_is_taken_while_the_daemon_goes_down(v1):
    async with control(tenant([listener()], [v1])) as running:
        await running.shutdown(keep_accepting_s=0, drain_s=0)
        for change in (running.open(key()), running.put_listener(listener("new"))):
            with pytest.raises(GoingDown):
                await change
