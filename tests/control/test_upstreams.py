"""Who uses upstreams, what workers are told of them, and what stays the same endpoint."""

import asyncio
from dataclasses import replace

import pytest

from tenantproxy.control import upstreams as upstreams_module
from tenantproxy.discovery.source import Failed
from tenantproxy.model.spec import Discovery, HealthRule, TcpCheck, UpstreamSpec
from tests.control.healing_support import found
from tests.control.support import until, upstream

DNS = UpstreamSpec("acme", "v1", discovery=Discovery("dns", "web", 80))


async def test_addresses_of_the_document_need_no_task_and_no_timer(rig):
    one = rig.start(upstream("v1", 80, 81))
    assert len(rig.background) == 0
    assert one.timer is None
    assert rig.used(one.spec) == ["127.0.0.1:80", "127.0.0.1:81"]


async def test_an_upstream_that_nobody_uses_has_no_block_and_workers_do_not_know_it(rig):
    spec = upstream("v1", 80)
    rig.upstreams.set(spec)
    assert rig.one(spec).endpoints == {}
    assert rig.one(spec).block is None
    assert rig.fleet.known == {}


async def test_a_name_that_nobody_uses_is_looked_up_once(rig):
    rig.upstreams.set(DNS)
    await asyncio.sleep(0)
    assert rig.sources.begun == ["v1"]
    await rig.sources.say("v1", found("192.0.2.1:80"))
    await until(lambda: rig.sources.following["v1"] == 0)
    assert len(rig.background) == 0
    rig.wake(DNS)
    assert rig.used(DNS) == ["192.0.2.1:80"], "what was found is used at once"


async def test_a_look_at_names_beside_addresses_waits_for_the_names(rig):
    spec = upstream("v1", 80, host="web")
    rig.upstreams.set(spec)
    await rig.sources.say("v1", found("192.0.2.9:80", reasons=[("web:80", "not resolved yet")]))
    assert rig.sources.following["v1"] == 1
    await rig.sources.say("v1", found("192.0.2.9:80", "192.0.2.1:80"))
    await until(lambda: rig.sources.following["v1"] == 0)


async def test_a_source_is_followed_while_any_listener_is_awake(rig):
    rig.start(DNS, listener=1)
    rig.wake(DNS, listener=2)
    await rig.sources.say("v1", found("192.0.2.1:80"))
    rig.upstreams.release(1)
    await rig.sources.say("v1", found("192.0.2.2:80"))
    await rig.told()
    assert rig.used(DNS) == ["192.0.2.2:80"]
    rig.upstreams.release(2)
    await until(lambda: rig.sources.following["v1"] == 0)
    assert len(rig.background) == 0
    assert rig.used(DNS) == ["192.0.2.2:80"], "what was found stays"


async def test_releasing_twice_is_releasing_once(rig):
    one = rig.start(DNS)
    rig.wake(DNS, listener=2)
    rig.upstreams.release(1)
    rig.upstreams.release(1)
    assert one.users == 1


async def test_a_split_that_changes_wakes_who_is_new_and_lets_the_others_rest(rig):
    v1, v2, v3 = (replace(DNS, name=name) for name in ("v1", "v2", "v3"))
    for spec in (v1, v2, v3):
        rig.upstreams.set(spec)
    rig.upstreams.use(1, [v1.key, v2.key])
    rig.upstreams.use(1, [v2.key, v3.key])
    assert [rig.one(spec).awake for spec in (v1, v2, v3)] == [False, True, True]
    assert rig.sources.begun.count("v2") <= 2, "it went on being followed"


async def test_endpoints_that_stay_keep_number_block_and_health(rig):
    one = rig.start(DNS)
    await rig.sources.say("v1", found("192.0.2.1:80", "192.0.2.2:80"))
    before = dict(one.endpoints)
    await rig.sources.say("v1", found("192.0.2.3:80", "192.0.2.2:80", weight=7))
    kept, new = one.endpoints["192.0.2.2", 80], one.endpoints["192.0.2.3", 80]
    assert kept is before["192.0.2.2", 80]
    assert kept.address.weight == 7
    assert new.id not in {e.id for e in before.values()}
    assert new.block not in {e.block for e in before.values()}
    await rig.told()
    assert [(e.id, e.weight) for e in rig.order(DNS).endpoints] == [(new.id, 7), (kept.id, 7)]


async def test_changes_of_what_is_found_are_told_but_not_the_first_find(rig):
    rig.start(DNS)
    await rig.sources.say("v1", found("192.0.2.1:80", "192.0.2.2:80"))
    assert [e.event for e in rig.said()] == ["upstream_resolved"]
    await rig.sources.say("v1", found("192.0.2.2:80", "192.0.2.3:80"))
    added, removed = rig.said("endpoint_added", "endpoint_removed")
    assert (added.event, added.details["endpoint"]) == ("endpoint_added", "192.0.2.3:80")
    assert (removed.event, removed.details["endpoint"]) == ("endpoint_removed", "192.0.2.1:80")
    assert (added.tenant, added.object) == ("acme", "upstream/v1")


async def test_a_failure_is_told_once_and_keeps_what_was_there(rig):
    one = rig.start(DNS)
    await rig.sources.say("v1", found("192.0.2.1:80"))
    for _ in range(2):
        await rig.sources.say("v1", Failed("web does not resolve: no answer"))
    assert len(rig.said("upstream_unresolved")) == 1
    assert one.discovery_reason == "web does not resolve: no answer"
    assert rig.used(DNS) == ["192.0.2.1:80"]
    await rig.sources.say("v1", found("192.0.2.1:80"))
    assert one.discovery_reason == ""
    assert len(rig.said("upstream_resolved")) == 2


async def test_names_of_the_document_are_told_when_they_fail_and_when_they_are_there(rig):
    spec = upstream("v1", 80, host="web")
    rig.start(spec)
    await rig.sources.say("v1", found(reasons=[("web:80", "web does not resolve: no such name")]))
    await rig.sources.say("v1", found("192.0.2.1:80", name="web", listed="web:80"))
    assert [(e.event, e.reason) for e in rig.said()] == [
        ("upstream_unresolved", "web does not resolve: no such name"),
        ("upstream_resolved", "web is 192.0.2.1"),
    ]


async def test_waking_again_says_nothing_anew(rig):
    spec = upstream("v1", 80, host="web")
    rig.start(spec)
    item = found("192.0.2.1:80", name="web", listed="web:80")
    await rig.sources.say("v1", item)
    before, sent = len(rig.said()), len(rig.fleet.sent)
    rig.upstreams.release(1)
    rig.wake(spec)
    await rig.sources.say("v1", found(reasons=[("web:80", "not resolved yet")]))
    await rig.sources.say("v1", item)
    await rig.told()
    assert len(rig.said()) == before
    assert len(rig.fleet.sent) == sent


async def test_a_change_of_the_spec_reaches_workers_at_once(rig):
    spec = upstream("v1", 80)
    rig.start(spec)
    rig.upstreams.set(upstream("v1", 81, balance="random"))
    assert rig.used(spec) == ["127.0.0.1:81"]
    assert rig.order(spec).balance == "random"


async def test_another_name_is_followed_in_place_of_the_old_one(rig):
    rig.start(DNS)
    await rig.sources.say("v1", found("192.0.2.1:80"))
    rig.upstreams.set(replace(DNS, discovery=Discovery("dns", "other", 80)))
    await until(lambda: len(rig.sources.begun) == 2 and rig.sources.following["v1"] == 1)
    rig.upstreams.set(replace(DNS, discovery=Discovery("dns", "other", 80), balance="random"))
    await asyncio.sleep(0.01)
    assert len(rig.sources.begun) == 2, "only the names matter to it"


async def test_a_dropped_upstream_leaves_no_task_and_workers_forget_it(rig):
    spec = replace(DNS, health=HealthRule(tcp=TcpCheck()))
    rig.start(spec)
    await rig.sources.say("v1", found("192.0.2.1:80"))
    assert rig.prober.watched
    rig.upstreams.release(1)
    rig.upstreams.drop(spec.key)
    await until(lambda: len(rig.background) == 0)
    assert rig.fleet.known == {}
    assert rig.prober.watched == {}


async def test_a_listener_that_outlives_its_upstream_does_not_bring_it_back(rig):
    spec = upstream("v1", 80, warm=1)
    rig.start(spec)
    rig.upstreams.drop(spec.key)
    rig.upstreams.release(1)
    await rig.told()
    assert rig.fleet.known == {}
    rig.upstreams.use(1, [spec.key])
    rig.upstreams.release(1)


async def test_the_block_of_an_endpoint_that_went_is_not_used_again_too_soon(rig, monkeypatch):
    monkeypatch.setattr(upstreams_module, "_QUARANTINE_S", 0.05)
    one = rig.start(DNS)
    await rig.sources.say("v1", found("192.0.2.1:80"))
    block = one.endpoints["192.0.2.1", 80].block
    opened = rig.file.endpoint_at(block)
    rig.file.words[opened] = 1  # a connection that lives on
    await rig.sources.say("v1", found("192.0.2.2:80"))
    assert block in rig.upstreams.blocks()[1], "it is settled if the worker dies"
    await asyncio.sleep(0.2)
    assert block in rig.upstreams.blocks()[1]
    rig.file.words[opened + 1] = 1
    await until(lambda: block not in rig.upstreams.blocks()[1])
    assert rig.books.endpoint_totals(block) == (0, 0, 0)
    assert rig.books.take_endpoint("acme") == block


async def test_a_new_worker_is_told_what_the_others_know(rig):
    rig.start(upstream("v1", 80))
    rig.upstreams.set(upstream("v2", 80))
    rig.upstreams.introduce(0)
    assert rig.fleet.introduced[0] == rig.fleet.known


async def test_spares_are_for_those_that_are_awake(rig):
    spec = upstream("v1", 80, warm=2)
    rig.start(spec)
    assert rig.order(spec).warm == 2
    rig.upstreams.release(1)
    await rig.told()
    assert rig.order(spec).warm == 0
    rig.wake(spec)
    await rig.told()
    assert rig.order(spec).warm == 2


async def test_closing_ends_everything(rig):
    rig.start(replace(DNS, health=HealthRule(tcp=TcpCheck())))
    await rig.sources.say("v1", found("192.0.2.1:80"))
    await rig.upstreams.close()
    await until(lambda: len(rig.background) == 0)
    assert rig.prober.closed


@pytest.mark.parametrize("many", [10_000])
async def test_ten_thousand_upstreams_that_nobody_uses_cost_little(rig, many):
    for number in range(many):
        rig.upstreams.set(upstream(f"u{number}", 80))
    assert len(rig.background) == 0
    assert all(not one.endpoints for one in rig.upstreams.by_key.values())
