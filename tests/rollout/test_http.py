"""One question, one answer, or one line that says why there is none."""

import gzip
import ssl

import pytest
import trustme
from aiohttp import web

from tenantproxy.errors import NoVerdict
from tenantproxy.rollout.http import MOST_BYTES
from tests.rollout.support import (
    HOST,
    answering,
    nobody,
    resetting,
    saying,
    speaking,
)

SECRET = "/path?token=s3cret"


async def refused(http, url):
    with pytest.raises(NoVerdict) as caught:
        await http.ask("POST", url + SECRET, json={})
    assert "s3cret" not in str(caught.value)
    return str(caught.value)


async def test_code_and_body_of_the_answer_come_back(http):
    async with answering(lambda _: web.Response(status=503, text="later")) as server:
        reply = await http.ask("POST", f"{server.url}/a?b=c", json={"x": 1})
        assert (reply.status, reply.text, reply.whole) == (503, "later", True)
        assert str(server.last.rel_url) == "/a?b=c"
        assert server.bodies == [b'{"x": 1}']
        assert server.last.headers["User-Agent"].startswith("tenantproxy/")


async def test_no_redirect_is_followed(http):
    async with answering(lambda _: web.Response()) as target:
        moved = web.Response(status=307, headers={"Location": target.url})
        async with answering(lambda _: moved) as server:
            assert await refused(http, server.url) == "gave a redirect (307), and none is followed"
        assert target.requests == []


@pytest.mark.parametrize(
    ("more", "whole"), [(0, True), (1, False), (10_000_000, False)], ids=["most", "over", "huge"]
)
async def test_a_long_answer_is_read_up_to_its_bound(http, more, whole):
    body = b"x" * (MOST_BYTES + more)
    async with answering(lambda _: web.Response(body=body)) as server:
        reply = await http.ask("GET", server.url)
    assert (len(reply.body), reply.whole) == (MOST_BYTES, whole)


async def test_nothing_is_unpacked(http):
    packed = gzip.compress(b"0" * 1_000_000)
    headers = {"Content-Encoding": "gzip"}
    async with answering(lambda _: web.Response(body=packed, headers=headers)) as server:
        assert (await http.ask("GET", server.url)).body == packed
        assert server.last.headers["Accept-Encoding"] == "identity"


async def test_no_cookie_is_kept_and_no_connection_is(http):
    baked = web.Response(headers={"Set-Cookie": "a=b; Path=/"})

    def answer(request):
        ports.append(request.transport.get_extra_info("peername")[1])
        return web.Response(headers=baked.headers)

    ports = []
    async with answering(answer) as server:
        await http.ask("GET", server.url)
        await http.ask("GET", server.url)
        assert "Cookie" not in server.last.headers
    assert len(set(ports)) == 2


async def test_a_proxy_of_the_environment_is_not_asked(http, monkeypatch):
    with nobody() as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("HTTP_PROXY", proxy)
        async with answering(lambda _: web.Response(text="direct")) as server:
            assert (await http.ask("GET", server.url)).text == "direct"


async def test_who_does_not_listen_is_named(http):
    with nobody() as url:
        why = await refused(http, url)
    assert why.startswith(f"cannot connect to {url.removeprefix('http://')}: ")


async def test_a_name_that_does_not_exist_is_named(http):
    assert await refused(http, "http://nowhere.invalid") == "nowhere.invalid does not resolve"


async def test_a_reset_and_a_silent_end_are_told(http):
    async with speaking(resetting) as url:
        assert await refused(http, url) in (
            "the connection broke: Connection reset by peer",
            "ended the connection without an answer",
        )
    async with speaking(saying(b"")) as url:
        assert await refused(http, url) == "ended the connection without an answer"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "its answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"a" * 100_000, "its answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "its answer broke off"),
    ],
    ids=["ssh", "endless head", "half a body"],
)
async def test_an_answer_that_is_none_is_told(http, answer, why):
    async with speaking(saying(answer)) as url:
        assert await refused(http, url) == why


@pytest.mark.parametrize(
    "url", ["", "http:", "h:80", "http://", "ftp://h", "http://h:99999", "//h", "http://[::1"]
)
async def test_a_url_that_is_none_is_told(http, url):
    assert await refused(http, url) == "its url cannot be used"


async def test_a_certificate_that_nobody_trusts_is_refused(http):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(HOST).configure_cert(context)
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, HOST, 0, ssl_context=context).start()
    try:
        why = await refused(http, f"https://{HOST}:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
    assert why.startswith("its certificate is refused: ")


async def test_tls_with_a_server_without_it_does_not_come_about(http):
    async with answering(lambda _: web.Response()) as server:
        why = await refused(http, server.url.replace("http", "https"))
    assert why in ("TLS does not come about", "ended the connection without an answer")


async def test_closed_twice_is_closed(http):
    async with answering(lambda _: web.Response()) as server:
        await http.ask("GET", server.url)
    await http.close()
    await http.close()
