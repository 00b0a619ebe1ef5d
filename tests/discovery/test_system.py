"""The system's resolver: off the loop, with few threads, none of which is in anybody's way."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time

import pytest

from tenantproxy.discovery import system
from tenantproxy.discovery.system import SystemResolver, words
from tests.e2e.daemon import until


def threads():
    return sum(one.name.startswith("getaddrinfo") for one in threading.enumerate())


async def test_it_knows_what_the_system_knows():
    found = await SystemResolver().addresses("localhost", tenant="acme")
    assert {"127.0.0.1", "::1"} & set(found)


async def test_a_name_that_nobody_knows_has_a_reason_for_people(monkeypatch):
    def unknown(name):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(system, "look_up", unknown)
    with pytest.raises(OSError) as caught:
        await SystemResolver().addresses("no.test", tenant="acme")
    assert words(caught.value) == "no such name"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
            "server failure",
        ),
        (socket.gaierror(socket.EAI_NODATA, "No address associated"), "no address"),
        (
            socket.gaierror(socket.EAI_MEMORY, "Memory allocation failure"),
            "Memory allocation failure",
        ),
        (UnicodeError("label too long"), "not a name"),
        (OSError("can't start new thread"), "can't start new thread"),
    ],
)
def test_each_error_has_words(error, text):
    assert words(error) == text


async def test_slow_names_of_one_tenant_have_few_threads_and_another_is_served(monkeypatch):
    over = threading.Event()

    def look_up(name):
        if name == "slow":
            over.wait(30)
        return ["127.0.0.1"]

    monkeypatch.setattr(system, "look_up", look_up)
    resolver = SystemResolver()
    slow = [asyncio.ensure_future(resolver.addresses("slow", tenant="a")) for _ in range(20)]
    await until(lambda: threads() == system.THREADS_EACH)
    assert await asyncio.wait_for(resolver.addresses("x", tenant="b"), 10) == ["127.0.0.1"]
    assert threads() == system.THREADS_EACH
    for one in slow[:10]:
        one.cancel()
    await asyncio.sleep(0.05)
    assert threads() == system.THREADS_EACH  # who gives up does not free a thread that hangs
    over.set()
    assert await asyncio.gather(*slow[10:]) == [["127.0.0.1"]] * 10
    await until(lambda: threads() == 0)
    assert resolver._slots.interested == 0


def test_a_thread_that_hangs_does_not_hold_up_the_end_of_the_process():
    program = """
import asyncio, time
from tenantproxy.discovery import system
system.look_up = lambda name: time.sleep(60)
async def main():
    asyncio.ensure_future(system.SystemResolver().addresses("x", tenant="a"))
    await asyncio.sleep(0.1)
asyncio.run(main())
"""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", program], check=True, timeout=40)
    assert time.monotonic() - began < 30


async def test_no_thread_to_be_had_is_an_error_like_others(monkeypatch):
    def none(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    resolver = SystemResolver()
    with pytest.raises(OSError, match="can't start"):
        await resolver.addresses("x", tenant="a")
    assert resolver._slots.interested == 0
