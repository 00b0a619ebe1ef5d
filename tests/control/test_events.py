"""The event log: numbered, followed, bounded."""

import pytest

from tenantproxy.control.events import FOLLOWER_KEPT, KEPT, Events


def test_events_are_numbered_and_kept_in_order():
    events = Events()
    events.add("opened", "first connection", tenant="acme", about="listener/web", port=20_001)
    events.add("slept", "idle")
    first, second = events.after(0, 100)
    assert (first.number, first.event, first.details) == (1, "opened", {"port": 20_001})
    assert events.after(1, 100) == [second]


def test_a_limit_keeps_the_newest():
    events = Events()
    for _ in range(5):
        events.add("opened", "")
    assert [event.number for event in events.after(0, 2)] == [4, 5]


def test_old_events_are_forgotten():
    events = Events()
    for _ in range(KEPT + 3):
        events.add("opened", "")
    assert events.after(0, KEPT * 2)[0].number == 4


async def test_a_follower_sees_what_comes_and_what_it_missed():
    events = Events()
    events.add("one", "")
    events.add("two", "")
    with events.follow(after=1) as follower:
        events.add("three", "")
        assert [(await follower.next()).event for _ in range(2)] == ["two", "three"]


async def test_a_follower_ends_with_the_daemon_once_it_has_read_all():
    events = Events()
    with events.follow(after=None) as follower:
        events.add("last", "")
        events.end()
        assert (await follower.next()).event == "last"
        with pytest.raises(StopAsyncIteration):
            await follower.next()


async def test_a_follower_that_does_not_read_is_ended_and_keeps_nothing():
    events = Events()
    with events.follow(after=None) as follower:
        for _ in range(FOLLOWER_KEPT + 1):
            events.add("opened", "")
        with pytest.raises(StopAsyncIteration):
            await follower.next()
