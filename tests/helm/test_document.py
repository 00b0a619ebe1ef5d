"""The document that the chart renders is one that `tenantproxy check` accepts."""

import base64

import pytest
import yaml
from click.testing import CliRunner

from tenantproxy.cli.check import check
from tenantproxy.config.document import parse_tenant
from tenantproxy.config.load import load
from tenantproxy.config.proxy_models import ProxyDoc
from tenantproxy.model.spec import AdminSpec, MetricsSpec, ShutdownSpec
from tests.config.test_document import FULL
from tests.helm.chart import CHART, CI_FILES, ROOT, one, pod_of, tenant

MOUNTED = "/etc/tenantproxy"


def laid_out(objects, folder):
    """Write document and policies as they are mounted, `folder` for /etc/tenantproxy."""
    volumes = {volume["name"]: volume for volume in pod_of(objects)["volumes"]}
    files = {}
    if "secret" in volumes["document"]:
        made = one(objects, "Secret", volumes["document"]["secret"]["secretName"])
        files["config"] = {k: base64.b64decode(v).decode() for k, v in made["data"].items()}
    else:
        files["config"] = one(objects, "ConfigMap", volumes["document"]["configMap"]["name"])[
            "data"
        ]
    files["policies"] = (
        one(objects, "ConfigMap", volumes["policies"]["configMap"]["name"])["data"] or {}
    )
    for place, content in files.items():
        (folder / place).mkdir()
        for name, text in content.items():
            (folder / place / name).write_text(text.replace(MOUNTED, str(folder)))
    return folder / "config" / "tenantproxy.yaml"


@pytest.mark.parametrize(
    "file", [f for f in CI_FILES if "existing" not in f.name], ids=lambda file: file.name
)
def test_check_accepts_the_document_and_the_policies(rendered, tmp_path, file):
    document = laid_out(rendered[file.name.removesuffix("-values.yaml")], tmp_path)
    done = CliRunner().invoke(check, [str(document)])
    assert done.exit_code == 0, done.output
    assert ": valid: " in done.output
    assert "1 policy" in done.output


def test_what_the_values_say_arrives(rendered, tmp_path):
    loaded = load(laid_out(rendered["autoscaling"], tmp_path))
    proxy = loaded.document.proxy
    assert (proxy.workers, proxy.accept) == (None, "reuseport")
    assert proxy.shutdown == ShutdownSpec(1.5, 300)
    assert proxy.port_range == (20000, 29999)
    assert proxy.metrics == MetricsSpec("0.0.0.0", 9901)
    assert proxy.admin == AdminSpec("127.0.0.1", 9900, None)
    (acme,) = loaded.document.tenants.values()
    assert acme.labels == {"team": "payments"}
    assert acme.listeners["web"].port == 20001
    assert [(m.upstream, m.weight) for m in acme.listeners["web"].split] == [
        ("web-v1", 95),
        ("web-v2", 5),
    ]


@pytest.mark.parametrize(
    ("name", "address", "token"),
    [
        ("default", "127.0.0.1", None),
        ("host-network", "127.0.0.1", "token"),
        ("admin-token", "0.0.0.0", "admin"),
    ],
)
def test_the_api_leaves_the_loopback_only_with_a_token_and_when_asked(
    rendered, tmp_path, name, address, token
):
    admin = load(laid_out(rendered[name], tmp_path)).document.proxy.admin
    assert admin.address == address
    assert admin.token_file == (token and f"{tmp_path}/token/{token}")


def test_the_relay_is_the_pump_unless_it_is_switched_on(helm, rendered, tmp_path):
    assert (
        "relay: pump"
        in one(rendered["default"], "ConfigMap", "demo-tenantproxy")["data"]["tenantproxy.yaml"]
    )
    assert load(laid_out(rendered["kernel-relay"], tmp_path)).document.proxy.relay == "kernel"


def test_both_families_are_one_address(rendered, tmp_path):
    proxy = load(laid_out(rendered["load-balancer"], tmp_path)).document.proxy
    assert (proxy.listen_address, proxy.metrics.address) == ("::", "::")


def test_the_policies_as_they_come_are_those_of_the_repository():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    files = {file.name: file.read_text() for file in (ROOT / "policies").glob("*.yaml")}
    assert values["policies"] == files


def test_policies_may_be_others_or_none(helm, rendered, tmp_path):
    (policy,) = load(laid_out(rendered["secret"], tmp_path)).policies
    assert policy.name == "close-free-ports"
    none = tmp_path / "none"
    none.mkdir()
    assert load(laid_out(helm.objects({"policies": {"idle.yaml": None}}), none)).policies == ()


def test_large_numbers_and_words_like_yaml_survive(helm, tmp_path):
    """Helm reads numbers as floats, and YAML takes some texts for something else."""
    acme = tenant({"web": 20001}) | {"labels": {"a": "yes", "b": "1e3", "c": "012", "d": "1:20"}}
    acme["listeners"]["web"] |= {"split": {"web": 1_000_000}, "wake": {"hold": 1_000_000}}
    acme["upstreams"]["web"]["endpoints"] = ["[2001:db8::1]:80", "10.0.0.1:80"]
    objects = helm.objects({"config": {"tenants": {"acme": acme}}})
    loaded = load(laid_out(objects, tmp_path)).document.tenants["acme"]
    assert loaded.labels == acme["labels"]
    assert loaded.listeners["web"].wake.hold == 1_000_000
    assert loaded.listeners["web"].split[0].weight == 1_000_000


def test_every_key_of_a_tenant_survives(helm, tmp_path):
    acme = yaml.safe_load(FULL)["tenants"]["acme"]
    del acme["listeners"]["auto"]  # no Service leads to a port that is not said
    config = {"proxy": {"rollout_commands": True}, "tenants": {"acme": acme}}
    loaded = load(laid_out(helm.objects({"config": config}), tmp_path))
    assert loaded.document.proxy.rollout_commands
    assert loaded.document.tenants == {"acme": parse_tenant("acme", acme)}


def test_every_key_of_proxy_is_said_by_the_chart_or_left_to_the_user(helm):
    """A key that is new in the document has to be thought about here, too."""
    objects = helm.objects({"admin": {"token": {"existingSecret": "t"}}})
    text = one(objects, "ConfigMap", "demo-tenantproxy")["data"]["tenantproxy.yaml"]
    assert yaml.safe_load(text)["proxy"].keys() == ProxyDoc.model_fields.keys()


def test_a_secret_is_read_by_the_group_and_by_nobody_else(rendered):
    for name in ("secret", "admin-token"):
        pod = pod_of(rendered[name])
        modes = [v["secret"]["defaultMode"] for v in pod["volumes"] if "secret" in v]
        assert modes == [0o440]
        assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]
    assert not {"ConfigMap/demo-tenantproxy"} & {
        f"{o['kind']}/{o['metadata']['name']}" for o in rendered["secret"]
    }, "the document would stand in a ConfigMap, too"
