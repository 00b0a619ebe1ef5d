"""Checks between parts: names, ports, addresses; each thing wrong has its own code."""

import time
from dataclasses import replace

import pytest

from tenantproxy.model.checks import check_document, check_tenant, is_loopback, overlap
from tenantproxy.model.rollout_spec import Analysis, OutsideCheck, RolloutSpec, Step
from tenantproxy.model.spec import (
    AdminSpec,
    Discovery,
    Document,
    EndpointSpec,
    ListenerSpec,
    MetricsSpec,
    ProxySpec,
    SplitMember,
    TenantSpec,
    UpstreamSpec,
)


def tenant(name="acme", ports=(None,), *, endpoint="10.0.0.1:80", split="web"):
    host, _, port = endpoint.rpartition(":")
    upstream = UpstreamSpec(
        name, "web", (EndpointSpec("10.9.9.9", 1), EndpointSpec(host, int(port)))
    )
    listeners = {
        f"l{n}": ListenerSpec(name, f"l{n}", (SplitMember(split, 1),), port=number)
        for n, number in enumerate(ports)
    }
    return TenantSpec(name, {}, {"web": upstream}, listeners)


def check(*tenants, proxy=ProxySpec(), first=0):  # noqa: B008 - frozen
    document = Document(proxy, {one.name: one for one in tenants})
    found = check_document(document, first_unprivileged_port=first)
    return [(p.code, p.path) for p in found]


def test_a_sound_document_has_no_problems():
    assert check(tenant("a", (20_000, None)), tenant("b", (20_001, None, 29_999))) == []
    assert check() == []


def test_a_split_may_name_only_upstreams_of_its_tenant():
    (problem,) = check_tenant(tenant(split="wbe"), ProxySpec())
    assert problem.code == "unknown_upstream"
    assert problem.path == "tenants.acme.listeners.l0.split.wbe"
    assert problem.hint == "did you mean web?"
    (problem,) = check_tenant(tenant(split="zzz"), ProxySpec())
    assert problem.hint == "known upstreams: web"
    lone = TenantSpec("acme", {}, {}, tenant().listeners)
    (problem,) = check_tenant(lone, ProxySpec())
    assert problem.hint == "the tenant has no upstreams; add one under `upstreams`"


@pytest.mark.parametrize("port", [1, 19_999, 30_000])
def test_a_port_outside_of_the_range_is_refused(port):
    assert check(tenant(ports=(port,))) == [
        ("port_outside_range", "tenants.acme.listeners.l0.port")
    ]


def test_a_port_that_the_process_may_not_bind_is_refused():
    low = ProxySpec(port_range=(1, 30_000), admin=AdminSpec(port=81), metrics=MetricsSpec(port=82))
    assert check(tenant(ports=(80,)), proxy=low) == []
    assert check(tenant(ports=(80, 1024)), proxy=low, first=1024) == [
        ("port_privileged", "proxy.admin.port"),
        ("port_privileged", "proxy.metrics.port"),
        ("port_privileged", "tenants.acme.listeners.l0.port"),
    ]
    any_port = ProxySpec(admin=AdminSpec(port=0), metrics=MetricsSpec(port=0))
    assert check(proxy=any_port, first=1024) == []


def test_two_listeners_on_one_port_clash_and_both_are_named():
    document = Document(
        ProxySpec(), {"a": tenant("a", (20_000,)), "b": tenant("b", (20_001, 20_000))}
    )
    (problem,) = check_document(document)
    assert (problem.code, problem.path) == ("port_clash", "tenants.b.listeners.l1.port")
    assert "a/l0 and b/l1 both want port 20000" in problem.message
    assert [p.code for p in check_tenant(tenant("a", (20_000, 20_000)), ProxySpec())] == [
        "port_clash"
    ]


@pytest.mark.parametrize(
    ("listen", "admin", "metrics", "paths"),
    [
        ("0.0.0.0", "127.0.0.1", "0.0.0.0", ["l0", "l1"]),
        ("::", "127.0.0.1", "::1", ["l0", "l1"]),
        ("10.0.0.1", "127.0.0.1", "0.0.0.0", ["l1"]),
        ("10.0.0.1", "127.0.0.1", "10.0.0.2", []),
        ("0.0.0.0", "::1", "::1", []),
        ("127.0.0.1", "127.0.0.1", "::ffff:127.0.0.1", ["l0", "l1"]),
    ],
)
def test_a_listener_may_not_have_the_port_of_admin_or_metrics(listen, admin, metrics, paths):
    proxy = ProxySpec(
        listen_address=listen,
        port_range=(9900, 9999),
        admin=AdminSpec(admin, 9900),
        metrics=MetricsSpec(metrics, 9901),
    )
    assert check(tenant(ports=(9900, 9901)), proxy=proxy) == [
        ("port_clash", f"tenants.acme.listeners.{name}.port") for name in paths
    ]


@pytest.mark.parametrize(
    ("admin", "metrics", "clash"),
    [
        (AdminSpec("127.0.0.1", 9900), MetricsSpec("0.0.0.0", 9900), True),
        (AdminSpec("127.0.0.1", 9900), MetricsSpec("::", 9900), True),
        (AdminSpec("127.0.0.1", 9900), MetricsSpec("127.0.0.2", 9900), False),
        (AdminSpec("127.0.0.1", 9900), MetricsSpec("0.0.0.0", 9901), False),
        (AdminSpec("127.0.0.1", 0), MetricsSpec("127.0.0.1", 0), False),
    ],
)
def test_admin_and_metrics_may_not_share_a_port(admin, metrics, clash):
    expected = [("port_clash", "proxy.metrics.port")] if clash else []
    assert check(proxy=ProxySpec(admin=admin, metrics=metrics)) == expected


@pytest.mark.parametrize(
    ("address", "token", "fine"),
    [
        ("127.0.0.1", None, True),
        ("127.9.9.9", None, True),
        ("::1", None, True),
        ("::ffff:127.0.0.1", None, True),
        ("0.0.0.0", None, False),
        ("::", None, False),
        ("10.0.0.1", None, False),
        ("0.0.0.0", "/run/token", True),
    ],
)
def test_the_admin_api_needs_a_token_beyond_the_loopback(address, token, fine):
    expected = [] if fine else [("address_refused", "proxy.admin.address")]
    assert check(proxy=ProxySpec(admin=AdminSpec(address, 9900, token))) == expected


def test_more_automatic_ports_than_the_range_has_are_refused():
    proxy = ProxySpec(port_range=(9900, 9903))
    assert check(tenant(ports=(9902, None)), proxy=proxy) == []
    # 9900 and 9901 are admin's and metrics'
    assert check(tenant(ports=(9902, None, None)), proxy=proxy) == [
        ("port_range_full", "proxy.port_range")
    ]


@pytest.mark.parametrize(
    ("listen", "endpoint", "loop"),
    [
        ("0.0.0.0", "127.0.0.1:20000", True),
        ("0.0.0.0", "127.1.2.3:20000", True),
        ("0.0.0.0", "0.0.0.0:20000", True),
        ("0.0.0.0", "localhost:20000", True),
        ("0.0.0.0", "LocalHost:20000", True),
        ("0.0.0.0", "127.0.0.1:20001", False),
        ("0.0.0.0", "10.0.0.1:20000", False),
        ("0.0.0.0", "::1:20000", False),
        ("0.0.0.0", "some.name:20000", False),
        ("::", "::1:20000", True),
        ("::", "127.0.0.1:20000", True),
        ("::", "localhost:20000", True),
        ("10.0.0.1", "10.0.0.1:20000", True),
        ("10.0.0.1", "127.0.0.1:20000", False),
    ],
)
def test_a_listener_may_not_split_to_itself(listen, endpoint, loop):
    expected = [("upstream_loop", "tenants.acme.upstreams.web.endpoints.1")] if loop else []
    found = check(
        tenant(ports=(20_000,), endpoint=endpoint), proxy=ProxySpec(listen_address=listen)
    )
    assert found == expected


@pytest.mark.parametrize(
    ("found", "loop"),
    [
        (Discovery("dns", "localhost", 20_000), True),
        (Discovery("dns", "localhost", 20_001), False),
        (Discovery("dns", "web.acme.svc", 20_000), False),
        (Discovery("srv", "localhost"), False),
    ],
    ids=str,
)
def test_a_listener_may_not_split_to_itself_by_name_either(found, loop):
    upstream = UpstreamSpec("acme", "web", discovery=found)
    one = replace(tenant(ports=(20_000,)), upstreams={"web": upstream})
    path = "tenants.acme.upstreams.web.discovery.dns"
    assert check(one) == ([("upstream_loop", path)] if loop else [])


# Rollouts


def plan(split=(("v1", 1),), port=None, *, upstreams=("v1", "v2"), endpoint="10.0.0.1:80", **keys):
    """Return a tenant with one listener and a rollout from v1 to v2."""
    host, _, number = endpoint.rpartition(":")
    spec = RolloutSpec("v1", "v2", (Step("weight", 5),), **keys)
    web = ListenerSpec(
        "acme", "web", tuple(SplitMember(*one) for one in split), port=port, rollout=spec
    )
    up = {
        name: UpstreamSpec("acme", name, (EndpointSpec(host, int(number)),)) for name in upstreams
    }
    return TenantSpec("acme", {}, up, {"web": web})


ROLLOUT = "tenants.acme.listeners.web.rollout"


def test_a_rollout_of_upstreams_of_the_tenant_is_sound():
    assert check(plan()) == []
    assert check(plan((("v1", 1), ("v2", 0)))) == []
    assert check(plan((("v2", 1),))) == []
    assert check(plan(preview=20_000), tenant("b", (20_001,))) == []


@pytest.mark.parametrize(
    ("upstreams", "split", "places"),
    [
        (("v1", "other"), "v1", ["rollout.to"]),
        (("v2", "other"), "v2", ["rollout.from"]),
        (("other",), "other", ["rollout.from", "rollout.to"]),
    ],
)
def test_a_rollout_names_upstreams_of_its_tenant(upstreams, split, places):
    found = check(plan(((split, 1),), upstreams=upstreams))
    assert found == [("unknown_upstream", f"tenants.acme.listeners.web.{p}") for p in places]


@pytest.mark.parametrize("split", [(("v3", 1),), (("v3", 1), ("v1", 0)), (("v3", 1), ("v2", 0))])
def test_a_rollout_of_what_has_no_share_is_refused(split):
    (problem,) = check_tenant(plan(split, upstreams=("v1", "v2", "v3")), ProxySpec())
    assert (problem.code, problem.path) == ("rollout_without_share", ROLLOUT)
    assert "neither v1 nor v2 has a share" in problem.message
    assert problem.hint == "give v1 a weight above 0 in the split"


@pytest.mark.parametrize(("known", "new", "place"), [("v1", "v2", "to"), ("v2", "v1", "from")])
def test_a_full_split_takes_no_canary(known, new, place):
    others = [f"u{n}" for n in range(15)]
    names = ("v1", "v2", *others)
    full = [(known, 1), *((name, 1) for name in others)]
    assert check(plan(full[:15], upstreams=names)) == []
    assert check(plan([*full[:15], (new, 0)], upstreams=names)) == []
    (problem,) = check_tenant(plan(full, upstreams=names), ProxySpec())
    assert (problem.code, problem.path) == ("split_full", f"{ROLLOUT}.{place}")
    assert f"with {new} the split would have more than 16 members" in problem.message


def test_the_number_of_a_preview_is_checked_as_that_of_a_listener():
    preview = f"{ROLLOUT}.preview"
    low = ProxySpec(port_range=(1, 30_000))
    assert check(plan(preview=30_000)) == [("port_outside_range", preview)]
    assert check(plan(preview=80), proxy=low, first=1024) == [("port_privileged", preview)]
    for port in (9900, 9901):
        assert check(plan(preview=port), proxy=low) == [("port_clash", preview)]
    (problem,) = check_tenant(plan(preview=30_000), ProxySpec())
    assert "write `preview: auto`" in problem.hint


def test_a_preview_clashes_with_listeners_and_with_previews():
    preview = f"{ROLLOUT}.preview"
    assert check(tenant("b", (20_000,)), plan(preview=20_000)) == [("port_clash", preview)]
    assert check(plan(port=20_000, preview=20_000)) == [("port_clash", preview)]
    assert check(plan(preview=20_000), tenant("b", (20_000,))) == [
        ("port_clash", "tenants.b.listeners.l0.port")
    ]
    one = plan(preview=20_000)
    two = replace(one, listeners={**one.listeners, "x": replace(one.listeners["web"], name="x")})
    (problem,) = check_tenant(two, ProxySpec())
    assert (problem.code, problem.path) == ("port_clash", preview.replace("web", "x"))
    assert "listeners acme/web.preview and acme/x.preview both want port 20000" in problem.message
    assert problem.hint == "give one of the two another number, or write `preview: auto`"


@pytest.mark.parametrize(("preview", "fits"), [("auto", False), (None, True), (9902, True)])
def test_a_preview_needs_a_port_of_the_range_as_listeners_do(preview, fits):
    small = ProxySpec(port_range=(9900, 9903))  # 9900 and 9901 are admin's and metrics'
    assert check(plan(port=9903, preview="auto"), proxy=small) == []
    full = tenant("b", (9903,)) if preview != 9902 else tenant("b", ())
    expected = [] if fits else [("port_range_full", "proxy.port_range")]
    assert check(plan(preview=preview), full, proxy=small) == expected


def test_neither_port_of_a_rollout_may_lead_to_itself():
    loop = [("upstream_loop", "tenants.acme.upstreams.v2.endpoints.0")]
    both = plan(port=20_000, endpoint="127.0.0.1:20000")
    only_canary = replace(
        both, upstreams={**both.upstreams, "v1": plan(endpoint="10.0.0.1:1").upstreams["v1"]}
    )
    assert check(only_canary) == loop
    assert check(plan(preview=20_000, endpoint="127.0.0.1:20000")) == loop
    assert check(plan(preview=20_000, port=20_001, endpoint="127.0.0.1:20002")) == []


def test_programs_judge_only_where_the_daemon_allows_it():
    command = OutsideCheck("judge", "command", run=("x",))
    judged = plan(analysis=Analysis(outside=(OutsideCheck("w", "webhook"), command)))
    (problem,) = check_tenant(judged, ProxySpec())
    assert (problem.code, problem.path) == ("rollout_commands_off", f"{ROLLOUT}.analysis.checks")
    assert "the check judge runs a program" in problem.message
    assert "may run anything as the daemon's user" in problem.hint
    assert check(judged, proxy=ProxySpec(rollout_commands=True)) == []


def test_addresses_overlap_when_they_cannot_be_bound_together():
    assert overlap("0.0.0.0", "10.0.0.1")
    assert overlap("10.0.0.1", "::")
    assert overlap("::1", "::")
    assert not overlap("::1", "0.0.0.0")
    assert not overlap("10.0.0.1", "10.0.0.2")
    assert is_loopback("127.0.0.1")
    assert not is_loopback("0.0.0.0")


def test_all_problems_are_found_at_once():
    proxy = ProxySpec(admin=AdminSpec("0.0.0.0", 9901))
    assert [code for code, _ in check(tenant(ports=(5, 5), split="x"), proxy=proxy)] == [
        "port_clash",
        "address_refused",
        "unknown_upstream",
        "port_outside_range",
        "unknown_upstream",
        "port_outside_range",
        "port_clash",
    ]


def test_the_cost_grows_with_the_document_and_not_with_its_square():
    """20,000 listeners on one port: with a comparison of all pairs this takes minutes."""
    many = [tenant(f"t{n}", (20_000,) * 10) for n in range(2000)]
    began = time.monotonic()
    assert len(check(*many)) == 19_999
    assert time.monotonic() - began < 20
