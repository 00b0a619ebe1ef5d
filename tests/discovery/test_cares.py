"""The channel: how long it lives, what it forgets, and how it does without inotify."""

from __future__ import annotations

import asyncio

import aiodns
import pycares
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.discovery import cares
from tenantproxy.discovery.cares import Channels, tries, words
from tenantproxy.discovery.slots import Slots
from tenantproxy.model.spec import DnsSpec
from tests.discovery.scripted import Reply, scripted
from tests.discovery.support import resolving
from tests.e2e.daemon import until


@given(timeout_s=st.floats(0.1, 120))
def test_c_ares_is_never_the_first_to_give_up(timeout_s):
    waits = [min(0.25 * 2**number, 5) / 2 for number in range(tries(timeout_s))]
    assert sum(waits) >= timeout_s
    assert sum(waits[:-1]) < timeout_s


def test_each_code_has_words():
    for code in pycares.errno.errorcode:
        if code:
            assert words(code) == words(code).strip() != ""
    assert words(pycares.errno.ARES_ENOMEM) == "out of memory"


@pytest.fixture
async def channels():
    made = Channels(DnsSpec(("127.0.0.1:9",)), Slots(each=1, total=1))
    yield made
    await made.close()


async def test_a_channel_is_kept_and_its_configuration_read_again_every_half_minute(
    channels, monkeypatch
):
    reloads = []
    monkeypatch.setattr(cares.Channel, "reload", lambda self: reloads.append(self))
    first = await channels.get(100.0)
    assert await channels.get(129.9) is first
    assert reloads == []
    assert await channels.get(130.0) is first
    assert await channels.get(131.0) is first
    assert reloads == [first]


async def test_a_channel_that_cannot_be_made_is_tried_again_every_half_minute(
    channels, monkeypatch
):
    real, fail = cares.Channel, True

    def make(*args, **options):
        if fail:
            raise pycares.AresError("no inotify")
        return real(*args, **options)

    monkeypatch.setattr(cares, "Channel", make)
    with pytest.raises(OSError, match="no inotify"):
        await channels.get(100.0)
    fail = False
    with pytest.raises(OSError, match="no inotify"):
        await channels.get(129.0)
    assert isinstance(await channels.get(130.0), real)


async def test_a_closed_one_says_so(channels):
    await channels.get(100.0)
    await channels.close()
    with pytest.raises(aiodns.error.DNSError):
        await channels.get(101.0)


@pytest.fixture
def no_inotify(monkeypatch):
    """c-ares cannot have its own thread, as when a host's inotify instances are all taken."""
    real = pycares.Channel

    def channel(**options):
        if "sock_state_cb" not in options:
            raise pycares.AresError("no inotify")
        return real(**options)

    monkeypatch.setattr(aiodns.pycares, "Channel", channel)


async def test_without_inotify_it_works_on_the_loop_and_is_made_anew_when_nobody_waits(
    no_inotify, monkeypatch
):
    monkeypatch.setattr(cares, "RELOAD_EVERY_S", 0.0)
    async with scripted() as dns, resolving(dns.address) as resolver:
        dns.rules |= {"web.test": Reply(("127.0.0.1",))}
        dns.rules["late.test"] = Reply(("127.0.0.2",), after_s=0.3)
        await resolver.addresses("web.test", tenant="acme")
        first = resolver._channels._channel
        assert not first.reloads
        late = asyncio.ensure_future(resolver.addresses("late.test", tenant="acme"))
        await until(lambda: "late.test A" in dns.asked)
        second = resolver._channels._channel
        assert second is not first
        await resolver.addresses("web.test", tenant="acme")
        assert resolver._channels._channel is second  # somebody waits for it
        assert (await late).hosts == ("127.0.0.2",)
        assert (await resolver.addresses("web.test", tenant="acme")).hosts == ("127.0.0.1",)
        assert resolver._channels._channel is not second


async def test_what_c_ares_keeps_is_forgotten_when_it_reads_again(monkeypatch):
    """Its cache holds an answer for its TTL, up to an hour."""
    monkeypatch.setattr(cares, "RELOAD_EVERY_S", 0.5)
    async with scripted() as dns, resolving(dns.address) as resolver:
        dns.rules |= {"web.test": Reply(("127.0.0.1",), ttl_s=3600)}
        assert (await resolver.addresses("web.test", tenant="acme")).hosts == ("127.0.0.1",)
        dns.rules["web.test A"] = Reply(("127.0.0.2",))

        async def changed():
            return (await resolver.addresses("web.test", tenant="acme")).hosts == ("127.0.0.2",)

        assert not await changed()
        await until(changed)
