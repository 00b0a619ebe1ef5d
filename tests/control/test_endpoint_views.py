"""Every endpoint is seen, those without an address too."""

from tenantproxy import clock
from tenantproxy.control.endpoint_views import endpoint_views
from tenantproxy.dataplane.counters import Endpoint as Words
from tenantproxy.model.spec import EndpointSpec, HealthRule, OutlierRule, TcpCheck, UpstreamSpec
from tests.control.healing_support import found
from tests.control.support import upstream


def views(rig, spec):
    return endpoint_views(rig.one(spec), rig.books)


async def test_an_upstream_nobody_used_shows_its_endpoints_unchecked(rig):
    spec = UpstreamSpec("acme", "v1", (EndpointSpec("192.0.2.1", 80, 7),))
    rig.upstreams.set(spec)
    [view] = views(rig, spec)
    assert (view.address, view.resolved, view.weight) == ("192.0.2.1:80", "192.0.2.1", 7)
    assert (view.state, view.connections_total) == ("unchecked", 0)
    assert abs(view.since_s - clock.wall_s()) < 60


async def test_names_without_an_address_are_in_their_place_with_the_reason(rig):
    spec = UpstreamSpec(
        "acme", "v1", (EndpointSpec("lost", 80), EndpointSpec("web", 80), EndpointSpec("::1", 80))
    )
    rig.start(spec)
    assert [v.reason for v in views(rig, spec)] == ["not resolved yet", "not resolved yet", ""]
    item = found("192.0.2.1:80", name="web", listed="web:80", reasons=[("lost:80", "no such name")])
    local = found("::1:80", listed="[::1]:80")
    both = type(item)((*item.addresses, *local.addresses), item.reasons)
    await rig.sources.say("v1", both)
    assert [(v.address, v.resolved, v.state, v.reason) for v in views(rig, spec)] == [
        ("lost:80", None, "unresolved", "no such name"),
        ("web:80", "192.0.2.1", "unchecked", ""),
        ("[::1]:80", "::1", "unchecked", ""),
    ]


async def test_an_endpoint_is_unresolved_since_it_lacks_an_address(rig, monkeypatch):
    now_s = [1000.0]
    monkeypatch.setattr("tenantproxy.clock.monotonic_s", lambda: now_s[0])
    rig.start(upstream("v1", 80))
    now_s[0] = 1060.0
    spec = UpstreamSpec("acme", "v1", (EndpointSpec("127.0.0.1", 80), EndpointSpec("lost", 80)))
    rig.upstreams.set(spec)
    there, lost = views(rig, spec)
    assert (lost.state, lost.since_s - there.since_s) == ("unresolved", 60.0)
    now_s[0] = 1090.0
    local = found("127.0.0.1:80", listed="127.0.0.1:80", reasons=[("lost:80", "no such name")])
    await rig.sources.say("v1", local)
    again = views(rig, spec)[1]
    assert (again.reason, again.since_s) == ("no such name", lost.since_s)


async def test_an_ejection_that_ended_while_all_slept_is_not_shown(rig, monkeypatch):
    spec = upstream("v1", 80, 81, outlier=OutlierRule(eject_for_s=60.0))
    rig.start(spec)
    rig.fail(spec, 0, 5)
    await rig.told()
    rig.upstreams.release(1)
    out = views(rig, spec)[0]
    assert out.state == "ejected"
    later_s = clock.monotonic_s() + 61
    monkeypatch.setattr("tenantproxy.clock.monotonic_s", lambda: later_s)
    back = views(rig, spec)[0]
    assert (back.state, back.ejected_until_s, back.reason) == (
        "unchecked", None, "back after 1m out",
    )  # fmt: skip
    assert back.since_s == out.ejected_until_s
    assert back.ejections == 1


async def test_a_name_that_fails_now_is_used_as_it_was_and_says_why(rig):
    spec = upstream("v1", 80, host="web")
    rig.start(spec)
    await rig.sources.say("v1", found("192.0.2.1:80", name="web", listed="web:80"))
    await rig.sources.say("v1", found(reasons=[("web:80", "no such name")]))
    [view] = views(rig, spec)
    assert (view.resolved, view.state, view.reason) == ("192.0.2.1", "unchecked", "no such name")


async def test_counts_are_those_of_all_workers(rig):
    spec = upstream("v1", 80)
    rig.start(spec)
    at = rig.file.endpoint_at(rig.endpoint(spec, 0).block)
    for word, count in ((Words.OPENED, 5), (Words.CLOSED, 2), (Words.FAILED, 4)):
        rig.file.words[at + word] = count
    [view] = views(rig, spec)
    assert (view.connections, view.connections_total, view.failures) == (3, 5, 4)


async def test_health_is_shown_with_its_reason_and_times(rig):
    spec = upstream(
        "v1", 80, 81, health=HealthRule(tcp=TcpCheck()), outlier=OutlierRule(eject_for_s=60.0)
    )
    rig.start(spec)
    rig.fail(spec, 0, 5)
    rig.check(spec, 1, passed=True)
    await rig.told()
    out, well = views(rig, spec)
    assert (out.state, out.ejections, out.usable) == ("ejected", 1, False)
    assert "5 failures in a row: refused" in out.reason
    assert 0 < out.ejected_until_s - clock.wall_s() <= 61
    assert (well.state, well.reason) == ("healthy", "check passed: so it was")
    assert [v.since_s for v in views(rig, spec)] == [out.since_s, well.since_s]
