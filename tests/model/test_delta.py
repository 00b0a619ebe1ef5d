"""What differs, and how it is said."""

from dataclasses import replace

from tenantproxy.model.delta import Change, changes, delta, summary
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


PLAN = RolloutSpec(
    "v1", "v2", (Step("weight", 5), Step("weight", 25, 120.0), Step("pause"), Step("weight", 50))
)
SAID = "v1 -> v2: 5% 25% pause 50%"


def said(before, after):
    found = delta(
        {"acme": replace(ACME, listeners={"web": before})},
        {"acme": replace(ACME, listeners={"web": after})},
    )
    return changes(found)


def test_a_rollout_that_comes_goes_or_differs_has_a_line_of_its_own():
    with_it = replace(WEB, rollout=PLAN)
    assert said(WEB, with_it) == [Change("add", "rollout", "acme/web", "", SAID)]
    assert said(with_it, WEB) == [Change("remove", "rollout", "acme/web", SAID, "")]
    explores = replace(PLAN, steps=(Step("experiment"), Step("weight", 5)), canary="v3")
    assert said(with_it, replace(WEB, rollout=explores)) == [
        Change("change", "rollout", "acme/web", SAID, "v1 -> v3: experiment 5%")
    ]
    assert summary(said(WEB, with_it)) == "+1 rollout"


def test_holds_are_said_when_nothing_else_of_the_steps_differs():
    other = replace(PLAN, steps=(Step("weight", 5, 1.5), *PLAN.steps[1:]))
    [line] = said(replace(WEB, rollout=PLAN), replace(WEB, rollout=other))
    assert line.before == "v1 -> v2: 5% 25%(120s) pause 50%"
    assert line.after == "v1 -> v2: 5%(1.5s) 25%(120s) pause 50%"


def test_what_else_differs_of_a_rollout_is_named():
    check = SignalCheck("resets", "resets", max=0.01)
    other = replace(PLAN, deadline_s=5.0, analysis=Analysis(signals=(check,)))
    [line] = said(replace(WEB, rollout=PLAN), replace(WEB, rollout=other))
    assert line.before == f"{SAID}, analysis=(default), deadline_s=600.0"
    assert line.after == (
        f"{SAID}, analysis=(signals=(name=resets, signal=resets, max=0.01)), deadline_s=5.0"
    )


def test_what_a_url_has_behind_its_question_mark_is_not_said():
    judge = OutsideCheck("qa", "webhook", url="http://qa.acme.svc/check?token=abc")
    gates = Gates(before_start=Gate("http://qa.acme.svc/may-start?token=abc"))
    other = replace(PLAN, analysis=Analysis(outside=(judge,)), gates=gates)
    [line] = said(replace(WEB, rollout=PLAN), replace(WEB, rollout=other))
    assert "url=http://qa.acme.svc/check?..." in line.after
    assert "url=http://qa.acme.svc/may-start?..." in line.after
    assert "abc" not in line.after


def test_split_and_rollout_together_are_two_lines():
    new = replace(WEB, rollout=PLAN, split=(SplitMember("v1", 9),))
    assert [(c.op, c.kind) for c in said(WEB, new)] == [("add", "rollout"), ("change", "split")]
    more = replace(new, drain_s=1.0)
    assert [(c.op, c.kind) for c in said(WEB, more)] == [("change", "listener"), ("add", "rollout")]
    assert "rollout" not in said(WEB, more)[0].after


def test_what_is_derived_is_never_said():
    derived = replace(WEB, salt="x", preview_of="other")
    assert said(WEB, derived) == []
    [line] = said(WEB, replace(derived, drain_s=5.0))
    assert (line.before, line.after) == ("drain_s=600.0", "drain_s=5.0")


def test_what_goes_is_a_removal():
    lines = changes(delta({"acme": ACME}, {}))
    assert {c.op for c in lines} == {"remove"}
