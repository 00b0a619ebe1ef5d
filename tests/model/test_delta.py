"""What differs, and how it is said."""

from dataclasses import replace

from tenantproxy.model.delta import Change, changes, delta, summary
from tenantproxy.model.spec import (
    EndpointSpec,
    HealthRule,
    HttpCheck,
    ListenerSpec,
    SplitMember,
    TenantSpec,
    TlsRule,
    UpstreamSpec,
)

WEB = ListenerSpec("acme", "web", (SplitMember("v1", 1),))
V1 = UpstreamSpec("acme", "v1", (EndpointSpec("127.0.0.1", 1),))
ACME = TenantSpec("acme", {}, {"v1": V1}, {"web": WEB})


def test_equal_states_differ_in_nothing():
    assert not delta({"acme": ACME}, {"acme": replace(ACME)})
    assert summary([]) == "no change"


def test_a_new_tenant_brings_everything_in_it():
    lines = changes(delta({}, {"acme": ACME}))
    assert [(c.op, c.kind, c.name) for c in lines] == [
        ("add", "listener", "acme/web"),
        ("add", "tenant", "acme"),
        ("add", "upstream", "acme/v1"),
    ]
    assert summary(lines) == "+1 listener, +1 tenant, +1 upstream"


def test_a_change_of_weights_alone_is_called_a_split():
    new = replace(WEB, split=(SplitMember("v1", 9),))
    found = delta({"acme": ACME}, {"acme": replace(ACME, listeners={"web": new})})
    assert changes(found) == [Change("change", "split", "acme/web", "v1=1", "v1=9")]


def test_a_change_names_the_fields_that_differ_and_no_others():
    new = replace(WEB, drain_s=5.0, port=20_001)
    found = delta({"acme": ACME}, {"acme": replace(ACME, listeners={"web": new})})
    [line] = changes(found)
    assert line.before == "port=None, drain_s=600.0"
    assert line.after == "port=20001, drain_s=5.0"


def test_of_a_rule_is_said_what_is_not_as_by_default():
    health = HealthRule(http=HttpCheck("/healthz", expect=((200, 204),)), every_s=1.0)
    new = replace(V1, endpoints=(EndpointSpec("127.0.0.1", 1, 3),), health=health, tls=TlsRule())
    found = delta({"acme": ACME}, {"acme": replace(ACME, upstreams={"v1": new})})
    [line] = changes(found)
    assert line.before == "endpoints=127.0.0.1:1, health=None, tls=None"
    assert line.after == (
        "endpoints=127.0.0.1:1 (weight 3),"
        " health=(http=(path=/healthz, expect=200-204), every_s=1.0), tls=(on)"
    )


def test_what_goes_is_a_removal():
    lines = changes(delta({"acme": ACME}, {}))
    assert {c.op for c in lines} == {"remove"}
