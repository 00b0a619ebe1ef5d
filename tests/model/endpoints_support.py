"""Endpoints that are checked, ejected or stand somewhere, for tests of their life."""

from __future__ import annotations

from tenantproxy.model.endpoints import Standing
from tenantproxy.model.spec import HealthRule, OutlierRule, TcpCheck

CHECKS = HealthRule(tcp=TcpCheck(), fall=3, rise=2)
OUTLIER = OutlierRule()
STATES = ["healthy", "unhealthy", "ejected", "unchecked"]


def checked(health, *results, rule=CHECKS, now_s=0.0):
    """Return what is known after some checks, and the changes that they made."""
    changes = []
    for passed in results:
        reason = "connected" if passed else "refused"
        health, change = health.checked(passed, reason, rule, now_s)
        changes += [change] if change else []
    return health, changes


def ejected(health, now_s=0.0, rule=OUTLIER):
    """Return it after so many failures in a row that it is out."""
    health = health.told(1, rule.consecutive_failures)
    assert health.overdue(rule)
    return health.eject("refused", rule, now_s)[0]


def standings(*states, priorities=None):
    of = priorities or [0] * len(states)
    return [Standing(n, state, of[n]) for n, state in enumerate(states)]
