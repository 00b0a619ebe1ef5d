"""Endpoints fall ill, are left out, come back; workers and people are told."""

import asyncio
from dataclasses import replace

from tenantproxy.model.spec import (
    Discovery,
    EndpointSpec,
    HealthRule,
    OutlierRule,
    TcpCheck,
    UpstreamSpec,
)
from tests.control.healing_support import found
from tests.control.support import until

CHECKED = HealthRule(tcp=TcpCheck(), fall=3, rise=2)
SOON = OutlierRule(consecutive_failures=3, eject_for_s=0.05, max_ejected=0.5)


def of(count, **more):
    places = tuple(EndpointSpec(f"192.0.2.{n}", 80) for n in range(count))
    more.setdefault("outlier", None)
    return UpstreamSpec("acme", "v1", places, **more)


def hosts(rig, spec):
    return [int(one.host.rsplit(".", 1)[1]) for one in rig.order(spec).endpoints]


async def test_endpoints_are_checked_while_the_upstream_is_awake(rig):
    spec = of(2, health=CHECKED, send_proxy="v1")
    one = rig.start(spec)
    assert set(rig.prober.watched) == {e.id for e in one.endpoints.values()}
    target = rig.prober.watched[rig.endpoint(spec, 0).id]
    assert (target.host, target.port, target.rule) == ("192.0.2.0", 80, CHECKED)
    assert (target.name, target.send_proxy) == ("192.0.2.0:80", "v1")
    rig.upstreams.release(1)
    assert not rig.prober.watched
    rig.upstreams.use(2, [spec.key])
    assert len(rig.prober.watched) == 2


async def test_without_a_rule_nobody_is_checked(rig):
    rig.start(of(2))
    assert not rig.prober.watched


async def test_an_endpoint_nobody_has_checked_is_used_and_its_first_check_decides(rig):
    spec = of(3, health=CHECKED)
    rig.start(spec)
    assert hosts(rig, spec) == [0, 1, 2]
    rig.check(spec, 1, passed=False)
    await rig.told()
    assert hosts(rig, spec) == [0, 2]
    assert rig.order(spec).healthy == 2
    [event] = rig.said("endpoint_unhealthy")
    assert (event.object, event.details["endpoint"]) == ("upstream/v1", "192.0.2.1:80")


async def test_a_check_that_changes_nothing_for_workers_is_not_told_to_them(rig):
    spec = of(2, health=CHECKED)
    rig.start(spec)
    before = len(rig.fleet.sent)
    rig.check(spec, 0, passed=True)
    await rig.told()
    assert len(rig.fleet.sent) == before
    assert rig.said("endpoint_healthy")
    assert rig.one(spec).passed == 1


async def test_it_is_healthy_again_after_so_many_passes(rig):
    spec = of(3, health=CHECKED)
    rig.start(spec)
    rig.check(spec, 0, passed=False)
    rig.check(spec, 0, passed=True)
    await rig.told()
    assert hosts(rig, spec) == [1, 2]
    rig.check(spec, 0, passed=True)
    await rig.told()
    assert hosts(rig, spec) == [0, 1, 2]
    assert (rig.one(spec).passed, rig.one(spec).failed) == (2, 1)


async def test_after_a_sleep_the_first_check_decides_and_what_was_known_is_used_meanwhile(rig):
    spec = of(3, health=CHECKED)
    rig.start(spec)
    rig.check(spec, 0, passed=False)
    await rig.told()
    rig.upstreams.release(1)
    rig.wake(spec)
    assert hosts(rig, spec) == [1, 2]
    rig.check(spec, 0, passed=True)
    await rig.told()
    assert hosts(rig, spec) == [0, 1, 2]


async def test_with_too_few_usable_all_are_used_and_it_is_said_once_each_way(rig):
    spec = of(4, health=CHECKED)
    rig.start(spec)
    for number in range(3):
        rig.check(spec, number, passed=False)
    await rig.told()
    assert hosts(rig, spec) == [0, 1, 2, 3]
    assert rig.order(spec).healthy == 1
    assert rig.one(spec).panic
    rig.check(spec, 3, passed=False)
    await rig.told()
    assert rig.order(spec).healthy == 0
    [event] = rig.said("upstream_panic")
    assert event.reason == "1 of 4 endpoints are usable: all are used"
    for number in range(3):
        for _ in range(2):
            rig.check(spec, number, passed=True)
    await rig.told()
    assert hosts(rig, spec) == [0, 1, 2]
    assert len(rig.said("upstream_panic_over")) == 1


async def test_it_is_said_when_nothing_is_usable_any_more_and_when_something_is_again(rig):
    spec = of(2, health=CHECKED, panic_below=0.0)
    rig.start(spec)
    for number in (0, 1):
        rig.check(spec, number, passed=False)
    await rig.told()
    assert hosts(rig, spec) == []
    rig.upstreams.release(1)
    rig.wake(spec)
    await rig.told()
    for _ in range(2):
        rig.check(spec, 0, passed=True)
    await rig.told()
    assert [(e.event, e.reason) for e in rig.said("upstream_down", "upstream_up")] == [
        ("upstream_down", "0 of 2 endpoints are usable"),
        ("upstream_up", "1 of 2 endpoints are usable"),
    ]


async def test_it_is_said_when_the_last_endpoint_goes_but_not_before_there_was_one(rig):
    spec = UpstreamSpec("acme", "v1", discovery=Discovery("dns", "web", 80))
    rig.start(spec)
    await rig.sources.say("v1", found())
    await rig.told()
    assert rig.said("upstream_down") == []
    await rig.sources.say("v1", found("192.0.2.1:80"))
    await rig.told()
    assert rig.said("upstream_up") == []
    for item in (found(), found("192.0.2.2:80")):
        await rig.sources.say("v1", item)
        await rig.told()
    assert [(e.event, e.reason) for e in rig.said("upstream_down", "upstream_up")] == [
        ("upstream_down", "no endpoint is left"),
        ("upstream_up", "1 of 1 endpoints are usable"),
    ]


async def test_a_thousand_that_fail_at_once_are_a_few_orders(rig):
    spec = of(0)
    spec = replace(
        spec,
        endpoints=tuple(EndpointSpec(f"10.0.{n >> 8}.{n & 255}", 80) for n in range(1000)),
        health=CHECKED,
    )
    rig.start(spec)
    before = len(rig.fleet.sent)
    for number, one in enumerate(list(rig.one(spec).endpoints.values())[:400]):
        rig.prober.tell(one.id, passed=False)
        if number % 40 == 0:
            await asyncio.sleep(0)
    await rig.told()
    assert len(rig.order(spec).endpoints) == 600
    assert len(rig.fleet.sent) - before <= 50
    assert len(rig.said("endpoint_unhealthy")) == 400


async def test_a_change_is_told_in_the_same_turn_of_the_loop_when_there_was_none_before(rig):
    spec = of(3, health=CHECKED)
    rig.start(spec)
    await asyncio.sleep(0.05)
    rig.check(spec, 0, passed=False)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert hosts(rig, spec) == [1, 2]


async def test_failures_in_a_row_over_all_workers_eject_and_time_brings_back(rig):
    spec = of(4, outlier=SOON)
    one = rig.start(spec)
    assert rig.order(spec).report
    rig.fail(spec, 2, 2, worker=0)
    rig.fail(spec, 2, 1, worker=1)
    await rig.told()
    assert hosts(rig, spec) == [0, 1, 3]
    assert one.ejections == 1
    [event] = rig.said("endpoint_ejected")
    assert event.details["endpoint"] == "192.0.2.2:80"
    assert "refused" in event.reason
    await until(lambda: hosts(rig, spec) == [0, 1, 2, 3])
    assert rig.said("endpoint_returned")
    assert one.timer is None, "nothing is pending"


async def test_a_success_anywhere_begins_the_count_anew(rig):
    spec = of(2, outlier=SOON)
    rig.start(spec)
    rig.fail(spec, 0, 2, worker=0)
    rig.fail(spec, 0, 0, worker=1)
    rig.fail(spec, 0, 1, worker=1)
    await rig.told()
    assert hosts(rig, spec) == [0, 1]


async def test_the_last_usable_one_is_never_ejected(rig):
    spec = of(2, outlier=SOON)
    rig.start(spec)
    for number in (0, 1):
        rig.fail(spec, number, 5)
    await rig.told()
    assert hosts(rig, spec) == [1]
    await until(lambda: hosts(rig, spec) == [0], 2.0)
    assert len(rig.said("endpoint_ejected")) == 2, "the other follows when one is back"


async def test_a_share_of_all_may_be_out_at_once(rig):
    spec = of(20, outlier=replace(SOON, max_ejected=0.1, eject_for_s=60.0))
    rig.start(spec)
    for number in range(20):
        rig.fail(spec, number, 3)
    await rig.told()
    assert hosts(rig, spec) == list(range(2, 20))


async def test_what_a_worker_told_that_died_counts_no_more(rig):
    spec = of(2, outlier=SOON)
    one = rig.start(spec)
    rig.fail(spec, 0, 2, worker=0)
    rig.upstreams.worker_lost(0)
    assert rig.endpoint(spec, 0).health.seen == ()
    assert one.overdue is None


async def test_reports_of_endpoints_that_are_gone_and_of_upstreams_without_a_rule_are_nothing(rig):
    spec = of(2)
    rig.start(spec)
    rig.fail(spec, 0, 99)
    number = rig.endpoint(spec, 0).id
    rig.upstreams.set(of(1, outlier=SOON))
    rig.upstreams.outcomes(0, [type("O", (), {"endpoint": number + 999, "failures": 9})()])
    await rig.told()
    assert not rig.said()


async def test_passed_checks_end_an_ejection(rig):
    spec = of(2, outlier=replace(SOON, eject_for_s=60.0), health=CHECKED)
    rig.start(spec)
    rig.fail(spec, 0, 3)
    await rig.told()
    assert hosts(rig, spec) == [1]
    for _ in range(2):
        rig.check(spec, 0, passed=True)
    await rig.told()
    assert hosts(rig, spec) == [0, 1]
    assert rig.one(spec).timer is None


async def test_an_ejection_that_ends_in_a_sleep_is_over_when_the_upstream_wakes(rig):
    spec = of(2, outlier=SOON)
    one = rig.start(spec)
    rig.fail(spec, 0, 3)
    await rig.told()
    rig.upstreams.release(1)
    assert one.timer is None
    await asyncio.sleep(0.1)
    assert hosts(rig, spec) == [1]
    rig.wake(spec)
    await rig.told()
    assert hosts(rig, spec) == [0, 1]


async def test_rules_that_go_take_what_they_said_along(rig):
    spec = of(3, outlier=replace(SOON, eject_for_s=60.0, max_ejected=1.0), health=CHECKED)
    one = rig.start(spec)
    rig.check(spec, 0, passed=False)
    rig.fail(spec, 1, 3)
    await rig.told()
    assert hosts(rig, spec) == [0, 1, 2], "one of three: panic"
    rig.upstreams.set(of(3))
    assert hosts(rig, spec) == [0, 1, 2]
    assert [e.health.state for e in one.endpoints.values()] == ["unchecked"] * 3
    assert rig.order(spec).healthy == 3
    assert not rig.prober.watched
    assert one.timer is None
    assert not rig.order(spec).report


async def test_another_rule_is_used_for_the_next_check(rig):
    spec = of(1, health=CHECKED)
    rig.start(spec)
    rig.upstreams.set(of(1, health=replace(CHECKED, every_s=9.0)))
    [target] = rig.prober.watched.values()
    assert target.rule.every_s == 9.0


async def test_a_newcomer_starts_slowly_in_steps_and_then_has_its_whole_weight(rig, monkeypatch):
    monkeypatch.setattr("tenantproxy.control.healing.SHORTEST_STEP_S", 0.02)
    spec = of(1, slow_start_s=0.3)
    one = rig.start(spec)
    assert [e.weight for e in rig.order(spec).endpoints] == [1]
    assert one.timer is None
    bigger = of(2, slow_start_s=0.3)
    rig.upstreams.set(bigger)
    first, second = (e.weight for e in rig.order(spec).endpoints)
    assert (first, second < 50) == (100, True)
    await until(lambda: [e.weight for e in rig.order(spec).endpoints] == [1, 1])
    weights = [order.endpoints[1].weight for order in rig.fleet.sent if len(order.endpoints) == 2]
    assert len(weights) > 4
    assert weights[:-1] == sorted(weights[:-1])
    assert one.timer is None


async def test_a_check_that_cannot_be_made_is_told_until_one_can(rig):
    spec = of(2, health=CHECKED)
    rig.start(spec)
    for number in (0, 1, 0):
        rig.prober.unable(rig.endpoint(spec, number).id, "no file descriptor is left")
    assert len(rig.said("check_unable")) == 1
    rig.check(spec, 0, passed=True)
    rig.prober.unable(rig.endpoint(spec, 0).id, "no file descriptor is left")
    assert len(rig.said("check_unable")) == 2
    assert hosts(rig, spec) == [0, 1]


async def test_of_services_the_first_priority_that_has_enough_usable_ones_is_used(rig):
    spec = UpstreamSpec("acme", "v1", (EndpointSpec("web", 80),), health=CHECKED)
    one = rig.start(spec)
    first, second = found("192.0.2.0:80", "192.0.2.1:80"), found("192.0.2.8:80", priority=1)
    both = replace(first, addresses=first.addresses + second.addresses)
    await rig.sources.say("v1", both)
    await rig.told()
    assert hosts(rig, spec) == [0, 1]
    for number in (0, 1):
        rig.check(spec, number, passed=False)
    await rig.told()
    assert hosts(rig, spec) == [8]
    assert not one.panic
