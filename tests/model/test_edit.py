"""Single changes of a desired state, and who uses an upstream."""

from dataclasses import replace

import pytest

from tenantproxy.errors import NotFound
from tenantproxy.model import edit
from tenantproxy.model.checks import check_tenant
from tenantproxy.model.rollout_spec import RolloutSpec, Step
from tenantproxy.model.spec import (
    EndpointSpec,
    ListenerKey,
    ListenerSpec,
    ProxySpec,
    SplitMember,
    TenantSpec,
    UpstreamKey,
    UpstreamSpec,
)

PLAN = RolloutSpec("v1", "v2", (Step("weight", 5),))
WEB = ListenerSpec("acme", "web", (SplitMember("v1", 1),), rollout=PLAN)
BOTH = replace(WEB, name="both", split=(SplitMember("v1", 1), SplitMember("v2", 1)))
UPSTREAMS = {
    name: UpstreamSpec("acme", name, (EndpointSpec("10.0.0.1", 1),)) for name in ("v1", "v2", "v3")
}
ACME = TenantSpec("acme", {}, UPSTREAMS, {"web": WEB, "both": BOTH})


def test_who_names_an_upstream_in_a_split_or_a_rollout_uses_it_once():
    assert edit.users(ACME) == {"v1": ("web", "both"), "v2": ("web", "both")}
    plain = replace(ACME, listeners={"web": replace(WEB, rollout=None)})
    assert edit.users(plain) == {"v1": ("web",)}


@pytest.mark.parametrize(("name", "place"), [("v1", "from"), ("v2", "to")])
def test_an_upstream_that_a_rollout_names_cannot_go(name, place):
    left = edit.without_upstream({"acme": ACME}, UpstreamKey("acme", name))
    found = [(p.code, p.path) for p in check_tenant(left["acme"], ProxySpec())]
    assert ("unknown_upstream", f"tenants.acme.listeners.web.rollout.{place}") in found


def test_an_upstream_that_nobody_names_can_go():
    left = edit.without_upstream({"acme": ACME}, UpstreamKey("acme", "v3"))
    assert check_tenant(left["acme"], ProxySpec()) == []
    with pytest.raises(NotFound, match="no upstream acme/v3"):
        edit.without_upstream(left, UpstreamKey("acme", "v3"))


def test_another_split_leaves_the_rollout_as_it_is():
    split = (SplitMember("v1", 1), SplitMember("v2", 3))
    found = edit.with_split({"acme": ACME}, ListenerKey("acme", "web"), split)
    assert found["acme"].listeners["web"] == replace(WEB, split=split)
    assert found["acme"].listeners["both"] is BOTH
