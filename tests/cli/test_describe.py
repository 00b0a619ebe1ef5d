"""`describe`: everything, for a person or as data."""

import json
import re

import pytest


def told(result):
    assert result.exit_code == 0, result.output
    return re.sub(r" {2,}", "  ", result.stdout)


def test_a_listener_with_the_sources_of_its_values(online, daemon):
    text = told(online("describe", "listener", "acme/web"))
    assert "Listener:  acme/web" in text
    assert re.search(r"State:  asleep for \d+s: ", text)
    assert f"Port:  127.0.0.1 {daemon.first} (tcp)" in text
    assert "v1  90  90.0%  1 of 1 endpoints usable" in text
    assert "Where values come from" in text
    assert "idle  policy rest" in text
    assert "Recent events" not in text
    online("set", "split", "acme/web", "v1=1", "v2=3")
    text = told(online("describe", "li", "acme/web"))
    assert "split  api" in text
    assert "v2  3  75.0%" in text
    assert "reweighed  acme/web" in text
    online("set", "split", "acme/web", "v1=90", "v2=10")


def test_only_the_events_of_that_object(online):
    online("open", "acme/idle")
    online("sleep", "acme/idle")
    assert "slept" in told(online("describe", "listener", "acme/idle"))
    assert "slept" not in told(online("describe", "listener", "acme/web"))
    assert "slept" not in told(online("describe", "upstream", "acme/v1"))
    assert "slept" in told(online("describe", "tenant", "acme"))


def test_an_upstream_with_who_uses_it(online):
    text = told(online("describe", "upstream", "acme/v1"))
    assert re.search(r"State:  asleep: 1 of 1 endpoints usable$", text, re.MULTILINE)
    assert re.search(r"127\.0\.0\.1:9  unchecked.*  weight 1  0 connections, 0 in all", text)
    assert "acme/web  weight 90  asleep" in text
    assert "acme/idle  weight 1  asleep" in text


def test_a_tenant_a_policy_a_generation_and_an_event(online):
    assert "Labels:  team=payments" in told(online("describe", "tenant", "acme"))
    assert "After:  1h" in told(online("describe", "policy", "rest"))
    assert "Result:  applied" in told(online("describe", "generation", "1"))
    online("open", "corp/web")
    online("sleep", "corp/web")
    number = json.loads(online("get", "events", "-o", "json").stdout)["items"][-1]["number"]
    assert "Event:  slept" in told(online("describe", "event", number))
    missing = online("describe", "event", 10**6)
    assert missing.exit_code == 1
    assert "no event 1000000 is kept" in missing.stderr


def test_the_daemon_itself(online, daemon):
    text = told(online("describe", "daemon"))
    assert "Ready:  yes" in text
    assert "Ports:  3 of 10 used" in text
    assert "0  ready  pid " in text
    assert "pump (asked for the pump)" in text
    daemon.write("tenantproxy.yaml", {"version": 1, "tenant": {}})
    try:
        for _ in range(100):
            text = told(online("describe", "daemon"))
            # Events are asked for after the status: `refused` alone may be from them.
            if "The newest document is refused; what ran before runs on" in text:
                break
        else:
            pytest.fail(text)
        assert "tenantproxy.yaml:2:1: tenant: " in text
    finally:
        daemon.write("tenantproxy.yaml", daemon.document())


def test_data_for_programs(online):
    answer = json.loads(online("describe", "listener", "acme/web", "-o", "json").stdout)
    assert answer["tenant"] == "acme"
    assert isinstance(answer["events"], list)


def test_what_is_not_there_is_refused(online):
    result = online("describe", "listener", "acme/nobody")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
