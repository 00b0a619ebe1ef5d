"""Changes go to workers at once, and a flood of them as one."""

import asyncio

import pytest

from tenantproxy.control.telling import Telling
from tenantproxy.control.upstream import Endpoint, Upstream
from tenantproxy.control.upstream_orders import UpstreamOrders
from tenantproxy.model.endpoints import EndpointHealth
from tests.control.healing_support import FakeFleet
from tests.control.support import until, upstream
from tests.control.test_upstream_orders import NoCertificates


class Decisions:
    def __init__(self):
        self.made = 0
        self.changes = True

    def __call__(self, one, now_s):
        self.made += 1
        one.choice = one.choose()
        return self.changes


@pytest.fixture
async def told():
    fleet, decisions = FakeFleet(1), Decisions()
    telling = Telling(fleet, UpstreamOrders(NoCertificates(), 1, Upstream.shorten), decisions)
    yield telling, fleet, decisions
    telling.close()


def used(name="v1"):
    one = Upstream(upstream(name, 80))
    one.block, one.sent = 0, True
    [address] = one.places().values()
    one.endpoints = {(address.host, address.port): Endpoint(address, 0, EndpointHealth())}
    return one


async def test_many_changes_are_one_decision_and_one_order(told):
    telling, fleet, decisions = told
    one = used()
    for _ in range(1000):
        telling.soon(one)
    await until(lambda: fleet.sent)
    await asyncio.sleep(0.05)
    assert (len(fleet.sent), decisions.made) == (1, 1)


async def test_a_decision_that_changes_nothing_is_not_told_unless_something_else_did(told):
    telling, fleet, decisions = told
    decisions.changes = False
    one, other = used(), used("v2")
    telling.soon(one)
    telling.soon(other, anyhow=True)
    telling.soon(other)
    await until(lambda: decisions.made == 2)
    assert [order.id for order in fleet.sent] == [other.id]


async def test_what_workers_do_not_know_is_not_told(told):
    telling, fleet, decisions = told
    one = used()
    one.sent = False
    telling.soon(one, anyhow=True)
    telling.now([one])
    telling.introduce(0, [one])
    telling.drop(one)
    await asyncio.sleep(0.03)
    assert (fleet.sent, fleet.introduced, decisions.made) == ([], {}, 0)


async def test_what_is_told_now_is_not_told_again_later(told):
    telling, fleet, _ = told
    one = used()
    telling.soon(one)
    telling.now([one])
    assert len(fleet.sent) == 1
    await asyncio.sleep(0.05)
    assert len(fleet.sent) == 1


async def test_what_was_dropped_is_not_told_any_more(told):
    telling, fleet, _ = told
    one = used()
    telling.now([one])
    telling.soon(one)
    telling.drop(one)
    await asyncio.sleep(0.05)
    assert fleet.known == {}


async def test_nothing_is_told_after_the_end(told):
    telling, fleet, _ = told
    telling.soon(used())
    telling.close()
    await asyncio.sleep(0.05)
    assert fleet.sent == []
