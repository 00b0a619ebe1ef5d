"""NOTES.txt tells what to do next, by what was installed."""

import re
import shutil
from functools import cache

import pytest

from tests.helm.chart import CHART, CI_FILES, one

# `helm template` leaves the notes out and `helm install --dry-run` asks a cluster, so a copy of
# the chart puts them into an object.
SHOWN = """apiVersion: v1
kind: ConfigMap
metadata: {name: notes, labels: {}}
data: {notes: {{ tpl (.Files.Get "files/NOTES.txt") . | toJson }}}
"""


@pytest.fixture(scope="module")
def notes(helm, tmp_path_factory):
    chart = tmp_path_factory.mktemp("notes") / "tenantproxy"
    shutil.copytree(CHART, chart)
    (chart / "files").mkdir(exist_ok=True)
    (chart / "templates/NOTES.txt").rename(chart / "files/NOTES.txt")
    (chart / "templates/notes.yaml").write_text(SHOWN)

    @cache
    def told(name):
        file = CHART / "ci" / f"{name}-values.yaml"
        return one(helm.objects(files=(file,), chart=chart), "ConfigMap", "notes")["data"]["notes"]

    return told


def test_without_tenants_they_show_how_to_add_one(notes):
    assert "There are no tenants yet." in notes("no-tenants")
    assert "web: {port: 20000, split: {web-v1: 95, web-v2: 5}}" in notes("no-tenants")


def test_services_are_named_with_their_ports(notes):
    assert "\n  demo-tenantproxy-acme.edge:20001\n" in notes("default") + "\n"
    assert "demo-tenantproxy-acme.edge:20001 and 1 more" in notes("node-port")
    assert "get services -l tenantproxy/tenant" in notes("load-balancer")


def test_the_command_to_look_fits_the_workload_and_the_token(notes):
    assert "exec deployment/demo-tenantproxy -- tenantproxy get listeners" in notes("default")
    told = notes("admin-token")
    assert "tenantproxy --token-file /etc/tenantproxy/token/admin get listeners" in told
    assert "http://demo-tenantproxy-admin.edge:9900" in told
    assert "exec daemonset/demo-tenantproxy --" in notes("host-network")


def test_on_the_hosts_network_an_api_without_a_token_is_warned_of(notes):
    assert "Warning: the admin API is on the node's loopback" in notes("host-network-deployment")
    assert "Warning" not in notes("host-network")
    assert "Listeners without a port" in notes("host-network")


def test_a_document_of_ones_own_is_told_what_it_has_to_say(notes):
    told = notes("existing-config")
    assert "the key tenantproxy.yaml of ConfigMap my-document" in told
    assert 'metrics: {address: "0.0.0.0", port: 9901}' in told
    assert "rollout restart" in told


def test_the_kernel_relay_says_what_it_costs(notes):
    told = notes("kernel-relay")
    assert "user 0 with CAP_BPF and CAP_NET_ADMIN" in told
    assert "pod-security.kubernetes.io/enforce=privileged" in told


@pytest.mark.parametrize("file", CI_FILES, ids=lambda file: file.name)
def test_they_are_tidy(notes, file):
    told = notes(file.name.removesuffix("-values.yaml")).rstrip()
    assert "<no value>" not in told
    assert "%!" not in told
    assert not re.search(r"\n\n\n", told)
    assert max(map(len, told.splitlines())) < 160
