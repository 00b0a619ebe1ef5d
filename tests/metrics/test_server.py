"""`/metrics` over HTTP: formats, compression, and a loop that goes on meanwhile."""

import asyncio
import contextlib
import gzip
import socket
import threading

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tenantproxy.metrics import pieces, server
from tenantproxy.metrics.names import METRICS
from tenantproxy.metrics.server import Scrapes, make_app
from tenantproxy.metrics.site import start_site
from tests.support_control import many


async def test_a_scrape_without_wishes_gets_text(url, http):
    async with http.get(f"{url}/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert len(list(parse_text(await answer.text()))) == len(METRICS)


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text",
        "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
    ],
)
async def test_a_scrape_that_asks_for_openmetrics_gets_it(url, http, accept):
    async with http.get(f"{url}/metrics", headers={"Accept": accept}) as answer:
        assert answer.headers["Content-Type"].startswith(
            "application/openmetrics-text; version=1.0.0"
        )
        assert len(list(parse_openmetrics(await answer.text()))) == len(METRICS)


async def test_a_scrape_that_takes_gzip_gets_it(url):
    async with (
        aiohttp.ClientSession(auto_decompress=False) as http,
        http.get(f"{url}/metrics", headers={"Accept-Encoding": "gzip"}) as answer,
    ):
        assert answer.headers["Content-Encoding"] == "gzip"
        assert b"tenantproxy_build_info" in gzip.decompress(await answer.read())


async def test_a_scrape_that_refuses_gzip_does_not_get_it(url):
    async with (
        aiohttp.ClientSession(auto_decompress=False) as http,
        http.get(f"{url}/metrics", headers={"Accept-Encoding": "gzip;q=0"}) as answer,
    ):
        assert "Content-Encoding" not in answer.headers
        assert b"tenantproxy_build_info" in await answer.read()


async def test_head_tells_the_length_and_sends_nothing(url, http):
    async with http.head(f"{url}/metrics") as answer:
        assert int(answer.headers["Content-Length"]) > 1000
        assert await answer.read() == b""


async def test_the_front_page_points_to_the_metrics(url, http):
    async with http.get(url) as answer:
        assert 'href="/metrics"' in await answer.text()


async def test_rendering_is_done_beside_the_loop(control, monkeypatch):
    threads = []
    real = server.render

    def noting(*args, **kwargs):
        threads.append(threading.get_ident())
        return real(*args, **kwargs)

    monkeypatch.setattr(server, "render", noting)
    await Scrapes(control).text(openmetrics=False, gzip=False)
    assert threads
    assert threading.get_ident() not in threads


async def test_scrapes_that_come_together_share_one_render(control, monkeypatch):
    renders = []
    real = server.render

    def counting(*args, **kwargs):
        renders.append(kwargs["openmetrics"])
        return real(*args, **kwargs)

    monkeypatch.setattr(server, "render", counting)
    scrapes = Scrapes(control)
    wishes = [scrapes.text(openmetrics=False, gzip=False) for _ in range(10)]
    texts = await asyncio.gather(*wishes, scrapes.text(openmetrics=True, gzip=False))
    assert renders == [False, True]
    assert len({id(text) for text in texts[:10]}) == 1
    await scrapes.text(openmetrics=False, gzip=False)
    assert renders == [False, True, False]


async def test_a_scraper_that_hangs_up_leaves_the_others_their_text(control):
    scrapes = Scrapes(control)
    first = asyncio.ensure_future(scrapes.text(openmetrics=False, gzip=False))
    second = asyncio.ensure_future(scrapes.text(openmetrics=False, gzip=False))
    await asyncio.sleep(0)
    first.cancel()
    assert b"tenantproxy_build_info" in b"".join(await second)


async def test_a_scrape_of_thousands_of_listeners_does_not_hold_up_the_loop():
    """50 ms are asked for; the guard is generous, for the machine may be busy."""
    scrapes = Scrapes(many(20, 100))
    worst_s, loop = 0.0, asyncio.get_running_loop()
    running = asyncio.ensure_future(scrapes.text(openmetrics=False, gzip=True))
    while not running.done():
        before_s = loop.time()
        await asyncio.sleep(0.001)
        worst_s = max(worst_s, loop.time() - before_s)
    assert worst_s < 0.25
    assert len(running.result()) > 1


async def test_a_scraper_that_does_not_read_is_cut(monkeypatch):
    monkeypatch.setattr(pieces, "SEND_TIMEOUT_S", 0.2)
    runner, port = await start_site(make_app(many(20, 100)), "127.0.0.1", 0, "metrics")
    try:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", port))
            await loop.sock_sendall(client, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(1)
            got = b""
            with contextlib.suppress(ConnectionResetError):
                while more := await loop.sock_recv(client, 65_536):
                    got += more
            length = int(got.partition(b"Content-Length: ")[2].partition(b"\r")[0])
            assert 0 < len(got) < length
    finally:
        await runner.cleanup()
