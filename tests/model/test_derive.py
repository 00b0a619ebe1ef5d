"""What rollouts make of the desired state: exact weights, previews, and nobody else touched."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.model.derive import (
    PREVIEW_IDLE,
    Carried,
    derive,
    found_weight,
    preview_key,
    previewed,
    shares,
)
from tenantproxy.model.rollout_spec import RolloutSpec, Step
from tenantproxy.model.spec import (
    EndpointSpec,
    IdleRule,
    ListenerKey,
    ListenerSpec,
    SplitMember,
    TenantSpec,
    UpstreamSpec,
    WakeRule,
)
from tenantproxy.model.split import MAX_MEMBERS, MAX_WEIGHT

WEB = ListenerSpec(
    "acme",
    "web",
    (SplitMember("v1", 95), SplitMember("v2", 5)),
    port=20_001,
    open="always",
    idle_timeout_s=60.0,
    wake=WakeRule(hold=7),
    drain_s=5.0,
    sticky="source_ip",
    fallback=True,
    rollout=RolloutSpec("v1", "v2", (Step("weight", 5),)),
)
OTHER = replace(WEB, name="other")
UPSTREAMS = {
    name: UpstreamSpec("acme", name, (EndpointSpec("127.0.0.1", 1),)) for name in ("v1", "v2", "v3")
}
ACME = TenantSpec("acme", {}, UPSTREAMS, {"web": WEB, "other": OTHER})
REST = TenantSpec("rest")
DECLARED = {"acme": ACME, "rest": REST}


def members(*pairs):
    return tuple(SplitMember(*pair) for pair in pairs)


def carry(weight, **more):
    return {WEB.key: Carried("v1", "v2", weight, **more)}


# Shares --------------------------------------------------------------------------------

names = st.sampled_from(["v1", "v2", "v3", "v4", "v5"])
splits = st.dictionaries(names, st.integers(0, MAX_WEIGHT), min_size=1).filter(
    lambda split: sum(split.values()) > 0
)
percents = st.integers(0, 100)


def as_split(weights):
    return members(*weights.items())


@given(splits, percents)
def test_stable_is_first_the_canary_last_and_nobody_is_lost(weights, percent):
    got = shares(as_split(weights), "v1", "v2", percent)
    assert (got[0].upstream, got[-1].upstream) == ("v1", "v2")
    others = [name for name in weights if name not in ("v1", "v2")]
    assert [member.upstream for member in got[1:-1]] == others
    assert all(0 <= member.weight <= MAX_WEIGHT for member in got)


@given(splits, percents)
def test_the_canary_never_has_more_of_the_pair_than_its_percent(weights, percent):
    got = {m.upstream: m.weight for m in shares(as_split(weights), "v1", "v2", percent)}
    pair = got["v1"] + got["v2"]
    assert 100 * got["v2"] <= percent * pair
    had = weights.get("v1", 0) + weights.get("v2", 0)
    assert (pair > 0) == (had > 0)
    # And as much as whole numbers allow.
    assert 100 * (got["v2"] + 1) > percent * pair


@given(splits, st.sampled_from([0, 100]))
def test_nothing_and_everything_are_exact(weights, percent):
    got = {m.upstream: m.weight for m in shares(as_split(weights), "v1", "v2", percent)}
    assert got["v2" if percent == 0 else "v1"] == 0


@given(splits, st.integers(1, 99))
def test_whoever_had_a_share_keeps_one(weights, percent):
    got = {m.upstream: m.weight for m in shares(as_split(weights), "v1", "v2", percent)}
    pair = weights.get("v1", 0) + weights.get("v2", 0)
    assert all((got[name] > 0) == (had > 0) for name, had in weights.items() if name > "v2")
    assert (got["v1"] > 0, got["v2"] > 0) == (pair > 0, pair > 0)


@given(
    st.dictionaries(names, st.integers(0, MAX_WEIGHT // 200), min_size=1).filter(
        lambda split: sum(split.values()) > 0
    ),
    percents,
)
def test_the_others_keep_their_exact_shares_where_there_is_room(weights, percent):
    got = {m.upstream: m.weight for m in shares(as_split(weights), "v1", "v2", percent)}
    before, after = sum(weights.values()), sum(got.values())
    pair = weights.get("v1", 0) + weights.get("v2", 0)
    for name, had in weights.items():
        if name not in ("v1", "v2"):
            assert Fraction(got[name], after) == Fraction(had, before)
    assert Fraction(got["v2"], after) == Fraction(pair * percent, before * 100)


@given(st.dictionaries(names, st.integers(MAX_WEIGHT // 10, MAX_WEIGHT), min_size=3), percents)
def test_heavy_weights_are_made_lighter_and_stay_nearly_what_they_are(weights, percent):
    got = {m.upstream: m.weight for m in shares(as_split(weights), "v1", "v2", percent)}
    before, after = sum(weights.values()), sum(got.values())
    for name, had in weights.items():
        if name not in ("v1", "v2"):
            assert abs(got[name] / after - had / before) < 2e-5


def test_two_that_have_everything_have_percents():
    assert shares(members(("v2", 0), ("v1", 1)), "v1", "v2", 5) == members(("v1", 95), ("v2", 5))
    assert shares(members(("v1", 7)), "v1", "v2", 25) == members(("v1", 75), ("v2", 25))


def test_a_third_member_keeps_its_part_with_small_numbers():
    before = members(("v2", 0), ("v3", 40), ("v1", 60))
    assert shares(before, "v1", "v2", 25) == members(("v1", 45), ("v3", 40), ("v2", 15))
    assert shares(before, "v1", "v2", 1) == members(("v1", 297), ("v3", 200), ("v2", 3))


def test_a_pair_without_a_share_gets_none():
    before = members(("v3", 1), ("v1", 0))
    assert shares(before, "v1", "v2", 50) == members(("v1", 0), ("v3", 1), ("v2", 0))


def test_a_pair_with_next_to_nothing_is_split_as_asked_all_the_same():
    before = members(("v1", 1), ("v3", MAX_WEIGHT))
    got = shares(before, "v1", "v2", 5)
    assert got == members(("v1", 19), ("v3", MAX_WEIGHT), ("v2", 1))


@pytest.mark.parametrize(
    ("split", "percent"),
    [
        ((("v1", 95), ("v2", 5)), 5),
        ((("v1", 2), ("v2", 1)), 34),
        ((("v1", 999), ("v2", 1), ("v3", 5)), 1),
        ((("v1", 1),), 0),
        ((("v2", 1),), 100),
        ((("v3", 1),), 0),
    ],
)
def test_what_is_found_of_the_canary_is_rounded_up(split, percent):
    assert found_weight(members(*split), "v1", "v2") == percent


@given(st.dictionaries(names, st.integers(1, MAX_WEIGHT // 200), min_size=5), percents)
def test_what_was_given_is_found_again(weights, percent):
    assert found_weight(shares(as_split(weights), "v1", "v2", percent), "v1", "v2") == percent


# The state in force ----------------------------------------------------------------------


def test_where_nothing_is_carried_the_declared_state_is_in_force():
    assert derive(DECLARED, {}) is DECLARED
    assert derive(DECLARED, carry(None)) is DECLARED


def test_a_weight_touches_one_listener_and_no_other_object():
    found = derive(DECLARED, carry(25, salt="s1"))
    acme = found["acme"]
    assert acme.listeners["web"] == replace(WEB, split=members(("v1", 75), ("v2", 25)), salt="s1")
    assert acme.listeners["other"] is OTHER
    assert acme.upstreams is ACME.upstreams
    assert found["rest"] is REST
    assert DECLARED["acme"].listeners["web"] is WEB


def test_a_weight_that_is_declared_already_changes_nothing():
    assert derive(DECLARED, carry(5)) is DECLARED


def test_a_preview_is_like_its_listener_and_all_canary():
    found = derive(DECLARED, carry(0, preview="auto", salt="s1"))["acme"].listeners
    assert list(found) == ["web", "other", "web.preview"]
    assert found["web.preview"] == ListenerSpec(
        "acme",
        "web.preview",
        members(("v2", 1)),
        port=None,
        open="on_demand",
        idle=PREVIEW_IDLE,
        idle_timeout_s=60.0,
        wake=WakeRule(hold=7),
        drain_s=5.0,
        preview_of="web",
    )
    assert found["web"].split == members(("v1", 100), ("v2", 0))


def test_a_preview_may_be_there_before_any_weight_is():
    found = derive(DECLARED, carry(None, preview=20_009))["acme"].listeners
    assert found["web"] is WEB
    assert found["web.preview"].port == 20_009


@pytest.mark.parametrize(
    ("own", "then"),
    [
        (IdleRule(5.0, "sleep"), IdleRule(5.0, "sleep")),
        (IdleRule(5.0, "close"), PREVIEW_IDLE),
        (IdleRule(5.0, "never"), PREVIEW_IDLE),
        (None, PREVIEW_IDLE),
    ],
)
def test_a_preview_sleeps_when_nobody_uses_it(own, then):
    declared = {"acme": replace(ACME, listeners={"web": replace(WEB, idle=own)})}
    found = derive(declared, carry(0, preview="auto"))
    assert found["acme"].listeners["web.preview"].idle == then


def test_what_is_carried_for_nobody_changes_nothing():
    nowhere = Carried("v1", "v2", 50, preview="auto", salt="s")
    for key in (ListenerKey("acme", "gone"), ListenerKey("gone", "web")):
        assert derive(DECLARED, {key: nowhere}) is DECLARED
    for pair in (("v1", "gone"), ("gone", "v2")):
        assert derive(DECLARED, {WEB.key: Carried(*pair, 50, preview="auto")}) is DECLARED


def test_a_split_that_is_full_takes_no_canary():
    full = members(*((f"u{n}", 1) for n in range(MAX_MEMBERS - 1)), ("v1", 1))
    upstreams = {**UPSTREAMS, **{f"u{n}": UPSTREAMS["v3"] for n in range(MAX_MEMBERS)}}
    listeners = {"web": replace(WEB, split=full)}
    declared = {"acme": replace(ACME, upstreams=upstreams, listeners=listeners)}
    assert derive(declared, carry(50)) is declared


def test_previews_are_known_by_their_names():
    key = ListenerKey("acme", "web")
    assert preview_key(key) == ListenerKey("acme", "web.preview")
    assert previewed(preview_key(key)) == key
    for name in ("web", ".preview", "web.preview.preview", "web.previews"):
        assert previewed(ListenerKey("acme", name)) is None
