"""`get` against a real daemon."""

import json
import re

import pytest
import yaml


def rows(result):
    assert result.exit_code == 0, result.output
    return [re.split(r"  +", line.strip()) for line in result.stdout.splitlines()]


def test_listeners_in_a_table(online, daemon):
    titles, *listeners = rows(online("get", "listeners"))
    assert titles[:4] == ["NAME", "PORT", "STATE", "SPLIT"]
    assert [row[:4] for row in listeners] == [
        ["acme/idle", str(daemon.first + 1), "asleep", "v1=1"],
        ["acme/web", str(daemon.first), "asleep", "v1=90,v2=10"],
        ["corp/web", str(daemon.first + 2), "asleep", "v1=1"],
    ]


@pytest.mark.parametrize("kind", ["tenants", "tenant", "tn", "TN"])
def test_kinds_have_several_names(online, kind):
    assert [row[0] for row in rows(online("get", kind))] == ["NAME", "acme", "corp"]


def test_a_name_is_a_tenant_or_one_listener(online):
    assert [row[0] for row in rows(online("get", "li", "acme"))[1:]] == ["acme/idle", "acme/web"]
    assert [row[0] for row in rows(online("get", "li", "acme/web"))[1:]] == ["acme/web"]
    assert [row[0] for row in rows(online("get", "up", "acme/v2"))[1:]] == ["acme/v2"]
    assert [row[0] for row in rows(online("get", "tenants", "corp"))[1:]] == ["corp"]


def test_wide_says_where_values_come_from(online):
    titles, first, *_ = rows(online("get", "listeners", "-o", "wide"))
    wide = dict(zip(titles, first, strict=True))
    assert wide["SOURCE"] == wide["SPLIT-SOURCE"] == "file"
    assert wide["IDLE"] == "sleep after 1h"


def test_upstreams_say_how_they_are_and_wide_what_they_did(online):
    titles, first, *_ = rows(online("get", "upstreams"))
    assert titles[:3] == ["NAME", "STATE", "USABLE"]
    assert first[:3] == ["acme/v1", "asleep", "1/1"]
    titles, first, *_ = rows(online("get", "upstreams", "-o", "wide"))
    wide = dict(zip(titles, first, strict=True))
    assert wide["BALANCE"] == "round_robin"
    assert wide["LISTENERS"] == "web, idle"
    assert wide["SOURCE"] == "file"
    assert wide["DISCOVERY"] == "-"
    counts = ("EJECTED", "RETRIES", "DENIED", "SLOTS", "WAITING", "SPARES")
    assert [wide[title] for title in counts] == ["0"] * 6


def test_json_of_one_is_the_object_and_of_many_a_list(online):
    one = json.loads(online("get", "li", "acme/web", "-o", "json").stdout)
    assert one["split"] == {"v1": 90, "v2": 10}
    many = json.loads(online("get", "li", "-o", "json").stdout)
    assert [item["listener"] for item in many["items"]] == ["idle", "web", "web"]
    assert yaml.safe_load(online("get", "li", "acme/web", "-o", "yaml").stdout) == one


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["listeners"], ["listener/acme/idle", "listener/acme/web", "listener/corp/web"]),
        (["upstreams", "corp"], ["upstream/corp/v1"]),
        (["tenants"], ["tenant/acme", "tenant/corp"]),
        (["policies"], ["policy/rest"]),
        (["generations"], ["generation/1"]),
    ],
)
def test_names_alone(online, arguments, names):
    assert online("get", *arguments, "-o", "name").stdout.splitlines() == names


def test_policies_and_generations_by_name(online):
    assert rows(online("get", "policies", "rest"))[1][:4] == ["rest", "idle", "1h", "sleep"]
    assert rows(online("get", "generations", "1"))[1][0] == "1"
    missing = online("get", "policies", "nobody")
    assert missing.exit_code == 1
    assert missing.stderr == "error: there is no policy nobody\n"


@pytest.mark.parametrize("name", ["nobody", "nobody/web", "acme/nobody"])
def test_what_is_not_there_is_refused(online, name):
    result = online("get", "listeners", name)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: no ")


def test_events_of_a_tenant_of_a_listener_and_of_all(online):
    assert online("open", "acme/idle").exit_code == 0
    assert online("sleep", "acme/idle").exit_code == 0
    told = rows(online("get", "events", "acme/idle"))
    assert [row[2:4] for row in told[1:]] == [["opened", "acme/idle"], ["slept", "acme/idle"]]
    assert len(rows(online("get", "events"))) >= 3
    nothing = online("get", "events", "corp")
    assert nothing.stdout == ""
    assert nothing.stderr == "no events\n"
