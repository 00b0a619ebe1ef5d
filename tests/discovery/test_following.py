"""Following several things: each at its own pace, none left behind, no error of ours lost."""

from __future__ import annotations

import asyncio

import pytest

from tenantproxy.discovery.following import Following, News, hosts
from tenantproxy.discovery.source import Failed
from tests.discovery.scripted import SERVFAIL, Reply, scripted
from tests.discovery.support import resolving


class Board:
    """Lets a test say what each key's iterator yields."""

    def __init__(self):
        self.queues = {}
        self.ended = []

    async def follow(self, key):
        queue = self.queues[key] = asyncio.Queue()
        try:
            while True:
                item = await queue.get()
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.ended.append(key)

    async def say(self, key, item):
        while key not in self.queues:
            await asyncio.sleep(0)
        self.queues[key].put_nowait(item)


async def test_one_that_is_slow_holds_up_no_other():
    board, news = Board(), News()
    async with Following(board.follow, news) as following:
        following.want(["a", "b"])
        await board.say("a", 1)
        await asyncio.wait_for(news.wait(), 5)
        assert following.known == {"a": 1}
    assert sorted(board.ended) == ["a", "b"]


async def test_a_failure_keeps_what_is_known_and_an_answer_takes_the_reason_away():
    board, news = Board(), News()
    async with Following(board.follow, news) as following:
        following.want(["a"])
        for item in (1, Failed("no"), 2):
            await board.say("a", item)
            await asyncio.wait_for(news.wait(), 5)
            if item == Failed("no"):
                assert (following.known, following.reasons) == ({"a": 1}, {"a": "no"})
        assert (following.known, following.reasons) == ({"a": 2}, {})


async def test_what_is_not_wanted_any_more_is_forgotten_and_what_stays_is_not_started_again():
    board, news = Board(), News()
    async with Following(board.follow, news) as following:
        following.want(["a", "b"])
        await board.say("a", 1)
        await board.say("b", Failed("no"))
        await asyncio.wait_for(news.wait(), 5)
        await asyncio.sleep(0)
        queue = board.queues["a"]
        following.want(["a", "c"])
        await board.say("c", 3)
        await asyncio.sleep(0.01)
        assert following.known == {"a": 1, "c": 3}
        assert following.reasons == {}
        assert board.ended == ["b"]
        assert board.queues["a"] is queue


async def test_an_error_of_ours_reaches_the_one_who_waits():
    board, news = Board(), News()
    async with Following(board.follow, news) as following:
        following.want(["a"])
        await board.say("a", ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(news.wait(), 5)


async def test_hosts_are_those_of_the_resolver_which_is_told_what_was_known(monkeypatch):
    monkeypatch.setattr("tenantproxy.discovery.refresh.SHORTEST_S", 0.05)
    async with scripted() as dns, resolving(dns.address) as resolver:
        dns.rules |= {"web.test A": Reply(("127.0.0.1",)), "web.test AAAA": Reply(("fd00::1",))}
        following = hosts(resolver, "web.test", "acme")
        assert set(await anext(following)) == {"127.0.0.1", "fd00::1"}
        dns.rules["web.test A"] = SERVFAIL  # the family that fails stays
        dns.rules["web.test AAAA"] = Reply(("fd00::2",))
        assert set(await asyncio.wait_for(anext(following), 10)) == {"127.0.0.1", "fd00::2"}
        await following.aclose()
