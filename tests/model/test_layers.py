"""API changes over the file: kept while the file says the same, dropped when it does not."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.model.delta import delta
from tenantproxy.model.layers import Unit, merge
from tenantproxy.model.layers import record as record_delta
from tenantproxy.model.rollout_spec import RolloutSpec, Step
from tenantproxy.model.spec import (
    EndpointSpec,
    ListenerSpec,
    SplitMember,
    TenantSpec,
    UpstreamSpec,
)


def record(file, overlay, before, after):
    return record_delta(file, overlay, delta(before, after))


def upstream(name, port=1):
    return UpstreamSpec("acme", name, (EndpointSpec("127.0.0.1", port),))


def listener(name, weight=1, drain_s=600.0):
    return ListenerSpec("acme", name, (SplitMember("v1", weight),), drain_s=drain_s)


def tenant(listeners=(), upstreams=(), labels=None):
    return TenantSpec(
        "acme", labels or {}, {u.name: u for u in upstreams}, {it.name: it for it in listeners}
    )


FILE = {"acme": tenant([listener("web")], [upstream("v1")])}


def with_listener(tenants, new):
    acme = tenants["acme"]
    return {**tenants, "acme": replace(acme, listeners={**acme.listeners, new.name: new})}


def test_a_reweigh_is_kept_when_the_file_changes_something_else():
    overlay = record(FILE, {}, FILE, with_listener(FILE, listener("web", weight=7)))
    assert set(overlay) == {Unit("split", "acme", "web")}
    newer = with_listener(FILE, listener("web", drain_s=1.0))
    merged, kept = merge(newer, overlay)
    assert merged["acme"].listeners["web"] == listener("web", weight=7, drain_s=1.0)
    assert kept == overlay


def test_a_reweigh_is_dropped_when_the_file_says_another_split():
    overlay = record(FILE, {}, FILE, with_listener(FILE, listener("web", weight=7)))
    newer = with_listener(FILE, listener("web", weight=3))
    assert merge(newer, overlay) == (newer, {})


PLAN = RolloutSpec("v1", "v2", (Step("weight", 5),))


def test_a_rollout_by_api_is_a_change_of_its_listener():
    planned = with_listener(FILE, replace(listener("web"), rollout=PLAN))
    overlay = record(FILE, {}, FILE, planned)
    assert set(overlay) == {Unit("listener", "acme", "web")}
    assert merge(FILE, overlay) == (planned, overlay)
    newer = with_listener(FILE, listener("web", drain_s=1.0))
    assert merge(newer, overlay) == (newer, {})


def test_a_reweigh_beside_a_rollout_is_still_a_change_of_the_split_only():
    """So a promotion pins no more than the split to what the API said."""
    file = with_listener(FILE, replace(listener("web"), rollout=PLAN))
    after = with_listener(FILE, replace(listener("web", weight=7), rollout=PLAN))
    overlay = record(file, {}, file, after)
    assert set(overlay) == {Unit("split", "acme", "web")}
    newer = with_listener(file, replace(listener("web"), rollout=replace(PLAN, deadline_s=1.0)))
    merged, kept = merge(newer, overlay)
    assert kept == overlay
    assert merged["acme"].listeners["web"].rollout == replace(PLAN, deadline_s=1.0)


def test_a_listener_made_by_api_lives_through_reloads():
    overlay = record(FILE, {}, FILE, with_listener(FILE, listener("extra")))
    merged, kept = merge(FILE, overlay)
    assert set(merged["acme"].listeners) == {"web", "extra"}
    assert kept == overlay


def test_a_listener_deleted_by_api_stays_away_until_the_file_changes_it():
    gone = {"acme": replace(FILE["acme"], listeners={})}
    overlay = record(FILE, {}, FILE, gone)
    assert merge(FILE, overlay)[0] == gone
    newer = with_listener(FILE, listener("web", drain_s=5.0))
    assert merge(newer, overlay) == (newer, {})


def test_undoing_a_change_leaves_nothing_behind():
    changed = with_listener(FILE, listener("web", weight=7))
    overlay = record(FILE, {}, FILE, changed)
    assert record(FILE, overlay, changed, FILE) == {}


def test_a_tenant_that_the_file_takes_away_takes_the_changes_within_along():
    overlay = record(FILE, {}, FILE, with_listener(FILE, listener("web", weight=7)))
    assert merge({}, overlay) == ({}, {})


tenants = st.dictionaries(
    st.just("acme"),
    st.builds(
        tenant,
        st.lists(st.builds(listener, st.sampled_from("ab"), st.integers(1, 2)), max_size=2),
        st.lists(st.builds(upstream, st.sampled_from(["v1", "v2"]), st.integers(1, 2)), max_size=2),
        st.sampled_from([{}, {"team": "x"}]),
    ),
)


@given(tenants, st.lists(tenants, max_size=4))
def test_what_the_api_asked_for_is_what_the_layers_give(file, wishes):
    overlay, state = {}, file
    for wish in wishes:
        overlay = record(file, overlay, state, wish)
        state, kept = merge(file, overlay)
        assert state == wish
        assert kept == overlay


@given(tenants, tenants, tenants)
def test_units_that_the_file_changed_follow_the_file(file, wish, newer):
    overlay = record(file, {}, file, wish)
    merged, kept = merge(newer, overlay)
    assert set(kept) <= set(overlay)
    assert merge(newer, kept) == (merged, kept)
    if not kept:
        assert merged == newer
