"""More was found than can be used: who was there stays, it is said once, and made good."""

from dataclasses import replace

import pytest

from tenantproxy.control import upstream as upstream_module
from tenantproxy.control import upstreams as upstreams_module
from tenantproxy.control.upstream import Upstream
from tenantproxy.discovery.source import Found
from tenantproxy.model.spec import Discovery, UpstreamSpec
from tests.control.healing_support import found
from tests.control.support import until, upstream

DNS = UpstreamSpec("acme", "v1", discovery=Discovery("dns", "web", 80))
OTHER = replace(DNS, tenant="other", name="v2")


def hosts(one):
    return [address.host for address in one.addresses]


@pytest.fixture
def full(rig):
    """Take every endpoint block; the value gives one back."""
    taken = [rig.books._endpoints.take() for _ in range(rig.books._endpoints.free)]
    return lambda: rig.books._endpoints.give_back(taken.pop())


async def test_who_is_there_stays_when_there_is_no_counter_for_a_newcomer(rig, monkeypatch):
    monkeypatch.setattr(upstreams_module, "_AGAIN_S", 0.02)
    rig.start(DNS)
    await rig.sources.say("v1", found("192.0.2.2:80", "192.0.2.3:80"))
    taken = [rig.books._endpoints.take() for _ in range(rig.books._endpoints.free)]
    await rig.sources.say("v1", found("192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"))
    await rig.told()
    assert rig.used(DNS) == ["192.0.2.2:80", "192.0.2.3:80"]
    why = "2 of 3 addresses are used: acme has 2 endpoint counters, and only 0 are free"
    assert list(rig.one(DNS).short.values()) == [why]
    for number in taken:
        rig.books._endpoints.give_back(number)
    await until(lambda: len(rig.used(DNS)) == 3)
    assert rig.used(DNS)[0] == "192.0.2.1:80"
    assert rig.one(DNS).short == {}
    assert [e.reason for e in rig.said("upstream_shortened")] == [why]


async def test_one_tenant_cannot_take_what_another_one_needs(rig):
    rig.start(OTHER, listener=2)
    for number in range(8):
        spec = replace(DNS, name=f"u{number}")
        rig.start(spec, listener=10 + number)
        many = (f"198.18.{number}.{n}" if n < 256 else f"198.19.{number}.{n - 256}"
                for n in range(512))  # fmt: skip
        await rig.sources.say(spec.name, found(*(f"{host}:80" for host in many)))
    taken = [rig.books.take_endpoint("acme") for _ in range(5000 - 8 * 512)]
    assert taken
    rig.start(replace(DNS, name="more"), listener=3)
    await rig.sources.say("more", found("192.0.2.9:80"))
    await rig.told()
    assert rig.one(replace(DNS, name="more")).endpoints == {}
    await rig.sources.say("v2", found("192.0.2.1:80"))
    await rig.told()
    assert rig.used(OTHER) == ["192.0.2.1:80"]


async def test_an_upstream_that_goes_while_it_is_short_is_not_tried_again(rig, full, monkeypatch):
    monkeypatch.setattr(upstreams_module, "_AGAIN_S", 0.01)
    rig.start(DNS)
    await rig.sources.say("v1", found("192.0.2.1:80"))
    one = rig.one(DNS)
    rig.upstreams.drop(DNS.key)
    full()
    await until(lambda: rig.upstreams._again is None)
    assert one.endpoints == {}


async def test_of_too_many_addresses_those_that_were_there_stay(rig, monkeypatch):
    monkeypatch.setattr(upstream_module, "MOST_FOUND", 3)
    rig.start(DNS)
    await rig.sources.say("v1", found("192.0.2.5:80", "192.0.2.6:80"))
    five = found(*(f"192.0.2.{n}:80" for n in (1, 2, 5, 6, 7)))
    await rig.sources.say("v1", five)
    await rig.told()
    assert rig.used(DNS) == ["192.0.2.1:80", "192.0.2.5:80", "192.0.2.6:80"]
    assert rig.one(DNS).short == {"addresses": "3 of 5 addresses are used"}
    await rig.sources.say("v1", five)
    six = found(*(f"192.0.2.{n}:80" for n in (1, 2, 3, 5, 6, 7)))
    await rig.sources.say("v1", six)
    assert rig.one(DNS).short == {"addresses": "3 of 6 addresses are used"}
    assert len(rig.said("upstream_shortened")) == 1
    await rig.sources.say("v1", found("192.0.2.5:80"))
    assert rig.one(DNS).short == {}
    await rig.sources.say("v1", five)
    assert len(rig.said("upstream_shortened")) == 2


def test_listed_endpoints_are_not_cut(monkeypatch):
    monkeypatch.setattr(upstream_module, "MOST_FOUND", 1)
    one = Upstream(upstream("v1", 80, 81, host="web"))
    one.take(Found(tuple(a for n in (80, 81) for a in found(
        f"192.0.2.1:{n}", listed=f"web:{n}").addresses)))  # fmt: skip
    assert len(one.addresses) == 2


def test_what_a_source_left_out_is_said_until_another_discovery_is_asked():
    one = Upstream(DNS)
    one.take(replace(found("192.0.2.1:80"), shortened="64 of 100 targets are used"))
    assert one.short == {"targets": "64 of 100 targets are used"}
    one.respec(replace(DNS, connect_timeout_s=9.0))
    assert one.short
    one.respec(replace(DNS, discovery=Discovery("dns", "other", 80)))
    assert one.short == {}


async def test_many_changes_at_once_are_one_event(rig):
    rig.start(DNS)
    await rig.sources.say("v1", found("192.0.2.1:80", "192.0.2.2:80"))
    many = [f"192.0.2.{n}:80" for n in range(2, 13)]
    await rig.sources.say("v1", found(*many))
    assert rig.said("endpoint_added", "endpoint_removed") == []
    [event] = rig.said("endpoints_changed")
    assert event.reason.startswith("10 are new: 192.0.2.3, ")
    assert event.reason.endswith(" and 2 more; 1 is gone: 192.0.2.1")
    await rig.sources.say("v1", found(*many[5:], "192.0.2.50:80", "192.0.2.51:80"))
    assert len(rig.said("endpoint_added", "endpoint_removed")) == 7
