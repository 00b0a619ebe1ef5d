"""Rendering: what is shown can be put back and is the same."""

import json
import string

import yaml
from hypothesis import given, settings
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
    Document,
    EndpointSpec,
    IdleRule,
    ListenerSpec,
    MetricsSpec,
    PolicyMatch,
    PolicySpec,
    ProxySpec,
    ShutdownSpec,
    SplitMember,
    TenantSpec,
    UpstreamSpec,
    WakeRule,
)

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
idle_rules = st.builds(IdleRule, durations, st.sampled_from(["sleep", "close", "never"]))


def upstreams(tenant="acme", name="web"):
    return st.builds(
        UpstreamSpec,
        tenant=st.just(tenant),
        name=st.just(name),
        endpoints=endpoints,
        balance=st.sampled_from(["round_robin", "least_connections"]),
        connect_timeout_s=durations,
        connect_tries=st.integers(1, 16),
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


@given(upstreams())
def test_an_upstream_comes_back(upstream):
    assert parse_upstream("acme", "web", render_upstream(upstream)) == upstream


@given(tenants("acme"))
def test_a_tenant_comes_back(tenant):
    assert parse_tenant("acme", render_tenant(tenant)) == tenant


@settings(max_examples=40)
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
        "idle": {"after": "15m", "then": "sleep"},
        "idle_timeout": "1h",
        "wake": {"hold": 10_000, "timeout": "30s", "after_first_bytes": False},
        "drain": "10m",
    }


@given(st.text(max_size=8) | st.text("0123456789eonyf.:_-+xX ", max_size=6))
def test_any_text_comes_back_from_yaml(text):
    if not text.isprintable():
        return
    tree = parse_tree(to_yaml({"a": [text, text]}))
    assert tree.value == {"a": [text, text]}
    assert tree.problems == []
    assert yaml.safe_load(to_yaml([text])) == [text]
