"""The idle kind: what it says, and when it wants to be asked again."""

import pytest

from tenantproxy.model.lifecycle import State
from tenantproxy.model.spec import IdleRule, ListenerKey, PolicySpec
from tenantproxy.policy.api import NOTHING, Judgement, ListenerSignals
from tenantproxy.policy.kinds.idle import Idle


def signals(**changes):
    known = {"state": State.OPEN, "connections": 0, "last_activity_s": 1000.0, **changes}
    return ListenerSignals(ListenerKey("acme", "web"), {}, None, **known)


def test_an_idle_port_gets_a_verdict_with_what_was_seen():
    judgement = Idle("nap", IdleRule(900.0, "sleep")).judge(signals(), 1900.25)
    verdict = judgement.verdict
    assert verdict is not None
    assert (verdict.key, verdict.policy, verdict.action) == (("acme", "web"), "nap", "sleep")
    assert verdict.reason == "idle for 900 s, policy nap says sleep after 900 s"
    assert verdict.values == {"idle_s": 900.25, "after_s": 900.0, "connections": 0}
    assert verdict.dry_run is False


def test_the_rule_of_the_listener_is_called_its_own():
    verdict = Idle("listener", IdleRule(5.0, "close")).judge(signals(), 2000.0).verdict
    assert verdict is not None
    assert "its own rule says close" in verdict.reason


def test_before_the_time_it_asks_for_another_look_when_it_is_due():
    assert Idle("p", IdleRule(900.0, "sleep")).judge(signals(), 1899.9) == Judgement(None, 1900.0)


def test_an_open_connection_is_activity_however_silent():
    idle = Idle("p", IdleRule(900.0, "sleep"))
    assert idle.judge(signals(connections=1), 9000.0) == Judgement(None, 9900.0)


@pytest.mark.parametrize("state", [s for s in State if s is not State.OPEN])
def test_only_an_open_port_is_judged(state):
    assert Idle("p", IdleRule(1.0, "close")).judge(signals(state=state), 1e9) == NOTHING


def test_never_is_not_asked_again():
    assert Idle("p", IdleRule(1.0, "never")).judge(signals(), 1e9) == NOTHING


@pytest.mark.parametrize("dry_run", [True, False])
def test_after_a_verdict_it_is_asked_again_after_the_same_time(dry_run):
    """A dry run repeats itself at that pace; a sleep that failed is tried again."""
    idle = Idle.of(PolicySpec("p", "idle", 900.0, "sleep", dry_run=dry_run))
    judgement = idle.judge(signals(), 5000.0)
    assert judgement.verdict is not None
    assert judgement.verdict.dry_run is dry_run
    assert judgement.look_again_at_s == 5900.0
