"""Upstreams: what is refused where, and what the document says to do instead."""

import pytest

from tenantproxy.config.document import parse_upstream
from tenantproxy.errors import DocumentError, NotSupportedYet
from tenantproxy.model.spec import Discovery, EndpointSpec, QueueRule, TlsRule, UpstreamSpec

LISTED = {"endpoints": ["10.0.0.1:80"]}
FOUND = {"discovery": {"dns": "web:80"}}


def refusal(body):
    with pytest.raises(DocumentError) as caught:
        parse_upstream("acme", "web", body)
    (problem,) = caught.value.problems
    return problem


# body, path, part of the message, part of the hint (None: there is none)
REFUSED = [
    ({}, "", "needs endpoints or discovery", "or `discovery: {dns: web.acme.svc:8080}`"),
    ({"endpoints": None}, "", "needs endpoints or discovery", "`endpoints: [10.0.0.1:8080]`"),
    ({"discovery": None}, "", "needs endpoints or discovery", "`endpoints: [10.0.0.1:8080]`"),
    ({**LISTED, **FOUND}, "discovery", "listed or discovered, not both", "a name among the"),
    ({"endpoints": []}, "endpoints", "needs 1 to 1024 endpoints, not 0", "[10.0.0.1:8080]"),
    ({"endpoints": ["a:1"] * 1025}, "endpoints", "1 to 1024 endpoints, not 1025", "write"),
    ({"endpoints": [None]}, "endpoints.0", "an endpoint is text, not an empty value", "write"),
    ({"discovery": {}}, "discovery", "needs dns or srv", "{srv: _web._tcp.acme.svc}"),
    ({"discovery": "web:80"}, "discovery", "needs a mapping", "keys such as dns, srv"),
    ({"discovery": {"dns": "a:1", "srv": "a"}}, "discovery.srv", "not both", "remove one"),
    ({"discovery": {"dsn": "a:1"}}, "discovery.dsn", "`dsn` is not a key", "did you mean dns?"),
    ({"discovery": {"kubernets": "a"}}, "discovery.kubernets", "is not a key", "kubernetes?"),
    ({"discovery": {"dns": "web"}}, "discovery.dns", '"web" has no port', "web:8080"),
    ({**LISTED, "balance": "leastconn"}, "balance", "round_robin, least_connections, random", ""),
    ({**LISTED, "slow_start": 5}, "slow_start", "a duration needs a unit", "write 5s"),
    ({**LISTED, "panic": 0.5}, "panic", "a share needs a percent sign", "write 50%"),
    ({**LISTED, "panic": None}, "panic", "needs a share, not an empty value", "10%"),
    ({**LISTED, "connect": {"first_byte": "0s"}}, "connect.first_byte", "longer than 0s", "5s"),
    ({**LISTED, "connect": {"tries": 17}}, "connect.tries", "from 1 to 16, not 17", None),
    ({**LISTED, "connect": {"retry_budget": "1"}}, "connect.retry_budget", "not a share", "10%"),
    ({**LISTED, "max_connections": 0}, "max_connections", "from 1 to 1000000, not 0", None),
    ({**LISTED, "queue": {"size": 1, "timeout": "1s"}}, "queue", "nobody ever waits", "add max_"),
    ({**LISTED, "max_connections": 1, "queue": {"timeout": "1s"}}, "queue", "`size`", "100"),
    ({**LISTED, "max_connections": 1, "queue": {"size": 1}}, "queue", "`timeout`", "5s"),
    ({**LISTED, "warm": 1001}, "warm", "from 0 to 1000, not 1001", None),
    ({**LISTED, "send_proxy": "v3"}, "send_proxy", 'needs v1 or v2, not the text "v3"', ""),
    ({**LISTED, "send_proxy": 2}, "send_proxy", "needs v1 or v2, not the number 2", "mean v2?"),
    ({**LISTED, "tls": True}, "tls", "needs a mapping, not true", "server_name"),
    ({**LISTED, "tls": {"key_file": "k"}}, "tls.key_file", "without its cert", "add cert_file"),
    ({**LISTED, "tls": {"server_name": "10.0.0.1"}}, "tls.server_name", "is an address", "leave"),
    ({**LISTED, "tls": {"verify": "no"}}, "tls.verify", "needs true or false", "unquoted"),
    ({**LISTED, "tls": {"ca_file": ""}}, "tls.ca_file", "a path is empty", "/etc/tenantproxy/ca"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "path", "message", "hint"), REFUSED)
def test_what_cannot_be_is_refused_with_a_way_out(body, path, message, hint):
    problem = refusal(body)
    assert problem.path == path
    assert message in problem.message
    if hint is None:
        assert problem.hint is None
    else:
        assert hint in (problem.hint or "")


def test_kubernetes_is_known_and_comes_later():
    with pytest.raises(NotSupportedYet, match="finding endpoints in Kubernetes"):
        parse_upstream("acme", "web", {"discovery": {"kubernetes": "ns/service:80"}})


def test_several_problems_of_an_upstream_come_at_once():
    with pytest.raises(DocumentError) as caught:
        parse_upstream("acme", "web", {**LISTED, "panic": 1, "warm": -1, "health": {}})
    assert [p.path for p in caught.value.problems] == ["panic", "health", "warm"]


@pytest.mark.parametrize(
    ("keys", "spec"),
    [
        ({"warm": None}, {}),
        ({"slow_start": "0s", "panic": "0%"}, {"panic_below": 0.0}),
        ({"panic": "33.33%"}, {"panic_below": 0.3333}),
        ({"tls": {}}, {"tls": TlsRule()}),
        ({"tls": {"verify": False}}, {"tls": TlsRule(verify=False)}),
        ({"tls": {"cert_file": "both.pem"}}, {"tls": TlsRule(cert_file="both.pem")}),
        ({"max_connections": 1_000_000}, {"max_connections": 1_000_000}),
        (
            {"max_connections": 1, "queue": {"size": 1, "timeout": "1ms"}},
            {"max_connections": 1, "queue": QueueRule(1, 0.001)},
        ),
        ({"connect": {"first_byte": None}}, {}),
    ],
)  # fmt: skip
def test_what_is_given_becomes_a_value(keys, spec):
    expected = UpstreamSpec("acme", "web", (EndpointSpec("10.0.0.1", 80),), **spec)
    assert parse_upstream("acme", "web", {**LISTED, **keys}) == expected


def test_discovery_stands_in_place_of_endpoints():
    found = parse_upstream("acme", "web", {**FOUND, "endpoints": None})
    assert found == UpstreamSpec("acme", "web", discovery=Discovery("dns", "web", 80))
