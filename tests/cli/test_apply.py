"""`diff` and `apply` against a real daemon."""

import json
import socket

import pytest


@pytest.fixture
def changed(daemon):
    """A document with one tenant more and one weight changed."""
    document = daemon.document()
    document["tenants"]["new"] = {"labels": {"a": "b"}}
    document["tenants"]["acme"]["listeners"]["web"]["split"] = {"v1": 1, "v2": 1}
    return daemon.write("changed.yaml", document)


def test_diff_shows_and_changes_nothing(online, daemon, changed):
    result = online("diff", "-f", changed)
    assert result.exit_code == 0
    assert "+ tenant new" in result.stdout
    assert "~ split acme/web: " in result.stdout
    assert online("get", "tenants", "new").exit_code == 1


def test_diff_of_what_runs_is_empty(online, daemon):
    result = online("diff", "-f", daemon.file)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no change\n")
    assert json.loads(online("diff", "-f", daemon.file, "-o", "json").stdout)["changes"] == []


def test_apply_changes_and_says_which_generation_it_is(online, daemon, changed):
    dry = online("apply", "-f", changed, "--dry-run")
    assert dry.exit_code == 0
    assert dry.stderr == "dry run: nothing was changed\n"
    assert online("get", "tenants", "new").exit_code == 1
    done = online("apply", "-f", changed)
    assert done.exit_code == 0
    assert done.stdout == dry.stdout
    generation = daemon.ask("/api/v1/status")["generation"]
    assert done.stderr == f"applied: generation {generation}\n"
    assert json.loads(online("get", "tenants", "new", "-o", "json").stdout)["source"] == "api"
    assert online("apply", "-f", daemon.file).exit_code == 0
    assert online("get", "tenants", "new").exit_code == 1


def test_a_broken_document_is_refused_here_with_its_lines(online, daemon):
    before = daemon.ask("/api/v1/status")["generation"]
    document = daemon.document()
    document["tenants"]["acme"]["listeners"]["web"]["prot"] = 1
    file = daemon.write("broken.yaml", document)
    for verb in ("diff", "apply"):
        result = online(verb, "-f", file)
        assert result.exit_code == 1
        assert result.stdout == ""
        assert f"{file}:" in result.stderr
    assert daemon.ask("/api/v1/status")["generation"] == before


def test_what_is_read_at_start_cannot_be_applied(online, daemon):
    document = daemon.document()
    document["proxy"]["workers"] = 2
    result = online("apply", "-f", daemon.write("workers.yaml", document))
    assert result.exit_code == 1
    assert "proxy.workers" in result.stderr
    assert "hint: " in result.stderr


def test_a_port_that_another_process_has_refuses_the_whole(online, daemon):
    with socket.create_server(("127.0.0.1", daemon.first + 5)):
        document = daemon.document()
        document["tenants"]["corp"]["listeners"]["taken"] = {
            "port": daemon.first + 5,
            "split": {"v1": 1},
        }
        document["tenants"]["new"] = {}
        result = online("apply", "-f", daemon.write("taken.yaml", document))
    assert result.exit_code == 1
    assert f"port {daemon.first + 5}" in result.stderr
    assert online("get", "tenants", "new").exit_code == 1
