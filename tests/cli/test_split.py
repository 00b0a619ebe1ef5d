"""`set split` against a real daemon."""

import json


def split(daemon):
    return daemon.ask("/api/v1/tenants/acme/listeners/web")["split"]


def test_weights_are_set_and_the_source_becomes_the_api(online, daemon):
    result = online("set", "split", "acme/web", "v1=1", "v2=2", "-o", "json")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert (answer["split"], answer["split_source"]) == ({"v1": 1, "v2": 2}, "api")
    assert split(daemon) == {"v1": 1, "v2": 2}
    online("set", "split", "acme/web", "v1=90", "v2=10")


def test_a_dry_run_shows_and_changes_nothing(online, daemon):
    before = split(daemon)
    result = online("set", "split", "acme/web", "v2=1", "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.startswith("~ split acme/web: ")
    assert result.stderr == "dry run: nothing was changed\n"
    assert split(daemon) == before


def test_an_upstream_that_is_not_there_is_refused_with_those_that_are(online, daemon):
    before = split(daemon)
    result = online("set", "split", "acme/web", "v9=1")
    assert result.exit_code == 1
    assert "no upstream named v9" in result.stderr
    assert "v1, v2" in result.stderr
    assert split(daemon) == before


def test_all_weights_zero_are_refused(online):
    result = online("set", "split", "acme/web", "v1=0")
    assert result.exit_code == 1
    assert "above 0" in result.stderr
