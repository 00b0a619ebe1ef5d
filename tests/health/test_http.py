"""An HTTP check sends one GET and looks at the code of the answer."""

from __future__ import annotations

import asyncio

import pytest

from tenantproxy import __version__
from tenantproxy.health.check import check
from tests.e2e import programs
from tests.health.support import PLENTY_S, http, resetting, saying, serving

END = b"\r\n\r\n"


def head(code: int, *lines: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {code} Whatever", *lines, "", "")).encode()


async def ask(*pieces: bytes, stay: bool = False, timeout_s: float = PLENTY_S, **options):
    async with serving(saying(*pieces, until=END, stay=stay)) as server:
        return await check(http(server.port, **options), timeout_s), server


@pytest.mark.parametrize(
    ("code", "passes"),
    [(200, True), (204, True), (302, True), (399, True), (400, False), (503, False)],
)
async def test_codes_200_to_399_are_well(code, passes):
    result, _ = await ask(head(code, "Content-Length: 0"), path="/healthz")
    assert (result.passed, result.reason) == (passes, f"GET /healthz said {code}")


async def test_only_codes_in_the_ranges_are_well():
    ranges = ((200, 200), (500, 599))
    for code, passes in ((200, True), (201, False), (503, True), (499, False)):
        assert (await ask(head(code), expect=ranges))[0].passed is passes


async def test_the_request_says_who_asks_and_for_what():
    _, server = await ask(head(200), path="/live?full=1")
    request = server.heard.decode()
    assert request.splitlines() == [
        "GET /live?full=1 HTTP/1.1",
        f"Host: web:{server.port}",
        f"User-Agent: tenantproxy/{__version__}",
        "Connection: close",
        "",
    ]


async def test_the_host_of_the_rule_wins():
    _, server = await ask(head(200), header="shop.example")
    assert b"\r\nHost: shop.example\r\n" in server.heard


async def test_the_zone_of_an_address_stays_here():
    _, server = await ask(head(200), name="[fe80::1%eth0]:80")
    assert b"\r\nHost: [fe80::1]:80\r\n" in server.heard


async def test_a_redirect_is_not_followed():
    result, server = await ask(head(302, "Location: /elsewhere"))
    assert result.passed
    assert server.connections == 1
    assert server.heard.count(b"GET") == 1


async def test_an_answer_that_trickles_is_read():
    result, _ = await ask(*(b"%c" % c for c in head(200, "X: y")))
    assert result.passed


async def test_an_informational_answer_is_not_the_answer():
    result, _ = await ask(head(103, "Link: </style.css>"), head(503))
    assert result.reason == "GET / said 503"


async def test_a_body_without_end_is_not_read_for_ever():
    result, server = await ask(head(200), *[b"x" * 1_000_000] * 20)
    assert result.passed
    assert server.ends == 0


@pytest.mark.parametrize("framing", ["Content-Length: 40000", "Connection: close"])
async def test_a_server_that_still_writes_its_answer_is_not_reset(framing):
    """It comes in pieces, so that a reset after the head would meet a later one."""
    answer = [head(200, framing), *[b"x" * 1000] * 40]
    async with serving(saying(*answer, until=END)) as server:
        assert (await check(http(server.port), PLENTY_S)).passed
        async with asyncio.timeout(PLENTY_S):
            while not server.ends + server.resets:
                await asyncio.sleep(0.002)
    assert (server.ends, server.resets) == (1, 0)


async def test_an_answer_that_does_not_end_changes_no_verdict():
    for framing in ("Content-Length: 9", "Transfer-Encoding: chunked", "Connection: close"):
        result, _ = await ask(head(200, framing), stay=True, timeout_s=0.5)
        assert (result.passed, result.reason) == (True, "GET / said 200")


async def test_a_body_that_is_broken_changes_no_verdict():
    result, _ = await ask(head(503, "Transfer-Encoding: chunked"), b"no chunk at all" + END)
    assert result.reason == "GET / said 503"
    result, _ = await ask(head(200, "Content-Length: 9"), b"short", stay=False)
    assert result.passed


async def test_the_query_stays_out_of_the_reason_and_a_long_path_is_cut():
    result, _ = await ask(head(200), path="/live?token=secret")
    assert result.reason == "GET /live said 200"
    result, _ = await ask(head(200), path="/p" * 99 + "?token=secret")
    assert result.reason == f"GET {'/p' * 28}/... said 200"


@pytest.mark.parametrize(
    "words",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x0a" * 9,
        b"HTTP/1.1 9999 X\r\n\r\n",
    ],
)
async def test_what_is_not_http_fails(words):
    result, _ = await ask(words, stay=False)
    assert not result.passed
    assert result.reason in ("answer is not HTTP", "closed before it answered")


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 200_000),
        (head(103) * 9_000,),
        tuple(head(102, "X: " + "y" * 30_000) for _ in range(5)),
    ],
)
async def test_a_head_without_end_fails(pieces):
    result, _ = await ask(*pieces)
    assert (result.passed, result.reason) == (False, "head of the answer is longer than 64 KiB")


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\nX: y\r\n"])
async def test_a_close_before_the_answer_is_complete_fails(begin):
    result, _ = await ask(begin, stay=False)
    assert (result.passed, result.reason) == (False, "closed before it answered")


async def test_a_reset_fails():
    async with serving(resetting(END)) as server:
        result = await check(http(server.port), PLENTY_S)
    assert (result.passed, result.reason) == (False, "reset before it answered")


async def test_a_silent_server_times_out():
    result, _ = await ask(b"HTTP/1.1 200", stay=True, timeout_s=0.2)
    assert (result.passed, result.reason) == (False, "timed out after 200ms")


@pytest.mark.parametrize("path", ["/with space", "/line\r\nX: y"])
async def test_a_path_that_would_break_the_request_is_not_sent(path):
    result, server = await ask(path=path)
    assert result.reason == "the path or the host of the check cannot be sent"
    assert server.heard == b""


async def test_nginx_says_well_and_not_found(tmp_path):
    (tmp_path / "files").mkdir()
    async with programs.nginx(tmp_path, tmp_path / "files") as port:
        assert (await check(http(port), PLENTY_S)).reason == "GET / said 200"
        lost = await check(http(port, "/files/lost"), PLENTY_S)
    assert (lost.passed, lost.reason) == (False, "GET /files/lost said 404")
