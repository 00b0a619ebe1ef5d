"""`open`, `sleep`, `close` against a real daemon."""

import json

import pytest


def test_open_returns_when_the_port_is_open_and_sleep_when_it_sleeps(online):
    opened = online("open", "acme/web")
    assert opened.exit_code == 0
    assert opened.stdout.splitlines()[1].split()[2] == "open"
    assert opened.stderr == "open: asked to open\n"
    slept = online("sleep", "acme/web", "-o", "json")
    assert json.loads(slept.stdout)["state"] == "asleep"


def test_a_closed_port_keeps_its_number_and_opens_again(online, daemon):
    closed = json.loads(online("close", "acme/web", "--connections", "kill", "-o", "json").stdout)
    assert closed["state"] == "cooling"
    assert closed["port"] == daemon.first
    assert closed["reserved_until"]
    again = json.loads(online("open", "acme/web", "-o", "json").stdout)
    assert (again["state"], again["port"]) == ("open", daemon.first)
    assert online("sleep", "acme/web", "-o", "name").stdout == "listener/acme/web\n"


@pytest.mark.parametrize("verb", ["open", "sleep", "close"])
def test_a_listener_that_is_not_there_is_refused_with_a_way_out(online, verb):
    result = online(verb, "acme/nobody")
    assert result.exit_code == 1
    assert result.stdout == ""
    error, hint = result.stderr.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
