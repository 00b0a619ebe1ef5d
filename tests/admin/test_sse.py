"""The stream of events: from now on, or from where a client was, and never without bound."""

import asyncio
import contextlib
import json
import socket

import aiohttp
import pytest

from tenantproxy.admin import sse
from tenantproxy.admin.app import make_app
from tenantproxy.metrics.site import start_site
from tests.admin.conftest import Client, hold, serving
from tests.support_control import memory_control


class Stream:
    """Reads a stream as an EventSource does."""

    def __init__(self, answer):
        self.answer = answer

    async def message(self):
        """The next block: its fields, with comments under `:`."""
        async with asyncio.timeout(10):
            fields = {}
            while line := (await self.answer.content.readline()).decode():
                if line == "\n":
                    return fields
                name, _, value = line.rstrip("\n").partition(": ")
                fields[name] = value
            return None

    async def event(self):
        """The next block that is no comment."""
        while (fields := await self.message()) is not None and "data" not in fields:
            pass
        return fields


@contextlib.asynccontextmanager
async def watching(api, query="", **headers):
    async with api.http.get(f"{api.url}/api/v1/watch{query}", headers=headers) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        yield Stream(answer)


async def test_events_come_as_they_happen(api, control):
    async with watching(api) as stream:
        noted = control.log.add("woke", "a connection", tenant="acme", about="listener/web")
        fields = await stream.event()
    assert fields["id"].split("-")[0] == str(noted.number)
    shown = json.loads(fields["data"])
    hold(shown, "Event")
    assert (shown["event"], shown["object"]) == ("woke", "listener/web")
    assert "event" not in fields


async def test_without_a_place_to_resume_only_new_events_come(api, control):
    control.log.add("old", "x")
    async with watching(api) as stream:
        control.log.add("new", "x")
        assert json.loads((await stream.event())["data"])["event"] == "new"


async def test_a_client_that_comes_back_gets_what_it_missed_and_nothing_twice(api, control):
    async with watching(api) as stream:
        control.log.add("one", "x")
        last = (await stream.event())["id"]
    control.log.add("two", "x")
    async with watching(api, **{"Last-Event-ID": last}) as stream:
        assert json.loads((await stream.event())["data"])["event"] == "two"
        control.log.add("three", "x")
        assert json.loads((await stream.event())["data"])["event"] == "three"


async def test_after_gives_events_above_a_number(api, control):
    number = control.log.add("one", "x").number
    control.log.add("two", "x")
    async with watching(api, f"?after={number}") as stream:
        assert json.loads((await stream.event())["data"])["event"] == "two"
    async with watching(api, "?after=0") as stream:
        assert json.loads((await stream.event())["data"])["number"] == 1


async def test_a_client_of_the_daemon_before_is_told_that_it_missed_something(api, control):
    newest = control.log.add("one", "x").number
    async with watching(api, **{"Last-Event-ID": f"{newest}-12345"}) as stream:
        missed = await stream.event()
        assert missed["event"] == "missed"
        assert json.loads(missed["data"]) == {"first": 1}
        assert json.loads((await stream.event())["data"])["number"] == 1


async def test_a_number_that_never_was_is_of_the_daemon_before_too(api, control):
    async with watching(api, "?after=1000000") as stream:
        assert (await stream.event())["event"] == "missed"


async def test_a_client_is_told_when_events_it_lacks_are_gone():
    small = memory_control()
    small.log._kept = type(small.log._kept)(maxlen=5)
    for number in range(10):
        small.log.add("x", str(number))
    first = small.log.after(0, 5)[0].number
    async with serving(small) as api:
        async with watching(api, f"?after={first - 2}") as stream:
            missed = await stream.event()
            assert missed["event"] == "missed"
            assert json.loads(missed["data"]) == {"first": first}
            assert json.loads((await stream.event())["data"])["number"] == first
        async with watching(api, f"?after={first - 1}") as stream:
            assert json.loads((await stream.event())["data"])["number"] == first


@pytest.mark.parametrize("last", ["x", "-1", "1" * 40, "²"])
async def test_an_id_that_is_none_of_ours_gives_new_events(api, control, last):
    headers = {"Last-Event-ID": last.encode().decode("latin-1")}
    async with watching(api, **headers) as stream:
        control.log.add("new", "x")
        assert json.loads((await stream.event())["data"])["event"] == "new"


async def test_a_tenant_can_be_watched_alone(api, control):
    async with watching(api, "?tenant=acme") as stream:
        control.log.add("a", "x", tenant="umbrella")
        control.log.add("b", "x")
        control.log.add("c", "x", tenant="acme")
        assert json.loads((await stream.event())["data"])["event"] == "c"


async def test_a_heart_beats_while_nothing_happens_and_loses_no_event(api, control, monkeypatch):
    monkeypatch.setattr(sse, "BEAT_S", 0.02)
    async with watching(api) as stream:
        beats = 0
        while beats < 3:
            beats += (await stream.message()).get("") == "beat"
        for number in range(20):
            control.log.add("x", str(number))
            await asyncio.sleep(0.01)
        got = [json.loads((await stream.event())["data"])["reason"] for _ in range(20)]
    assert got == [str(number) for number in range(20)]


async def test_a_stream_ends_cleanly_when_the_site_closes(control):
    runner, port = await start_site(make_app(control, token=None), "127.0.0.1", 0, "admin")
    async with (
        aiohttp.ClientSession() as http,
        watching(Client(f"http://127.0.0.1:{port}", http)) as stream,
    ):
        assert "" in await stream.message()
        before_s = asyncio.get_running_loop().time()
        await runner.cleanup()
        assert await stream.event() is None
        assert asyncio.get_running_loop().time() - before_s < 1.5


async def test_a_stream_ends_when_the_daemon_does(api, control):
    async with watching(api) as stream:
        await stream.message()
        control.end()
        assert await stream.event() is None


async def test_a_client_that_leaves_is_forgotten(api, control):
    async with watching(api) as stream:
        await stream.message()
        assert len(control.log._followers) == 1
    async with asyncio.timeout(5):
        while control.log._followers:
            control.log.add("x", "y" * 1000)
            await asyncio.sleep(0.01)


async def test_a_reader_that_does_not_read_is_dropped(api, control, monkeypatch):
    monkeypatch.setattr(sse, "WRITE_TIMEOUT_S", 0.2)
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", int(api.url.rpartition(":")[2])))
        head = b"GET /api/v1/watch HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        await loop.sock_sendall(client, head)
        async with asyncio.timeout(10):
            while not control.log._followers:
                await asyncio.sleep(0.01)
            while control.log._followers:
                control.log.add("x", "y" * 100_000)
                await asyncio.sleep(0.002)
