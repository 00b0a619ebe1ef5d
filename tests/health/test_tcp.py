"""A TCP check connects, sends, and looks for a text in what comes back."""

from __future__ import annotations

import asyncio

import pytest

from tenantproxy.health.check import check
from tenantproxy.health.tcp import MOST_BYTES
from tests.e2e import programs
from tests.health.support import PLENTY_S, resetting, saying, serving, tcp


@pytest.mark.parametrize(
    "pieces",
    [(b"+PONG\r\n",), (b"+PO", b"NG\r\n"), tuple(b"%c" % c for c in b"noise +PO +PONG\r\n")],
)
async def test_an_answer_that_holds_the_text_passes_in_whatever_pieces_it_comes(pieces):
    async with serving(saying(*pieces, until=b"PING\r\n", stay=True)) as server:
        result = await check(tcp(server.port, b"PING\r\n", b"+PONG"), PLENTY_S)
    assert (result.passed, result.reason) == (True, "answered as expected")
    assert server.heard == b"PING\r\n"


async def test_a_banner_is_expected_without_sending():
    async with serving(saying(b"220 mail ready\r\n", stay=True)) as server:
        assert (await check(tcp(server.port, expect=b"220 "), PLENTY_S)).passed


async def test_what_is_sent_arrives_when_no_answer_is_expected():
    async with serving(saying(until=b"hello", stay=True)) as server:
        result = await check(tcp(server.port, b"hello"), PLENTY_S)
        async with asyncio.timeout(PLENTY_S):
            while server.heard != b"hello":
                await asyncio.sleep(0.005)
    assert (result.passed, result.reason) == (True, "connected")


async def test_another_answer_fails_when_the_peer_closes():
    async with serving(saying(b"-LOADING secret\r\n", until=b"PING\r\n")) as server:
        result = await check(tcp(server.port, b"PING\r\n", b"+PONG"), PLENTY_S)
    assert (result.passed, result.reason) == (False, "answer lacks the expected text")


async def test_a_close_before_any_answer_fails():
    async with serving(saying(until=b"PING\r\n")) as server:
        result = await check(tcp(server.port, b"PING\r\n", b"+PONG"), PLENTY_S)
    assert (result.passed, result.reason) == (False, "closed before it answered")


async def test_a_reset_before_any_answer_fails():
    async with serving(resetting(b"PING\r\n")) as server:
        result = await check(tcp(server.port, b"PING\r\n", b"+PONG"), PLENTY_S)
    assert (result.passed, result.reason) == (False, "reset before it answered")


@pytest.mark.parametrize("wait", [b"", b"half an answer"])
async def test_a_peer_that_goes_silent_times_out(wait):
    async with serving(saying(wait, stay=True)) as server:
        result = await check(tcp(server.port, expect=b"+PONG"), 0.2)
    assert (result.passed, result.reason) == (False, "timed out after 200ms")


@pytest.mark.parametrize(("before", "passes"), [(MOST_BYTES - 4, True), (MOST_BYTES - 3, False)])
async def test_no_more_than_64_kib_of_an_answer_are_looked_at(before, passes):
    async with serving(saying(b"x" * before, b"DONE", b"x" * 9_000_000)) as server:
        result = await check(tcp(server.port, expect=b"DONE"), PLENTY_S)
    assert result.passed is passes
    if not passes:
        assert result.reason == "answer lacks the expected text"


async def test_after_64_kib_nothing_more_is_waited_for():
    async with serving(saying(b"x" * MOST_BYTES, stay=True)) as server:
        result = await check(tcp(server.port, expect=b"DONE"), PLENTY_S)
    assert (result.passed, result.reason) == (False, "answer lacks the expected text")


async def test_redis_answers_ping(tmp_path):
    async with programs.redis(tmp_path) as port:
        assert (await check(tcp(port, b"PING\r\n", b"+PONG"), PLENTY_S)).passed
        wrong = await check(tcp(port, b"PING\r\n", b"+GONP"), 0.3)
    assert wrong.reason == "timed out after 300ms"
