"""`run`: what cannot start says why and leaves nothing."""

import socket
import subprocess
import sys

from tests.cli.conftest import ROOT, Daemon
from tests.e2e import ports


def run(file):
    return subprocess.run(
        [sys.executable, "-m", "tenantproxy", "run", "-c", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_a_broken_document_exits_1_with_its_lines(tmp_path):
    file = tmp_path / "broken.yaml"
    file.write_text("version: 1\ntenant: {}\n")
    done = run(file)
    assert done.returncode == 1
    assert f"{file}:2:1: tenant: " in done.stderr
    assert done.stderr.endswith("error: refused: 1 problem\n")
    assert "Traceback" not in done.stderr


def test_a_document_that_is_not_there_exits_1(tmp_path):
    done = run(tmp_path / "none.yaml")
    assert done.returncode == 1
    assert "none.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_tls_files_that_cannot_be_used_are_told_before_anything_is_served(tmp_path):
    daemon = Daemon(tmp_path, ports.block(12))
    document = daemon.document()
    [tenant, *_] = document["tenants"].values()
    [upstream, *_] = tenant["upstreams"].values()
    upstream["tls"] = {"ca_file": "none.pem"}
    file = daemon.write("tenantproxy.yaml", document)
    done = run(file)
    assert done.returncode == 1
    assert f"{file}:" in done.stderr
    assert "none.pem: No such file" in done.stderr
    assert "serving" not in done.stderr
    assert "Traceback" not in done.stderr


def test_an_admin_port_that_is_taken_exits_1_with_a_way_out(tmp_path):
    daemon = Daemon(tmp_path, ports.block(12))
    file = daemon.write("tenantproxy.yaml", daemon.document())
    with socket.create_server(("127.0.0.1", daemon.first + 10)):
        done = run(file)
    assert done.returncode == 1
    assert str(daemon.first + 10) in done.stderr
    assert "\nhint: " in done.stderr
    assert "Traceback" not in done.stderr


def test_an_admin_api_for_everybody_without_a_token_is_refused(tmp_path):
    daemon = Daemon(tmp_path, ports.block(12))
    document = daemon.document()
    document["proxy"]["admin"]["address"] = "0.0.0.0"
    done = run(daemon.write("tenantproxy.yaml", document))
    assert done.returncode == 1
    assert "token_file" in done.stderr
