"""The engine: which rule decides, and that it never decides too early."""

from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.model.lifecycle import State
from tenantproxy.model.spec import IdleRule, ListenerKey, PolicyMatch, PolicySpec
from tenantproxy.policy.api import NOTHING, ListenerSignals
from tenantproxy.policy.engine import Engine

KEY = ListenerKey("acme", "web")


def policy(name="p", after_s=900.0, then="sleep", dry_run=False, **match):
    return PolicySpec(name, "idle", after_s, then, PolicyMatch(**match), dry_run)


def signals(**changes):
    known = {
        "key": KEY,
        "labels": {},
        "own": None,
        "state": State.OPEN,
        "connections": 0,
        "last_activity_s": 1000.0,
    }
    return ListenerSignals(**{**known, **changes})


def test_without_a_policy_nothing_is_judged():
    assert Engine([]).judge(signals(), 1e9) == NOTHING
    assert Engine([]).rule_for(KEY, {}, None) is None


def test_the_first_policy_that_matches_decides():
    engine = Engine(
        [policy("other", tenants=("b*",)), policy("first", 60.0), policy("second", 1.0)]
    )
    assert engine.rule_for(KEY, {}, None) == ("first", IdleRule(60.0, "sleep"))
    verdict = engine.judge(signals(), 1060.0).verdict
    assert verdict is not None
    assert verdict.policy == "first"


def test_the_rule_of_the_listener_itself_wins():
    own = IdleRule(5.0, "close")
    engine = Engine([policy()])
    assert engine.rule_for(KEY, {}, own) == ("listener", own)
    verdict = engine.judge(signals(own=own), 1005.0).verdict
    assert verdict is not None
    assert (verdict.policy, verdict.action, verdict.dry_run) == ("listener", "close", False)


def test_the_own_rule_protects_from_policies():
    own = IdleRule(5.0, "never")
    assert Engine([policy()]).judge(signals(own=own), 1e9) == NOTHING


def test_a_policy_that_says_never_protects_from_those_after_it():
    engine = Engine([policy("keep", then="never", labels={"tier": "gold"}), policy()])
    assert engine.judge(signals(labels={"tier": "gold"}), 1e9) == NOTHING
    assert engine.judge(signals(labels={"tier": "free"}), 1e9).verdict is not None


def test_a_dry_run_does_not_pass_on_to_the_next_policy():
    engine = Engine([policy("dry", dry_run=True), policy("wet")])
    verdict = engine.judge(signals(), 1e9).verdict
    assert verdict is not None
    assert (verdict.policy, verdict.dry_run) == ("dry", True)


all_signals = st.builds(
    signals,
    own=st.none()
    | st.builds(IdleRule, st.floats(0.001, 1e6), st.sampled_from(["sleep", "close", "never"])),
    state=st.sampled_from(State) | st.just(State.OPEN),
    connections=st.sampled_from([0, 0, 0, 1, 5]),
    last_activity_s=st.floats(0, 1e6),
    labels=st.sampled_from([{}, {"tier": "gold"}]),
)
all_policies = st.lists(
    st.builds(
        policy,
        name=st.text("ab", min_size=1),
        after_s=st.floats(0.001, 1e6),
        then=st.sampled_from(["sleep", "close", "never"]),
        dry_run=st.booleans(),
        tenants=st.sampled_from([("*",), ("acme",), ("other",), ()]),
        labels=st.sampled_from([{}, {"tier": "gold"}]),
    ),
    max_size=4,
)


@given(all_signals, all_policies, st.floats(0, 3e6))
def test_no_verdict_before_its_time_nor_over_a_living_connection(seen, policies, now_s):
    engine = Engine(policies)
    rule = engine.rule_for(seen.key, seen.labels, seen.own)
    judgement = engine.judge(seen, now_s)
    due = (
        rule is not None
        and rule[1].then != "never"
        and seen.state is State.OPEN
        and seen.connections == 0
        and now_s >= seen.last_activity_s + rule[1].after_s
    )
    assert (judgement.verdict is not None) == due
    if judgement.verdict is not None and rule is not None:
        assert (judgement.verdict.policy, judgement.verdict.action) == (rule[0], rule[1].then)
        assert now_s - seen.last_activity_s >= rule[1].after_s * (1 - 1e-9)


@given(all_signals, all_policies, st.floats(0, 2e6))
def test_the_time_to_look_again_lies_ahead_and_is_the_first_that_matters(seen, policies, now_s):
    """Asked at that time, an idle listener gets its verdict: the wait neither spins nor forgets."""
    engine = Engine(policies)
    judgement = engine.judge(seen, now_s)
    again_s = judgement.look_again_at_s
    if again_s is None:
        assert judgement == NOTHING
        return
    assert again_s > now_s
    if judgement.verdict is None and not seen.connections:
        assert engine.judge(seen, again_s).verdict is not None
