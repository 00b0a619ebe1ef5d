"""Rendering: what is shown can be put back and is the same."""

import json
import string

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tenantproxy.config.document import (
    parse_document,
    parse_listener,
    parse_split,
    parse_tenant,
    parse_upstream,
)
from tenantproxy.config.policies import parse_policies
from tenantproxy.config.render import (
    render_codes,
    render_document,
    render_listener,
    render_policy,
    render_split,
    render_tenant,
    render_upstream,
    to_yaml,
)
from tenantproxy.config.yaml_tree import parse_tree
from tenantproxy.model.checks import check_document
from tenantproxy.model.spec import (
    AdminSpec,
    Discovery,
    DnsSpec,
    Document,
    EndpointSpec,
    HealthRule,
    HttpCheck,
    IdleRule,
    ListenerSpec,
    MetricsSpec,
    OutlierRule,
    PolicyMatch,
    PolicySpec,
    ProxySpec,
    QueueRule,
    ShutdownSpec,
    SplitMember,
    TcpCheck,
    TenantSpec,
    TlsRule,
    UpstreamSpec,
    WakeRule,
)
from tests.config.test_document import FULL

letters = string.ascii_lowercase + string.digits
names = st.text(letters, min_size=1, max_size=5) | st.just("no") | st.just("a-b")
durations = st.floats(0.001, 3650 * 86_400) | st.integers(1, 10**6).map(float)
ports = st.integers(1, 65_535)
hosts = st.sampled_from(["10.0.0.1", "fd00::1", "web.svc", "localhost"]) | st.ip_addresses(v=6).map(
    str
)
labels = st.dictionaries(
    st.text(letters + ".:/ -", min_size=1, max_size=5),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=6),
    max_size=3,
)
endpoints = st.lists(
    st.builds(EndpointSpec, hosts, ports, st.integers(1, 256)),
    min_size=1,
    max_size=4,
    unique_by=lambda e: (e.host, e.port),
).map(tuple)
splits = (
    st.dictionaries(names, st.integers(0, 1_000_000), min_size=1, max_size=16)
    .filter(lambda weights: any(weights.values()))
    .map(lambda weights: tuple(SplitMember(n, w) for n, w in weights.items()))
)
shares = st.integers(0, 10_000).map(lambda hundredths: hundredths / 10_000)
odd_texts = st.sampled_from(["PING\r\n", "\x00\x85\ufeff"])
plane_0 = st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])
"""JSON escapes characters beyond by pairs of halves, which no reader of YAML takes."""
texts = (st.text(plane_0, max_size=9) | odd_texts).map(str.encode)
codes = st.integers(100, 599)
tcp_checks = st.builds(TcpCheck, send=texts, expect=texts)
http_checks = st.builds(
    HttpCheck,
    path=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=9).map("/".__add__),
    host=st.none() | st.sampled_from(["web.svc", "web:80", "[fd00::1]:80", "10.0.0.1"]),
    expect=st.lists(st.tuples(codes, codes).map(sorted).map(tuple), min_size=1, max_size=16).map(
        tuple
    ),
)
more_of_health = {
    "every_s": st.floats(0.1, 3600.0),
    "timeout_s": st.floats(0.001, 60.0),
    "fall": st.integers(1, 100),
    "rise": st.integers(1, 100),
    "jitter": shares.map(lambda share: round(share / 2, 4)),
    "port": st.none() | ports,
}
health_rules = st.builds(HealthRule, tcp=tcp_checks, **more_of_health) | st.builds(
    HealthRule, http=http_checks, **more_of_health
)
outlier_rules = st.builds(
    lambda failures, times, share: OutlierRule(failures, min(times), max(times), share),
    st.integers(1, 1000),
    st.tuples(durations, durations),
    shares,
)
discoveries = st.builds(Discovery, st.just("dns"), st.sampled_from(["web.svc", "web."]), ports)
discoveries |= st.builds(Discovery, st.just("srv"), st.just("_web._tcp.acme.svc"))
files = st.sampled_from(["ca.pem", "/etc/tenantproxy/us.key", "on"])
tls_rules = st.builds(
    TlsRule,
    server_name=st.none() | st.just("web.example.com"),
    ca_file=st.none() | files,
    verify=st.booleans(),
) | st.builds(TlsRule, cert_file=files, key_file=st.none() | files)
idle_rules = st.builds(IdleRule, durations, st.sampled_from(["sleep", "close", "never"]))


@st.composite
def upstreams(draw, tenant="acme", name="web"):
    limit = draw(st.none() | st.integers(1, 1_000_000))
    queue = st.none() | st.builds(QueueRule, st.integers(1, 1_000_000), durations)
    found = draw(st.none() | discoveries)
    return UpstreamSpec(
        tenant=tenant,
        name=name,
        endpoints=draw(endpoints) if found is None else (),
        balance=draw(
            st.sampled_from(["round_robin", "least_connections", "random", "source_hash"])
        ),
        connect_timeout_s=draw(durations),
        connect_tries=draw(st.integers(1, 16)),
        retry_budget=draw(shares),
        first_byte_timeout_s=draw(st.none() | durations),
        discovery=found,
        slow_start_s=draw(durations | st.just(0.0)),
        panic_below=draw(shares),
        health=draw(st.none() | health_rules),
        outlier=draw(st.none() | outlier_rules),
        max_connections=limit,
        queue=None if limit is None else draw(queue),
        warm=draw(st.integers(0, 1000)),
        send_proxy=draw(st.sampled_from([None, "v1", "v2"])),
        tls=draw(st.none() | tls_rules),
    )


def listeners(tenant="acme", name="web", split=splits):
    return st.builds(
        ListenerSpec,
        tenant=st.just(tenant),
        name=st.just(name),
        split=split,
        port=st.none() | ports,
        open=st.sampled_from(["on_demand", "always"]),
        idle=st.none() | idle_rules,
        idle_timeout_s=durations,
        wake=st.builds(WakeRule, st.integers(1, 1_000_000), durations, st.booleans()),
        drain_s=durations | st.just(0.0),
        sticky=st.sampled_from([None, "source_ip"]),
        fallback=st.booleans(),
    )


@st.composite
def tenants(draw, name):
    up = {n: draw(upstreams(name, n)) for n in draw(st.sets(names, min_size=1, max_size=3))}
    split = st.just(tuple(SplitMember(n, 1 + i) for i, n in enumerate(up)))
    down = {n: draw(listeners(name, n, split)) for n in draw(st.sets(names, max_size=3))}
    return TenantSpec(name, draw(labels), up, down)


addresses = st.sampled_from(["127.0.0.1", "0.0.0.0", "::", "::1"])
proxies = st.builds(
    ProxySpec,
    workers=st.none() | st.integers(1, 256),
    listen_address=addresses,
    port_range=st.just((1, 65_535)),
    accept=st.sampled_from(["shared", "reuseport"]),
    admin=st.builds(AdminSpec, addresses, st.integers(0, 65_535), st.none() | st.just("/t")),
    metrics=st.builds(MetricsSpec, addresses, st.integers(0, 65_535)),
    relay=st.sampled_from(["pump", "kernel", "auto"]),
    dns=st.builds(
        DnsSpec,
        st.lists(st.sampled_from(["10.0.0.2", "10.0.0.2:53", "::1", "[fd00::1]:53"])).map(tuple),
        durations,
    ),
    policies=st.lists(st.sampled_from(["policies/", "a.yaml", "on"])).map(tuple),
    shutdown=st.builds(ShutdownSpec, durations | st.just(0.0), durations),
)


@st.composite
def documents(draw):
    found = {n: draw(tenants(n)) for n in draw(st.sets(names, max_size=3))}
    return Document(draw(proxies), found)


@given(splits)
def test_a_split_comes_back(split):
    assert parse_split(render_split(split)) == split


@given(listeners())
def test_a_listener_comes_back(listener):
    assert (
        parse_listener("acme", "web", json.loads(json.dumps(render_listener(listener)))) == listener
    )


@settings(deadline=None)
@given(upstreams())
def test_an_upstream_comes_back(upstream):
    shape = json.loads(json.dumps(render_upstream(upstream)))
    assert parse_upstream("acme", "web", shape) == upstream


def test_a_document_with_every_key_comes_back():
    document = parse_document(FULL)
    assert parse_document(to_yaml(render_document(document))) == document


def test_what_is_off_is_null_and_what_is_left_out_is_written_out():
    shape = render_upstream(UpstreamSpec("a", "b", (EndpointSpec("h", 1),)))
    assert shape == {
        "endpoints": ["h:1"],
        "discovery": None,
        "balance": "round_robin",
        "slow_start": "0s",
        "panic": "50%",
        "connect": {"timeout": "5s", "tries": 3, "first_byte": None, "retry_budget": "20%"},
        "health": None,
        "outlier": {
            "consecutive_failures": 5,
            "eject_for": "30s",
            "eject_for_most": "5m",
            "max_ejected": "10%",
        },
        "max_connections": None,
        "queue": None,
        "warm": 0,
        "send_proxy": None,
        "tls": None,
    }
    found = render_upstream(
        UpstreamSpec("a", "b", discovery=Discovery("dns", "web", 80), outlier=None)
    )
    assert (found["endpoints"], found["discovery"]) == (None, {"dns": "web:80"})
    assert found["outlier"] is None


def test_codes_are_shown_as_people_write_them():
    assert render_codes(((200, 399),)) == "200-399"
    assert render_codes(((204, 204),)) == 204
    assert render_codes(((200, 200), (301, 302))) == [200, "301-302"]


@settings(max_examples=50, deadline=None)
@given(tenants("acme"))
def test_a_tenant_comes_back(tenant):
    assert parse_tenant("acme", render_tenant(tenant)) == tenant


@settings(max_examples=40, deadline=None)
@given(documents().filter(lambda document: not check_document(document)))
def test_a_document_comes_back_as_yaml_and_as_json(document):
    shape = render_document(document)
    assert parse_document(to_yaml(shape)) == document
    assert parse_document(json.dumps(shape)) == document


policies = st.builds(
    PolicySpec,
    name=names,
    kind=st.just("idle"),
    after_s=durations,
    then=st.sampled_from(["sleep", "close", "never"]),
    match=st.builds(
        PolicyMatch,
        st.lists(st.sampled_from(["*", "a-?", "on"])).map(tuple),
        st.lists(st.sampled_from(["*", "web*"])).map(tuple),
        labels,
    ),
    dry_run=st.booleans(),
)


@given(policies)
def test_a_policy_comes_back(policy):
    assert parse_policies(json.dumps(render_policy(policy))) == (policy,)


def test_durations_are_shown_as_people_write_them():
    listener = ListenerSpec("a", "b", (SplitMember("u", 1),), idle=IdleRule(900.0, "sleep"))
    assert render_listener(listener) == {
        "port": None,
        "protocol": "tcp",
        "open": "on_demand",
        "split": {"u": 1},
        "sticky": None,
        "fallback": False,
        "idle": {"after": "15m", "then": "sleep"},
        "idle_timeout": "1h",
        "wake": {"hold": 10_000, "timeout": "30s", "after_first_bytes": False},
        "drain": "10m",
        "rollout": None,
    }


@example("\x85")  # a line break to YAML 1.1, which a reader folds into a blank
@example("PING\r\n")
@given(st.text(max_size=8) | st.text("0123456789eonyf.:_-+xX ", max_size=6))
def test_any_text_comes_back_from_yaml(text):
    tree = parse_tree(to_yaml({"a": [text, text]}))
    assert tree.value == {"a": [text, text]}
    assert tree.problems == []
    assert yaml.safe_load(to_yaml([text])) == [text]
