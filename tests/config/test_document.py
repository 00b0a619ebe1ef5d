"""The document: what is accepted, and every way to be refused with its place."""

# ruff: noqa: E501 - a table reads best with one case a line

import textwrap

import pytest

from tenantproxy.config.document import (
    parse_document,
    parse_listener,
    parse_split,
    parse_tenant,
    parse_upstream,
)
from tenantproxy.errors import DocumentError, NotSupportedYet
from tenantproxy.model.rollout_spec import (
    Analysis,
    Gate,
    Gates,
    OutsideCheck,
    RolloutSpec,
    SignalCheck,
    Step,
)
from tenantproxy.model.spec import (
    DEFAULT_WAKE,
    AdminSpec,
    Discovery,
    DnsSpec,
    EndpointSpec,
    HealthRule,
    HttpCheck,
    IdleRule,
    ListenerSpec,
    MetricsSpec,
    OutlierRule,
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

FULL = r"""
version: 1
proxy:
  workers: 2
  listen_address: "::"
  port_range: 20000-20010
  relay: kernel
  accept: reuseport
  admin: {address: 0.0.0.0, port: 9900, token_file: /run/token}
  metrics: {address: 127.0.0.1, port: 9901}
  database: null
  dns: {servers: ["10.0.0.2", "10.0.0.3:5353", "[fd00::1]:53"], timeout: 3s}
  rollout_commands: true
  policies: [policies/, more.yaml]
  shutdown: {keep_accepting: 1s, drain: 2m}
tenants:
  acme:
    labels: {team: payments, "on": "yes"}
    limits: null
    upstreams:
      web-v1:
        endpoints: [10.0.0.1:8080, {address: "10.0.0.2:8080", weight: 2}, "[fd00::1]:80"]
        discovery: null
        balance: least_connections
        slow_start: 30s
        panic: 12.5%
        connect: {timeout: 500ms, tries: 2, first_byte: 10s, retry_budget: 5%}
        health: {http: {path: /healthz, host: web, expect: [200, 301-302]}, every: 1s, timeout: 500ms, fall: 2, rise: 1, jitter: 20%, port: 9}
        outlier: {consecutive_failures: 3, eject_for: 10s, eject_for_most: 60s, max_ejected: 20%}
        max_connections: 1000
        queue: {size: 100, timeout: 5s}
        warm: 2
        send_proxy: v2
        tls: {server_name: web.acme.svc, ca_file: ca.pem, cert_file: us.pem, key_file: us.key, verify: false}
      web-v2: {endpoints: ["web.acme.svc:8080"]}
      plain:
        endpoints: [10.0.0.9:1]
        discovery: null
        health: null
        outlier: null
        max_connections: null
        queue: null
        warm: null
        send_proxy: null
        tls: null
      named: {discovery: {dns: "web.acme.svc:8080"}, endpoints: null, health: {tcp: {send: "PING\r\n", expect: "+PONG"}}, tls: {}}
      records: {discovery: {srv: _web._tcp.acme.svc}, health: {tcp: {}}}
    listeners:
      web:
        port: 20001
        protocol: tcp
        open: always
        split: {web-v1: 95, web-v2: 0}
        sticky: source_ip
        canary_match: null
        mirror: null
        limits: null
        idle: {after: 15m, then: sleep}
        idle_timeout: 2h
        wake: {hold: 5, timeout: 20s, after_first_bytes: true}
        drain: 0s
        accept_proxy: null
        tls: null
        rollout:
          from: web-v1
          to: web-v2
          start: manual
          preview: 20002
          steps:
            - {experiment: true, hold: 5m}
            - {weight: 5, hold: 2m}
            - {pause: true}
            - {weight: 50}
          analysis:
            every: 10s
            min_samples: 30
            failures_allowed: 0
            inconclusive_allowed: 2
            checks:
              - {signal: connect_failures, max: 1%}
              - {signal: early_closes, over_stable: 2%, under: 500ms, dry_run: true}
              - {signal: first_byte_p99, max: 250ms, over_stable: 150%, name: slow}
              - {signal: bytes_out_p50, max: 64KiB}
              - {signal: duration_shape, over_stable: 30%}
              - {prometheus: {url: "http://prometheus:9090", query: 'errors{job="{{canary}}"}', max: 0.01, min: -1, timeout: 5s}, name: errors, dry_run: true}
              - {webhook: {url: "https://qa/check?x=1", timeout: 3s}}
              - {command: {run: [/bin/judge, --fast], timeout: 2s}, name: judge}
          gates:
            before_start: {url: "http://qa/start", timeout: 1s}
            before_step: {url: "http://qa/step"}
            before_promotion: {url: "http://qa/promotion"}
            after_end: {url: "http://qa/end"}
          no_traffic: pass
          on_failure: pause
          canary_connections: drain
          deadline: 300s
          rollback_window: 2h
          rebalance: 5%/m
          dry_run: true
        fallback: true
      auto: {split: {web-v1: 1}, port: null, idle: null, sticky: null, fallback: false, rollout: null}
  empty:
"""


ROLLOUT = RolloutSpec(
    stable="web-v1",
    canary="web-v2",
    steps=(
        Step("experiment", hold_s=300.0),
        Step("weight", 5, 120.0),
        Step("pause"),
        Step("weight", 50),
    ),
    start="manual",
    preview=20002,
    analysis=Analysis(
        every_s=10.0,
        min_samples=30,
        failures_allowed=0,
        inconclusive_allowed=2,
        signals=(
            SignalCheck("connect_failures", "connect_failures", max=0.01),
            SignalCheck(
                "early_closes", "early_closes", over_stable=0.02, under_s=0.5, dry_run=True
            ),
            SignalCheck("slow", "first_byte", 0.99, 0.25, 1.5),
            SignalCheck("bytes_out_p50", "bytes_out", 0.5, 65_536.0),
            SignalCheck("duration_shape", "duration", over_stable=0.3),
        ),
        outside=(
            OutsideCheck(
                "errors",
                "prometheus",
                "http://prometheus:9090",
                'errors{job="{{canary}}"}',
                max=0.01,
                min=-1.0,
                timeout_s=5.0,
                dry_run=True,
            ),
            OutsideCheck("webhook", "webhook", "https://qa/check?x=1", timeout_s=3.0),
            OutsideCheck("judge", "command", run=("/bin/judge", "--fast"), timeout_s=2.0),
        ),
    ),
    gates=Gates(
        Gate("http://qa/start", 1.0),
        Gate("http://qa/step"),
        Gate("http://qa/promotion"),
        Gate("http://qa/end"),
    ),
    no_traffic="pass",
    on_failure="pause",
    canary_connections="drain",
    deadline_s=300.0,
    rollback_window_s=7200.0,
    rebalance_per_s=0.05 / 60,
    dry_run=True,
)


def test_a_document_with_every_key_becomes_values():
    document = parse_document(FULL)
    assert document.proxy == ProxySpec(
        workers=2,
        listen_address="::",
        port_range=(20000, 20010),
        accept="reuseport",
        relay="kernel",
        admin=AdminSpec("0.0.0.0", 9900, "/run/token"),
        metrics=MetricsSpec("127.0.0.1", 9901),
        dns=DnsSpec(("10.0.0.2", "10.0.0.3:5353", "[fd00::1]:53"), 3.0),
        rollout_commands=True,
        policies=("policies/", "more.yaml"),
        shutdown=ShutdownSpec(1.0, 120.0),
    )
    assert document.tenants["empty"] == TenantSpec("empty")
    acme = document.tenants["acme"]
    assert acme.labels == {"team": "payments", "on": "yes"}
    assert acme.upstreams["web-v1"] == UpstreamSpec(
        "acme",
        "web-v1",
        (
            EndpointSpec("10.0.0.1", 8080),
            EndpointSpec("10.0.0.2", 8080, 2),
            EndpointSpec("fd00::1", 80),
        ),
        "least_connections",
        connect_timeout_s=0.5,
        connect_tries=2,
        retry_budget=0.05,
        first_byte_timeout_s=10.0,
        slow_start_s=30.0,
        panic_below=0.125,
        health=HealthRule(
            http=HttpCheck("/healthz", "web", ((200, 200), (301, 302))),
            every_s=1.0,
            timeout_s=0.5,
            fall=2,
            rise=1,
            jitter=0.2,
            port=9,
        ),
        outlier=OutlierRule(3, 10.0, 60.0, 0.2),
        max_connections=1000,
        queue=QueueRule(100, 5.0),
        warm=2,
        send_proxy="v2",
        tls=TlsRule("web.acme.svc", "ca.pem", "us.pem", "us.key", verify=False),
    )
    assert acme.upstreams["plain"] == UpstreamSpec(
        "acme", "plain", (EndpointSpec("10.0.0.9", 1),), outlier=None
    )
    assert acme.upstreams["named"] == UpstreamSpec(
        "acme",
        "named",
        discovery=Discovery("dns", "web.acme.svc", 8080),
        health=HealthRule(tcp=TcpCheck(b"PING\r\n", b"+PONG")),
        tls=TlsRule(),
    )
    assert acme.upstreams["records"] == UpstreamSpec(
        "acme",
        "records",
        discovery=Discovery("srv", "_web._tcp.acme.svc"),
        health=HealthRule(tcp=TcpCheck()),
    )
    assert acme.listeners["web"] == ListenerSpec(
        tenant="acme",
        name="web",
        split=(SplitMember("web-v1", 95), SplitMember("web-v2", 0)),
        port=20001,
        open="always",
        idle=IdleRule(900.0, "sleep"),
        idle_timeout_s=7200.0,
        wake=WakeRule(5, 20.0, True),
        drain_s=0.0,
        sticky="source_ip",
        fallback=True,
        rollout=ROLLOUT,
    )
    auto = acme.listeners["auto"]
    assert (auto.sticky, auto.fallback) == (None, False)


def test_the_document_with_every_key_leaves_no_field_at_its_default():
    """A key that comes later fails here until it stands there, and so is read, sent and rendered."""
    document = parse_document(FULL)
    tenant = document.tenants["acme"]
    rollout = tenant.listeners["web"].rollout
    assert rollout is not None
    analysis = rollout.analysis
    made = {
        UpstreamSpec("", ""): tenant.upstreams.values(),
        ListenerSpec("", "", ()): tenant.listeners.values(),
        ProxySpec(): [document.proxy],
        RolloutSpec("", "", ()): [rollout],
        Step("pause"): rollout.steps,
        Analysis(): [analysis],
        SignalCheck("", "resets"): analysis.signals,
        OutsideCheck("", "webhook"): analysis.outside,
        Gates(): [rollout.gates],
        Gate(""): [rollout.gates.before_start],
    }
    for one, all_of_it in made.items():
        for name in type(one).__slots__:
            if (type(one), name) not in {(ListenerSpec, "salt"), (ListenerSpec, "preview_of")}:
                assert any(getattr(other, name) != getattr(one, name) for other in all_of_it), name


def test_no_document_names_what_is_derived():
    for name in ("salt", "preview_of"):
        with pytest.raises(DocumentError, match=f"`{name}` is not a key"):
            parse_document(listener(f"{{split: {{web: 1}}, {name}: x}}"))


def test_what_is_left_out_has_the_default_of_the_values():
    document = parse_document(
        "version: 1\ntenants: {a: {upstreams: {u: {endpoints: [u:1]}}, listeners: {l: {split: {u: 1}}}}}"
    )
    assert document.proxy == ProxySpec()
    tenant = document.tenants["a"]
    assert tenant.upstreams["u"] == UpstreamSpec("a", "u", (EndpointSpec("u", 1),))
    assert tenant.listeners["l"] == ListenerSpec("a", "l", (SplitMember("u", 1),))
    assert tenant.listeners["l"].wake is DEFAULT_WAKE


@pytest.mark.parametrize("rest", ["", "tenants:\nproxy:\n", "tenants: {}\nproxy: {}\n"])
def test_a_document_may_have_no_tenants(rest):
    assert parse_document("version: 1\n" + rest).tenants == {}


def test_json_is_a_document_too():
    assert parse_document('{"version": 1, "tenants": {"a": {"labels": {"x": "on"}}}}').tenants["a"]


HEAD = """\
version: 1
proxy: {port_range: 20000-20009}
tenants:
  acme:
    upstreams:
      web: {endpoints: ["10.0.0.1:80"]}
    listeners:
"""


def listener(text):
    return HEAD + f"      a: {text}\n"


def upstream(text):
    return f"version: 1\ntenants:\n  acme:\n    upstreams:\n      web: {text}\n"


def rollout(text):
    """Put a line into a rollout; it replaces that of the same key."""
    lines = {"from": "old", "to": "new", "steps": "[{weight: 5}]"}
    lines.pop(text.partition(":")[0], None)
    head = (
        "version: 1\ntenants:\n  acme:\n    upstreams:\n      old: {endpoints: ['a:1']}\n"
        "      new: {endpoints: ['b:1']}\n    listeners:\n      a:\n        port: 20001\n"
        "        split: {old: 1}\n        rollout: {\n"
    )
    rest = "".join(f",\n         {key}: {value}" for key, value in lines.items())
    return f"{head}         {text}{rest}}}\n"


def proxy(text):
    return f"version: 1\nproxy:\n  {text}\n"


# text, line, column, part of `path: message (hint)`
BROKEN = [
    ("", 1, 1, "the document is empty (start with the line `version: 1`"),
    ("- a\n", 1, 1, "needs to be a mapping, not a list"),
    ("hello\n", 1, 1, 'not the text "hello"'),
    ("tenants: {}\n", 1, 1, "`version` is missing (add for example `version: 1`)"),
    ("version: 2\n", 1, 10, "version: the number 2 is not a version this program reads"),
    ('version: "1"\n', 1, 10, "write version: 1"),
    ("version: true\n", 1, 10, "true is not a version"),
    ("version: 1\nversion: 1\n", 2, 1, "a second time; the first is on line 1"),
    ("version: 1\ntenant: {}\n", 2, 1, "`tenant` is not a key that is known here (did you mean tenants?)"),
    ("version: 1\nxyz: {}\n", 2, 1, "known keys: proxy, tenants, version"),
    ("version: 1\ntenants: [acme]\n", 2, 10, "tenants: needs a mapping, not a list"),
    ("version: 1\ntenants:\n  Acme_1: {}\n", 3, 3, '"Acme_1" is not a name (1 to 63 of a-z'),
    ("version: 1\ntenants:\n  Acme_1: {}\n", 3, 3, "write for example acme-1"),
    ("version: 1\ntenants:\n  -a: {}\n", 3, 3, "with no - at either end"),
    ("version: 1\ntenants:\n  no: {}\n", 3, 3, "the key no is a word for false"),
    ("version: 1\ntenants:\n  12: {}\n", 3, 3, 'put it in quotes: "12"'),
    ("version: 1\ntenants:\n  acme: 5\n", 3, 9, "needs a mapping, not the number 5"),
    ("version: 1\ntenants:\n  acme: {labels: {a: 1}}\n", 3, 22, 'the value of a label is text, not the number 1 (put it in quotes: "1")'),
    ("version: 1\ntenants:\n  acme: {labels: {a: on}}\n", 3, 22, "`on` is true to some YAML parsers"),
    ("version: 1\ntenants:\n  acme: {labels: [a]}\n", 3, 18, "needs a mapping, not a list"),
    ("version: 1\ntenants:\n  acme: {limits: {max_connections: 1}}\n", 3, 10, "`limits` is not supported yet: limits of a tenant"),
    ("version: 1\ntenants:\n\tacme: {}\n", 3, 1, "a tab is used for indentation (indent with spaces"),
    (proxy("workers: many"), 3, 12, 'needs auto or a whole number from 1 to 256, not the text "many"'),
    (proxy("workers: 0"), 3, 12, "from 1 to 256, not the number 0"),
    (proxy("workers: true"), 3, 12, "from 1 to 256, not true"),
    (proxy("workers: null"), 3, 12, "not an empty value"),
    (proxy("port_range: 20000"), 3, 15, 'needs a range of ports, not the number 20000 (write it as "20000-29999")'),
    (proxy("port_range: 20000:20"), 3, 15, "a number in base 60"),
    (proxy("port_range: 30000-20000"), 3, 15, "30000 is above 20000 (write 20000-30000)"),
    (proxy("port_range: 0-10"), 3, 15, "a port is a number from 1 to 65535"),
    (proxy("port_range: 1-70000"), 3, 15, "a port is a number from 1 to 65535"),
    (proxy("listen_address: localhost"), 3, 19, '"localhost" is not an IP address (write 127.0.0.1)'),
    (proxy("listen_address: '*'"), 3, 19, "write 0.0.0.0 for every IPv4 address"),
    (proxy("listen_address: '[::]'"), 3, 19, "without the brackets"),
    (proxy("relay: kernal"), 3, 10, 'needs pump, kernel or auto, not the text "kernal" (did you mean kernel?)'),
    (proxy("accept: share"), 3, 11, "did you mean shared?"),
    (proxy("database: sqlite:///x"), 3, 3, "`database` is not supported yet"),
    (proxy("databse: null"), 3, 3, "did you mean database?"),
    (proxy("admin: {port: 99999}"), 3, 17, "needs a whole number from 0 to 65535, not 99999"),
    (proxy("admin: {address: 0.0.0.0}"), 3, 20, "may not listen on 0.0.0.0 without a token (set proxy.admin.token_file"),
    (proxy("admin: {port: 9901}"), 3, 3, "proxy.metrics.port: port 9901 is the port of proxy.admin too"),
    (proxy("admin: {token_file: true}"), 3, 23, "a path is text, not true"),
    (proxy("policies: policies/"), 3, 13, 'needs a list, not the text "policies/" (write [one, two])'),
    (proxy("policies: [1]"), 3, 14, "proxy.policies.0: a path is text, not the number 1"),
    (proxy("dns: {servers: [dns.example]}"), 3, 19, '"dns.example" is not an IP address'),
    (proxy("dns: {servers: 10.0.0.2}"), 3, 18, "needs a list, not the text"),
    (proxy("dns: {timeout: 0s}"), 3, 18, "must be longer than 0s"),
    (proxy("shutdown: {drain: 30}"), 3, 21, "a duration needs a unit (write 30s)"),
    (upstream("{}"), 5, 12, "needs endpoints or discovery (add for example `endpoints: [10.0.0.1:8080]`"),
    (upstream("{endpoints: ['a:80'], discovery: {dns: 'a:80'}}"), 5, 34, "endpoints are listed or discovered, not both (remove"),
    (upstream("{discovery: {}}"), 5, 24, "needs dns or srv (write {dns: web.acme.svc:8080}"),
    (upstream("{discovery: {dns: 'a:80', srv: a}}"), 5, 38, "by dns or by srv, not both"),
    (upstream("{discovery: {kubernetes: a/b:1}}"), 5, 25, "`kubernetes` is not supported yet"),
    (upstream("{endpoints: []}"), 5, 24, "needs 1 to 1024 endpoints, not 0"),
    (upstream("{endpoints: 10.0.0.1:80}"), 5, 24, "needs a list, not the text"),
    (upstream("{endpoints: [8080]}"), 5, 25, "an endpoint is text, not the number 8080"),
    (upstream("{endpoints: [10.0.0.1]}"), 5, 25, '"10.0.0.1" has no port or no host (write for example'),
    (upstream("{endpoints: ['http://a:80']}"), 5, 25, "is a URL"),
    (upstream("{endpoints: ['fd00::1:80']}"), 5, 25, "needs brackets around its address (write [fd00::1]:80)"),
    (upstream("{endpoints: [10.0.0.300:80]}"), 5, 25, '"10.0.0.300" is not an IPv4 address'),
    (upstream("{endpoints: ['a:0']}"), 5, 25, "is not a number from 1 to 65535"),
    (upstream("{endpoints: ['a b:80']}"), 5, 25, "neither an IP address nor a name"),
    (upstream("{endpoints: ['a:80', 'a:80']}"), 5, 24, "the endpoint a:80 is listed twice (list it once: {address: a:80, weight: 2})"),
    (upstream("{endpoints: [{address: 'a:80', weight: 0}]}"), 5, 51, "needs a whole number from 1 to 256, not 0"),
    (upstream("{endpoints: [{address: 'a:80', wieght: 1}]}"), 5, 43, "did you mean weight?"),
    (upstream("{endpoints: ['a:80'], balance: fair}"), 5, 43, "needs round_robin, least_connections, random or source_hash, not"),
    (upstream("{endpoints: ['a:80'], health: {}}"), 5, 42, "needs tcp or http (write {tcp: {}} or"),
    (upstream("{endpoints: ['a:80'], health: {tcp: {}, http: {}}}"), 5, 52, "tcp or http, not both (remove one of the two)"),
    (upstream("{endpoints: ['a:80'], queue: {size: 1, timeout: 1s}}"), 5, 34, "without max_connections nobody ever waits (add max_connections"),
    (upstream("{endpoints: ['a:80'], tls: {key_file: k}}"), 5, 40, "a key without its certificate (add cert_file"),
    (upstream("{endpoints: ['a:80'], outlier: {eject_for: 1m, eject_for_most: 30s}}"), 5, 59, "30s is shorter than eject_for, which is 1m (write 1m or longer)"),
    (upstream("{endpoints: ['a:80'], panic: 50}"), 5, 41, "a share needs a percent sign (write 50%)"),
    (upstream("{endpoints: ['a:80'], warm: false}"), 5, 40, "needs a whole number from 0 to 1000, not false"),
    (upstream("{endpoints: ['a:80'], connect: 5s}"), 5, 43, "with keys such as timeout, tries"),
    (upstream("{endpoints: ['a:80'], connect: {timeout: 0s}}"), 5, 53, "must be longer than 0s"),
    (listener("{}"), 8, 7, "`split` is missing (add for example `split: {web: 100}`)"),
    (listener("{split: {web: 1}, port: '20001'}"), 8, 34, "not text (remove the quotes)"),
    (listener("{split: {web: 1}, port: 20001.0}"), 8, 34, "not the number 20001.0"),
    (listener("{split: {web: 1}, port: 020001}"), 8, 34, "octal"),
    (listener("{split: {web: 1}, port: 70000}"), 8, 34, "from 1 to 65535, not 70000"),
    (listener("{split: {web: 1}, port: 80}"), 8, 34, "port 80 is outside proxy.port_range 20000-20009"),
    (listener("{split: {web: 1}, drain: 600}"), 8, 35, "a duration needs a unit (write 600s)"),
    (listener("{split: {web: 1}, drain: 1h30m}"), 8, 35, "write 90m"),
    (listener("{split: {web: 1}, drain: }"), 8, 35, "needs a duration, not an empty value"),
    (listener("{split: {web: 1}, open: lazy}"), 8, 34, "needs on_demand or always"),
    (listener("{split: {web: 1}, protocol: http}"), 8, 38, '"http" is not supported yet'),
    (listener("{split: {web: 1}, idle: {then: sleep}}"), 8, 28, "`after` is missing"),
    (listener("{split: {web: 1}, idle: {after: 15m, then: nap}}"), 8, 53, "needs sleep, close or never"),
    (listener("{split: {web: 1}, wake: {after_first_bytes: yes}}"), 8, 54, "write true, or"),
    (listener("{split: {web: 1}, wake: {after_first_bytes: 1}}"), 8, 54, "needs true or false, not the number 1"),
    (listener("{split: {web: 1}, fallback: maybe}"), 8, 38, "needs true or false"),
    (listener("{split: {web: 1}, sticky: {cookie: id}}"), 8, 36, "keeping a client by its cookie is not supported yet (write source_ip"),
    (listener("{split: {web: 1}, sticky: source-ip}"), 8, 36, 'needs source_ip, not the text "source-ip" (did you mean source_ip?)'),
    (listener("{split: {web: 1}, rollout: {from: web}}"), 8, 28, "`to` is missing (add for example `to: web-v2`)"),
    (rollout("start: now"), 12, 17, "needs auto or manual"),
    (rollout("rebalance: 5%"), 12, 21, "write for example 5%/m"),
    (rollout("steps: [{weight: 5}, {weight: 4}]"), 12, 40, "rollout.steps.1.weight: weight 4 is below the 5"),
    (rollout("steps: [{weight: 5, pause: true}]"), 12, 30, "weight or pause, not both"),
    (rollout("steps: [{pause: yes}]"), 12, 26, "write true, or"),
    (rollout("steps: [{experiment: true}], preview: null"), 12, 31, "an experiment needs a preview port"),
    (rollout("analysis: {checks: [{signal: resets, max: 5}]}"), 12, 52, "a share needs a percent sign (write 5%)"),
    (rollout("analysis: {checks: [{signal: http_5xx, max: 1%}]}"), 12, 39, "it comes with HTTP ports"),
    (rollout("analysis: {checks: [{signal: resets}]}"), 12, 30, "resets needs max or over_stable"),
    (rollout("analysis: {checks: [{webhook: {url: 'http://a'}, name: a}, {webhook: {url: 'http://a'}, name: a}]}"), 12, 104, "two checks are named a (take another name)"),
    (rollout("analysis: {checks: [{command: {run: [x]}}]}"), 12, 29, "the check command runs a program, which this daemon does not allow"),
    (rollout("to: old"), 12, 10, "from and to are the same upstream"),
    (rollout("to: nwe"), 12, 10, "acme has no upstream named nwe (did you mean new?)"),
    (rollout("preview: 80"), 12, 19, "rollout.preview: port 80 is outside proxy.port_range"),
    (rollout("preview: 20001"), 12, 19, "listeners acme/a and acme/a.preview both want port 20001"),
    (listener("{split: {web: 1}, port: 20001, rollout: {from: a, to: b, steps: [{weight: 5}]}}"), 8, 50, "acme has no upstream named a"),
    (listener("{split: {wbe: 1}}"), 8, 19, "acme has no upstream named wbe (did you mean web?)"),
    (listener("{split: {web: 0}}"), 8, 18, "a split needs a weight above 0"),
    (listener("{split: {}}"), 8, 18, "a split needs a weight above 0"),
    (listener("{split: {web: -1}}"), 8, 24, "from 0 to 1000000, not -1"),
    (listener("{split: {web: 0.5}}"), 8, 24, "not the number 0.5"),
    (listener("{split: {WEB: 1}}"), 8, 19, "write for example web"),
    (listener("{split: [web]}"), 8, 18, "needs a mapping, not a list"),
    (listener("{split: {" + ", ".join(f"u{n}: 1" for n in range(17)) + "}}"), 8, 18, "at most 16 members, not 17"),
    (HEAD + "      a: {split: {web: 1}, port: 20001}\n      b: {split: {web: 1}, port: 20001}\n", 9, 34,
     "listeners acme/a and acme/b both want port 20001"),
    (HEAD + "      a: &x\n        split: *x\n", 9, 16, "the alias *x contains itself"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "column", "said"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_document_is_refused_with_place_and_way_out(text, line, column, said):
    with pytest.raises(DocumentError) as caught:
        parse_document(text, file="t.yaml")
    problems = caught.value.problems
    assert (problems[0].line, problems[0].column) == (line, column), problems
    assert said in str(problems[0])
    assert str(problems[0]).startswith(f"t.yaml:{line}:{column}: ")
    assert len(problems) == 1
    assert "Input should" not in str(problems[0])


@pytest.mark.parametrize("text", [text for text, *_ in BROKEN], ids=range(len(BROKEN)))
def test_no_error_of_a_library_gets_out(text):
    """Neither as text nor as the cause of a traceback."""
    with pytest.raises(DocumentError) as caught:
        parse_document(text)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_all_problems_come_at_once_in_the_order_of_the_text():
    text = textwrap.dedent("""\
        version: 1
        proxy:
          workers: yes
          admin: {address: 0.0.0.0}
          unknown: 1
        tenants:
          no: {}
          acme:
            upstreams:
              web: {endpoints: [10.0.0.1:8080, 10.0.0.1]}
              db: {endpoints: [10.0.0.1:8080]}
            listeners:
              a: {port: 20001, split: {web: 1, wbe: 2}, drain: 5}
              b: {port: 20002, split: {web: 1}}
              b: {port: 20003, split: {web: 1}}
              c: {port: 20002, split: {dbb: 1}}
              d: {port: 9, split: {web: 1}}
        """)
    with pytest.raises(DocumentError) as caught:
        parse_document(text, file="t.yaml")
    found = [(p.line, p.column, p.code) for p in caught.value.problems]
    assert found == [
        (3, 12, "document_invalid"),
        (4, 20, "address_refused"),
        (5, 3, "unknown_key"),
        (7, 3, "document_invalid"),
        (10, 40, "document_invalid"),
        (13, 56, "document_invalid"),
        (15, 7, "duplicate_key"),
        (16, 17, "port_clash"),
        (16, 32, "unknown_upstream"),
        (17, 17, "port_outside_range"),
    ]


def test_a_sound_part_is_not_accused_for_the_broken_one_next_to_it():
    """A split that names a broken upstream names a known one."""
    text = HEAD + "      a: {split: {web: 1, db: 1}, port: 20001}\n"
    text = text.replace("    listeners:", "      db: {endpoints: []}\n    listeners:")
    with pytest.raises(DocumentError) as caught:
        parse_document(text)
    assert [p.path for p in caught.value.problems] == ["tenants.acme.upstreams.db.endpoints"]


@pytest.mark.parametrize(
    "broken", ["port_range: x", "admin: 5", "metrics: {port: x}", "listen_address: x"]
)
def test_a_broken_proxy_accuses_no_listener(broken):
    text = (
        HEAD.replace("port_range: 20000-20009", broken)
        + "      a: {split: {web: 1}, port: 20001}\n"
    )
    with pytest.raises(DocumentError) as caught:
        parse_document(text)
    assert len(caught.value.problems) == 1


def test_a_problem_inside_an_alias_stands_where_it_is_written_once():
    text = (
        "version: 1\ntenants:\n  a:\n    upstreams: {u: {endpoints: ['u:1']}}\n    listeners:\n"
        "      one: &one {split: {u: 1}, drain: 5}\n      two: *one\n      three: {<<: *one}\n"
    )
    with pytest.raises(DocumentError) as caught:
        parse_document(text)
    assert [(p.line, p.column) for p in caught.value.problems] == [(6, 40)]


def test_only_keys_of_a_later_version_have_an_error_of_their_own():
    with pytest.raises(NotSupportedYet) as caught:
        parse_document(listener("{split: {web: 1}, tls: {}, mirror: {}}"))
    assert [p.code for p in caught.value.problems] == ["not_supported_yet"] * 2
    with pytest.raises(DocumentError) as caught:
        parse_document(listener("{split: {web: 1}, tls: {}, x: {}}"))
    assert not isinstance(caught.value, NotSupportedYet)


def test_thousands_of_problems_are_all_reported():
    body = "".join(f"  t{n}: {{listenrs: {{}}}}\n" for n in range(3000))
    with pytest.raises(DocumentError) as caught:
        parse_document("version: 1\ntenants:\n" + body)
    assert [p.line for p in caught.value.problems] == list(range(3, 3003))


# Bodies of requests


def test_objects_of_requests_are_read_alone():
    assert parse_split({"web-v1": 90, "web-v2": 10}) == (
        SplitMember("web-v1", 90),
        SplitMember("web-v2", 10),
    )
    assert parse_listener("acme", "web", {"split": {"u": 1}}) == ListenerSpec(
        "acme", "web", (SplitMember("u", 1),)
    )
    assert parse_upstream("acme", "u", {"endpoints": ["a:1"]}) == UpstreamSpec(
        "acme", "u", (EndpointSpec("a", 1),)
    )
    assert parse_tenant("acme", {"labels": {"a": ""}}) == TenantSpec("acme", {"a": ""})


@pytest.mark.parametrize(
    ("parse", "paths"),
    [
        (lambda: parse_split({"web": 0}), [""]),
        (lambda: parse_split({"web": 0.5, "B": 1}), ["web", "B"]),
        (lambda: parse_split(None), [""]),
        (lambda: parse_split([["web", 1]]), [""]),
        (lambda: parse_listener("acme", "Web", {"split": {"u": 1}}), [""]),
        (lambda: parse_listener("acme", "web", {"split": {"u": 1}, "port": "1", "x": 1}), ["port", "x"]),
        (lambda: parse_listener("acme", "web", []), [""]),
        (lambda: parse_upstream("acme", "u", {"endpoints": ["a:1", "b"]}), ["endpoints.1"]),
        (lambda: parse_upstream("acme", "u", "text"), [""]),
        (lambda: parse_tenant("a" * 64, {}), [""]),
        (lambda: parse_tenant("acme", {"listeners": {"l": {"split": {"u": 1.5}}}}), ["listeners.l.split.u"]),
        (lambda: parse_tenant("acme", {"labels": {"a": "\x00"}}), ["labels.a"]),
    ],
)  # fmt: skip
def test_problems_of_a_request_have_paths_inside_its_body(parse, paths):
    with pytest.raises(DocumentError) as caught:
        parse()
    assert [p.path for p in caught.value.problems] == paths
    assert all(p.line is None and p.file is None for p in caught.value.problems)
