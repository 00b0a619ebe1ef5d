"""Matching: globs of names, and labels that must all be equal."""

import pytest

from tenantproxy.model.spec import ListenerKey, PolicyMatch
from tenantproxy.policy.match import Matcher

KEY = ListenerKey("acme", "web-1")


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        (PolicyMatch(), True),
        (PolicyMatch(tenants=("acme",)), True),
        (PolicyMatch(tenants=("b", "ac*")), True),
        (PolicyMatch(tenants=("b", "*")), True),
        (PolicyMatch(tenants=("acm",)), False),
        (PolicyMatch(tenants=("cme",)), False),
        (PolicyMatch(tenants=()), False),
        (PolicyMatch(listeners=("web-?",)), True),
        (PolicyMatch(listeners=("web-[23]",)), False),
        (PolicyMatch(listeners=("web",)), False),
        (PolicyMatch(tenants=("acme",), listeners=("db",)), False),
        (PolicyMatch(labels={"tier": "free"}), True),
        (PolicyMatch(labels={"tier": "gold"}), False),
        (PolicyMatch(labels={"tier": "free", "x": ""}), False),
    ],
)
def test_tenant_listener_and_labels_must_all_fit(match, fits):
    assert Matcher(match).fits(KEY, {"tier": "free", "team": "a"}) is fits
