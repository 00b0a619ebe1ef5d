"""Candidates: checked whole, and the file wins where an API change leans on what it took away."""

from dataclasses import replace

import pytest

from tenantproxy.control import desired as desired_module
from tenantproxy.control.desired import FOLLOWED, Desired, proxy_changes
from tenantproxy.errors import DocumentError
from tenantproxy.model import edit
from tenantproxy.model.checks import check_tenant
from tenantproxy.model.derive import Carried, derive
from tenantproxy.model.layers import Unit
from tenantproxy.model.spec import DnsSpec, ProxySpec, SplitMember
from tests.control.support import PROXY, key, listener, tenant, upstream

FILE = {"acme": tenant([listener()], [upstream("v1", 1), upstream("v2", 2)])}


@pytest.fixture
def desired():
    found = Desired(lambda one: check_tenant(one, PROXY))
    found.commit(found.from_file(FILE))
    return found


def test_a_tenant_that_is_not_sound_is_refused_by_api_and_file_alike(desired):
    broken = edit.with_listener(FILE, listener("bad", ("nothing", 1)))
    for make in (desired.from_api, desired.from_file):
        with pytest.raises(DocumentError, match="nothing"):
            make(broken)
    assert desired.tenants == FILE


def test_taking_an_upstream_away_checks_the_listeners_that_did_not_change(desired):
    without = {"acme": replace(FILE["acme"], upstreams={})}
    with pytest.raises(DocumentError, match="v1"):
        desired.from_api(without)


def test_only_what_changed_is_checked():
    looked_at = []
    found = Desired(lambda one: looked_at.append(set(one.listeners)) or [])
    found.commit(found.from_file(FILE))
    looked_at.clear()
    found.from_api(edit.with_listener(FILE, listener("new")))
    assert looked_at == [{"new"}]


def test_an_api_change_is_kept_until_the_file_contradicts_it(desired):
    desired.commit(desired.from_api(edit.with_listener(FILE, listener("extra", ("v2", 1)))))
    kept = desired.from_file(edit.with_listener(FILE, listener("more")))
    assert set(kept.tenants["acme"].listeners) == {"web", "extra", "more"}
    assert kept.dropped == ()

    without_v2 = {"acme": tenant([listener()], [upstream("v1", 1)])}
    gone = desired.from_file(without_v2)
    assert set(gone.tenants["acme"].listeners) == {"web"}
    assert gone.dropped == (Unit("listener", "acme", "extra"),)


def test_only_upstreams_that_changed_are_tried():
    tried = []
    found = Desired(lambda _: [], check_upstream=lambda spec: tried.append(spec.name) or [])
    found.commit(found.from_file(FILE))
    assert tried == ["v1", "v2"]
    tried.clear()
    found.from_api(edit.with_upstream(FILE, upstream("v2", 3)))
    assert tried == ["v2"]


@pytest.mark.parametrize(
    ("change", "name", "waits"),
    [
        ({"workers": 7}, "proxy.workers", True),
        ({"dns": DnsSpec(("10.0.0.2",))}, "proxy.dns", True),
        ({"dns": DnsSpec(timeout_s=1.0)}, "proxy.dns", True),
        ({"relay": "kernel"}, "proxy.relay", False),
    ],
)
def test_what_is_read_at_start_waits_for_a_restart(change, name, waits):
    (found,) = proxy_changes(ProxySpec(), replace(ProxySpec(), **change))
    assert found.name == name
    assert (found.name not in FOLLOWED) is waits


# What rollouts make of it -------------------------------------------------------------------

TWO = {
    "acme": tenant([listener("web", ("v1", 100)), listener("b")], FILE["acme"].upstreams.values())
}
STEP = Carried("v1", "v2", 25, "auto", "salt")
IN_FORCE = (SplitMember("v1", 75), SplitMember("v2", 25))


@pytest.fixture
def stepped():
    found = Desired(lambda one: check_tenant(one, PROXY))
    found.commit(found.from_file({**TWO, "other": replace(TWO["acme"], name="other")}))
    found.commit(found.from_rollout(key(), STEP))
    return found


def web(tenants):
    return tenants["acme"].listeners["web"]


def test_a_step_is_in_force_and_declares_nothing(stepped):
    assert web(stepped.declared).split == (SplitMember("v1", 100),)
    assert web(stepped.tenants).split == IN_FORCE
    assert set(stepped.declared["acme"].listeners) == {"web", "b"}
    assert set(stepped.tenants["acme"].listeners) == {"web", "b", "web.preview"}
    assert stepped.overlay == {}
    assert stepped.tenants["other"] is stepped.declared["other"]


def test_the_next_step_moves_one_listener_and_finds_no_change(stepped):
    after = stepped.from_rollout(key(), replace(STEP, weight=50))
    assert not after.found
    assert set(after.moves.listeners) == {key()}
    assert not stepped.from_rollout(key(), STEP).moves


def test_what_a_rollout_gives_up_is_as_declared_again(stepped):
    after = stepped.from_rollout(key(), None)
    assert set(after.moves.listeners) == {key(), key("web.preview")}
    stepped.commit(after)
    assert stepped.tenants["acme"] is stepped.declared["acme"]
    assert stepped.carried == {}


def test_a_step_looks_at_no_other_listener_and_leaves_what_all_rollouts_want(monkeypatch):
    """A thousand rollouts of one tenant may make a step each at once."""
    found = Desired(lambda _: [])
    names = [f"web-{number}" for number in range(20)]
    listeners = [listener(name, ("v1", 1)) for name in names]
    acme = tenant(listeners, [upstream("v1", 1), upstream("v2", 2)])
    found.commit(found.from_file({"acme": acme}))
    looked_at = []

    def noted(declared, carried):
        looked_at.append(len(declared["acme"].listeners))
        return derive(declared, carried)

    monkeypatch.setattr(desired_module, "derive", noted)
    for name in (*names, *names[::2]):
        step = None if name in names[:4] and key(name) in found.carried else STEP
        found.commit(found.from_rollout(key(name), step))
        assert found.tenants == derive(found.declared, found.carried)
    assert set(looked_at) == {1}


def test_a_rollout_of_a_tenant_that_is_gone_moves_nothing(stepped):
    after = stepped.from_rollout(key(tenant="gone"), STEP)
    assert not after.moves
    assert after.tenants is stepped.tenants


def test_an_edit_of_something_else_leaves_weights_and_previews_in_force(stepped):
    after = stepped.from_api(edit.with_listener(stepped.declared, listener("b", drain_s=5.0)))
    assert set(after.found.listeners) == set(after.moves.listeners) == {key("b")}
    assert web(after.tenants).split == IN_FORCE
    assert set(after.overlay) == {Unit("listener", "acme", "b")}


def test_a_file_that_changes_the_split_is_declared_and_the_pair_stays_the_rollouts(stepped):
    both = (("v1", 6), ("v3", 4))
    upstreams = [*FILE["acme"].upstreams.values(), upstream("v3", 3)]
    after = stepped.from_file({"acme": tenant([listener("web", *both)], upstreams)})
    assert web(after.declared).split == (SplitMember("v1", 6), SplitMember("v3", 4))
    # 6 of 10 are the pair's, of which the canary has a quarter; in whole numbers 18:16:6... of 40
    assert web(after.tenants).split == (
        SplitMember("v1", 9),
        SplitMember("v3", 8),
        SplitMember("v2", 3),
    )


def test_a_file_that_takes_the_listener_away_takes_the_preview_along(stepped):
    after = stepped.from_file({"acme": tenant([listener("b")], FILE["acme"].upstreams.values())})
    gone = {name for name, (_, new) in after.moves.listeners.items() if new is None}
    assert gone == {key(), key("web.preview"), key(tenant="other"), key("b", "other")}
    assert key("web.preview") not in after.found.listeners


def test_who_writes_the_split_in_force_back_declares_nothing_new(stepped):
    back = replace(web(stepped.declared), split=IN_FORCE[::-1], drain_s=5.0)
    tenants = stepped.as_declared(edit.with_listener(stepped.declared, back), [key()])
    assert web(tenants) == replace(web(stepped.declared), drain_s=5.0)
    other = edit.with_split(stepped.declared, key(), (SplitMember("v1", 1), SplitMember("v2", 1)))
    assert stepped.as_declared(other, [key()]) is other
    without = edit.without_listener(stepped.declared, key())
    assert stepped.as_declared(without, [key(), key("gone"), key(tenant="gone")]) is without


def test_a_split_that_no_rollout_owns_is_declared_as_it_is_written(stepped):
    asked = edit.with_split(stepped.declared, key(), IN_FORCE)
    assert stepped.as_declared(asked, []) is asked
