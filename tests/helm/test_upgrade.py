"""What an upgrade changes: never a selector, and pods only when it has to."""

import shutil

import pytest
import yaml

from tests.helm.chart import CHART, tenant, tenant_services, tenants, workload

BEFORE = {"config": {"tenants": tenants(web=20001)}}


@pytest.fixture
def next_chart(tmp_path):
    """The chart two versions on, of a program two versions on."""
    chart = tmp_path / "tenantproxy"
    shutil.copytree(CHART, chart)
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    about |= {"version": "0.3.0", "appVersion": "0.3.0"}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about))
    return chart


def template(helm, values, **options):
    return workload(helm.objects(values, **options))["spec"]["template"]


def proxy(**keys):
    return BEFORE | {"config": BEFORE["config"] | {"proxy": keys}}


def selectors(objects):
    """Return everything that may not change while an object lives."""
    return {
        (o["kind"], o["metadata"]["name"]): o["spec"]["selector"]
        for o in objects
        if o["kind"] in ("Deployment", "DaemonSet", "Service", "PodDisruptionBudget")
    }


@pytest.mark.parametrize("kind", ["Deployment", "DaemonSet"])
def test_no_selector_and_no_name_changes_with_the_version(helm, next_chart, kind):
    before = helm.objects(BEFORE | {"kind": kind})
    after = helm.objects(BEFORE | {"kind": kind}, chart=next_chart)
    assert selectors(before) == selectors(after)
    assert "0.3.0" in workload(after)["metadata"]["labels"]["helm.sh/chart"]


def test_no_selector_changes_with_labels_of_the_user(helm):
    after = BEFORE | {"commonLabels": {"a": "b"}, "podLabels": {"c": "d"}}
    assert selectors(helm.objects(BEFORE)) == selectors(helm.objects(after))


def test_a_new_chart_alone_rolls_nothing(helm, next_chart):
    values = BEFORE | {"image": {"tag": "0.1.0"}}
    assert template(helm, values) == template(helm, values, chart=next_chart)


def test_a_new_program_rolls_the_pods(helm, next_chart):
    before, after = template(helm, BEFORE), template(helm, BEFORE, chart=next_chart)
    assert before != after
    assert after["spec"]["containers"][0].pop("image") == "tenantproxy:0.3.0"
    assert before["spec"]["containers"][0].pop("image") == "tenantproxy:0.1.0"
    assert before == after


CHANGES_READ_IN_PLACE = {
    "a tenant": {
        "config": {"tenants": BEFORE["config"]["tenants"] | {"corp": tenant({"db": 20002})}}
    },
    "a listener": {"config": {"tenants": tenants(web=20001, api=20002)}},
    "a port": {"config": {"tenants": tenants(web=20009)}},
    "no tenants": {"config": {"tenants": {}}},
    "a policy": BEFORE | {"policies": {"idle.yaml": "", "other.yaml": "# none\n"}},
    "the exposure": BEFORE | {"exposure": {"mode": "loadBalancer"}},
    "the number of pods": BEFORE | {"replicaCount": 5},
    "the network policy": BEFORE | {"networkPolicy": {"enabled": False}},
    "a monitor": BEFORE | {"metrics": {"serviceMonitor": {"enabled": True}}},
    "the same by another word": proxy(workers=2, accept="shared"),
}
CHANGES_READ_AT_START = {
    "workers": proxy(workers=3),
    "accept": proxy(accept="reuseport"),
    "rollout_commands": proxy(rollout_commands=True),
    "keep_accepting": proxy(shutdown={"keep_accepting": "6s"}),
    "drain by less than a second": proxy(shutdown={"drain": "29900ms"}),
    "range": BEFORE | {"ports": {"range": "20000-20999"}},
    "metrics port": BEFORE | {"ports": {"metrics": 9999}},
    "admin port": BEFORE | {"ports": {"admin": 9999}},
    "address": BEFORE | {"listenAddress": "::"},
    "token": BEFORE | {"admin": {"token": {"existingSecret": "token"}}},
    "token's key": BEFORE | {"admin": {"token": {"existingSecret": "token", "key": "other"}}},
    "exposed": BEFORE | {"admin": {"expose": True, "token": {"existingSecret": "token"}}},
}


@pytest.mark.parametrize("change", CHANGES_READ_IN_PLACE.values(), ids=CHANGES_READ_IN_PLACE)
def test_what_running_pods_read_rolls_nothing(helm, change):
    assert template(helm, BEFORE) == template(helm, change)


@pytest.mark.parametrize("change", CHANGES_READ_AT_START.values(), ids=CHANGES_READ_AT_START)
def test_what_is_read_at_start_rolls_the_pods(helm, change):
    before, after = template(helm, BEFORE), template(helm, change)
    checksums = {t["metadata"]["annotations"]["checksum/proxy"] for t in (before, after)}
    assert len(checksums) == 2


def test_the_hash_leaves_out_what_the_daemon_follows(helm):
    """The relay is followed; only the rights for it are of the pod."""
    relays = [{"kernelRelay": {"enabled": True, "mode": mode}} for mode in ("auto", "kernel")]
    first, second = (template(helm, BEFORE | relay) for relay in relays)
    assert first == second


def test_a_render_is_the_same_every_time(helm):
    """Or whoever compares renders (GitOps) would see a change at each."""
    values = BEFORE | {"configStorageType": "Secret", "admin": {"token": {"existingSecret": "t"}}}
    assert helm.text(values) == helm.text(values)


def test_a_new_listener_leaves_the_other_ports_of_its_service(helm):
    before = tenant_services(helm.objects(BEFORE))
    after = tenant_services(helm.objects({"config": {"tenants": tenants(web=20001, api=20000)}}))
    (old,), (new,) = before.values(), after.values()
    assert before.keys() == after.keys()
    assert all(port in new["spec"]["ports"] for port in old["spec"]["ports"])
