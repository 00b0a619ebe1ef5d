"""Who has which numbers: counting for rollouts goes with the name, whatever the port."""

from types import SimpleNamespace

import pytest

from tenantproxy.control.registry import Registry
from tenantproxy.errors import ListenFailed
from tests.control.support import key, listener


class FewSignals:
    """Books that have three signal blocks, and nothing else that anybody asks for here."""

    def __init__(self):
        self.free = [0, 1, 2]

    def take_signals(self):
        if not self.free:
            raise ListenFailed("no signal counters are left")
        return self.free.pop(0)

    def give_back_signals(self, block):
        self.free.append(block)


@pytest.fixture
async def registry():
    return Registry("127.0.0.1", 1, FewSignals(), SimpleNamespace(by_key={}))


def free(registry):
    return sorted(registry._books.free)


async def test_what_is_counted_before_goes_on_and_what_is_not_wanted_is_given_back(registry):
    web = registry.enter(listener(), 1, 1)
    assert registry.count(key(), ("v1", "v2"))
    assert web.signals == registry.counted(key()) == {"v1": 0, "v2": 1}
    assert not registry.count(key(), ("v2", "v1"))
    assert registry.count(key(), ("v2", "v3"))
    assert web.signals == {"v2": 1, "v3": 2}
    assert registry.count(key(), ())
    assert web.signals is None
    assert registry.counted(key()) == {}
    assert free(registry) == [0, 1, 2]
    assert not registry.count(key(), ())


async def test_when_there_are_not_enough_nothing_changes(registry):
    registry.count(key(), ("v1", "v2"))
    with pytest.raises(ListenFailed):
        registry.count(key("other"), ("v1", "v2"))
    assert free(registry) == [2]
    assert registry.counted(key()) == {"v1": 0, "v2": 1}
    assert registry.counted(key("other")) == {}


async def test_a_listener_that_moves_to_another_port_goes_on_counting(registry):
    old = registry.enter(listener(), 1, 1)
    registry.count(key(), ("v1",))
    registry.retired.add(registry.by_key.pop(key()))
    new = registry.enter(listener(), 2, 1)
    assert new is not old
    assert new.signals == old.signals == {"v1": 0}
    registry.forget(old)
    assert registry.counted(key()) == {"v1": 0}
    registry.retired.add(registry.by_key.pop(key()))
    registry.forget(new)
    assert free(registry) == [0, 1, 2]


async def test_counting_that_ends_ends_for_a_predecessor_too(registry):
    old = registry.enter(listener(), 1, 1)
    registry.count(key(), ("v1",))
    registry.retired.add(registry.by_key.pop(key()))
    registry.count(key(), ())
    assert old.signals is None
