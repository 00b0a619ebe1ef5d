"""`check` and `schema`."""

import json
from pathlib import Path

import jsonschema
import trustme
import yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "tenantproxy.yaml"


def test_the_example_is_valid(command):
    result = command("check", EXAMPLE)
    assert result.exit_code == 0
    assert result.stdout == (f"{EXAMPLE}: valid: 1 tenant, 2 listeners, 2 upstreams, 1 policy\n")
    assert result.stderr == ""


def test_the_result_can_be_read_by_a_program(command):
    answer = json.loads(command("check", EXAMPLE, "-o", "json").stdout)
    assert answer["valid"]
    assert answer["listeners"] == 2
    assert yaml.safe_load(command("check", EXAMPLE, "-o", "yaml").stdout) == answer


def test_every_problem_is_told_with_its_line_on_standard_error(command, tmp_path):
    file = tmp_path / "broken.yaml"
    file.write_text(
        "version: 1\n"
        "tenants:\n"
        "  acme:\n"
        "    listeners:\n"
        "      web: {split: {nobody: 1}, prot: 1}\n"
        "      also: {split: {nobody: 0}}\n"
    )
    result = command("check", file)
    assert result.exit_code == 1
    assert result.stdout == ""
    told = result.stderr.splitlines()
    assert any(line.startswith(f"{file}:5:") and "prot" in line for line in told)
    assert any(line.startswith(f"{file}:6:") for line in told)
    assert told[-1].startswith("error: refused: ")


def test_tls_files_are_tried_and_told_at_their_upstream(command, tmp_path, monkeypatch):
    """As `run` and `apply` do: relative to the document, wherever we stand."""
    (tmp_path / "junk.pem").write_text("no certificate")
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    file = tmp_path / "tenantproxy.yaml"
    file.write_text(
        "version: 1\n"
        "tenants:\n"
        "  acme:\n"
        "    upstreams:\n"
        "      well: {endpoints: ['a:443'], tls: {ca_file: ca.pem}}\n"
        "      junk: {endpoints: ['a:443'], tls: {ca_file: junk.pem}}\n"
        "      none: {endpoints: ['a:443'], tls: {ca_file: none.pem}}\n"
    )
    monkeypatch.chdir("/")
    result = command("check", file)
    assert (result.exit_code, result.stdout) == (1, "")
    junk, none, last = result.stderr.splitlines()
    assert junk.startswith(f"{file}:6:36: tenants.acme.upstreams.junk.tls: ca_file ")
    assert none.startswith(f"{file}:7:36: tenants.acme.upstreams.none.tls: ca_file ")
    assert last == "error: refused: 2 problems"


def test_a_broken_policy_is_told_with_its_own_file(command, tmp_path):
    (tmp_path / "policies").mkdir()
    policy = tmp_path / "policies" / "one.yaml"
    policy.write_text("name: one\nkind: idle\nafter: soon\nthen: sleep\n")
    file = tmp_path / "tenantproxy.yaml"
    file.write_text("version: 1\n")
    result = command("check", file)
    assert result.exit_code == 1
    assert f"{policy}:3:" in result.stderr


def test_a_file_that_is_not_there_is_told(command, tmp_path):
    result = command("check", tmp_path / "none.yaml")
    assert result.exit_code == 1
    assert "none.yaml" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_schema_accepts_the_example_and_refuses_nonsense(command):
    schema = json.loads(command("schema").stdout)
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(yaml.safe_load(EXAMPLE.read_text()))
    assert not validator.is_valid({"version": 1, "tenant": {}})
    assert yaml.safe_load(command("schema", "-o", "yaml").stdout) == schema
