"""What configurations say: every listener with its own split, everything filled in."""

import json
import subprocess

import pytest
import yaml

from benchmarks.peers import PEERS, Listener
from benchmarks.peers.base import find
from tenantproxy.config.document import parse_document

LISTENERS = [Listener(12001, 8080), Listener(12002, 8080, weights=(10, 90))]


@pytest.fixture
def made(tmp_path):
    def make(key):
        peer = PEERS[key](tmp_path, LISTENERS)
        peer.configure()
        return peer

    return make


def files(peer):
    return {path.name: path.read_text() for path in peer.folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("key", PEERS)
def test_nothing_is_left_to_fill_in(made, key):
    assert files(made(key))
    for text in files(made(key)).values():
        assert "$" not in text


def test_haproxy_splits_by_weight_and_splices(made):
    text = files(made("haproxy"))["haproxy.cfg"]

    assert "option splice-auto" in text
    assert "nbthread 1\n" in text
    assert "listen l12002\n  bind 127.0.0.1:12002 backlog 4096" in text
    assert "server a 127.0.0.1:8080 weight 10\n  server b 127.0.0.2:8080 weight 90" in text


def test_nginx_splits_by_weight(made):
    text = files(made("nginx"))["nginx.conf"]

    assert "worker_processes 1;" in text
    assert "server 127.0.0.1:8080 weight=90;" in text
    assert "proxy_pass u12002;" in text


def test_envoy_splits_by_weight_without_circuit_breakers_in_the_way(made):
    found = {name: json.loads(text) for name, text in files(made("envoy")).items()}

    first, second = found["listeners.json"]["resources"]
    (tcp,) = second["filter_chains"][0]["filters"]
    assert first["address"]["socket_address"]["port_value"] == 12001
    assert tcp["typed_config"]["weighted_clusters"]["clusters"] == [
        {"name": "a8080", "weight": 10},
        {"name": "b8080", "weight": 90},
    ]
    assert [one["name"] for one in found["clusters.json"]["resources"]] == ["a8080", "b8080"]
    for cluster in found["clusters.json"]["resources"]:
        assert cluster["circuit_breakers"]["thresholds"][0]["max_connections"] > 100_000


def test_traefik_splits_by_weight_on_one_cpu(made):
    peer = made("traefik")
    found = {name: yaml.safe_load(text) for name, text in files(peer).items()}

    assert found["traefik.yaml"]["entryPoints"]["e12001"] == {"address": "127.0.0.1:12001"}
    tcp = found["tcp.yaml"]["tcp"]
    assert tcp["routers"]["r12002"]["service"] == "s12002"
    weights = [one["weight"] for one in tcp["services"]["s12002"]["weighted"]["services"]]
    assert weights == [10, 90]
    assert peer.environment()["GOMAXPROCS"] == "1"


def test_our_document_is_valid(made):
    document = parse_document(files(made("tenantproxy"))["tenantproxy.yaml"])

    assert document.proxy.workers == 1
    assert [str(name) for name in document.tenants] == ["t0"]


def test_the_programs_take_what_is_written(made):
    checks = {"haproxy": ["-c", "-f", "haproxy.cfg"], "nginx": ["-t", "-e", "e", "-c"]}
    for key, arguments in checks.items():
        program = find(key)
        if program is None or PEERS[key].missing():
            continue
        peer = made(key)
        name = [str(peer.folder / "nginx.conf")] if key == "nginx" else []
        command = [program, *arguments, *name]
        done = subprocess.run(command, cwd=peer.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_what_is_not_installed_is_said(monkeypatch):
    monkeypatch.setattr("benchmarks.peers.base.find", lambda program: None)

    assert PEERS["traefik"].missing() == "traefik is not installed"
    assert PEERS["nginx"].missing() == "nginx is not installed"
