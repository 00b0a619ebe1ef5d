"""Every file of `ci/` passes lint and gives sound objects."""

import re
import tarfile

import pytest
import yaml

import tenantproxy
from tests.helm.chart import CHART, CI_FILES, NAMESPACE, pod_of, workload

STANDARD = {
    "helm.sh/chart",
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/component",
    "app.kubernetes.io/version",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/managed-by",
}


@pytest.mark.parametrize("file", CI_FILES, ids=lambda file: file.name)
def test_lint_finds_nothing(helm, file):
    assert "0 chart(s) failed" in helm.run("lint", "--strict", CHART, "-f", file)


def test_the_values_as_they_come_pass_lint(helm):
    assert "0 chart(s) failed" in helm.run("lint", "--strict", CHART)


def test_every_object_has_the_standard_labels_and_its_namespace(rendered):
    for name, objects in rendered.items():
        for one in objects:
            meta = one["metadata"]
            if meta["name"] in ("demo-extra", "edge-text"):  # the user's own
                continue
            assert meta["labels"].keys() >= STANDARD, (name, meta["name"])
            wanted = "monitoring" if "grafana_dashboard" in meta["labels"] else NAMESPACE
            assert meta["namespace"] == wanted


def test_what_selects_pods_selects_those_of_the_proxy_and_no_others(rendered):
    for name, objects in rendered.items():
        labels = workload(objects)["spec"]["template"]["metadata"]["labels"]
        test_pods = [o["metadata"]["labels"] for o in objects if o["kind"] == "Pod"]
        for one in objects:
            spec = one.get("spec", {})
            selectors = [spec.get("selector"), spec.get("podSelector")]
            for selector in filter(None, selectors):
                wanted = selector.get("matchLabels", selector)
                if one["kind"] == "ServiceMonitor":
                    continue  # it selects Services: see test_monitoring
                assert wanted.items() <= labels.items(), (name, one["kind"])
                assert not any(wanted.items() <= other.items() for other in test_pods)


def test_every_mount_has_a_volume_and_no_volume_is_left_over(rendered):
    for name, objects in rendered.items():
        pod = pod_of(objects)
        mounts = [m for c in pod["containers"] for m in c.get("volumeMounts", ())]
        assert {m["name"] for m in mounts} == {v["name"] for v in pod["volumes"]}, name
        assert not any("subPath" in mount for mount in mounts), "it would not follow a change"


def test_every_config_map_and_secret_that_is_mounted_is_made_or_is_the_users(rendered):
    for name, objects in rendered.items():
        made = {(o["kind"], o["metadata"]["name"]) for o in objects}
        theirs = {("ConfigMap", "my-document"), ("Secret", "tenantproxy-token")}
        for volume in pod_of(objects)["volumes"]:
            if "configMap" in volume:
                wanted = ("ConfigMap", volume["configMap"]["name"])
            elif "secret" in volume:
                wanted = ("Secret", volume["secret"]["secretName"])
            else:
                continue
            assert wanted in made | theirs, name


def test_the_chart_is_that_of_this_version_of_the_program():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == tenantproxy.__version__


def test_every_mode_and_every_switch_stands_in_a_file_of_ci():
    text = "".join(file.read_text() for file in CI_FILES)
    assert set(re.findall(r"mode: (\w+)", text)) >= {
        "hostNetwork",
        "nodePort",
        "loadBalancer",
        "none",
    }
    off = [
        key
        for key, value in yaml.safe_load((CHART / "values.yaml").read_text()).items()
        if value in ([], {}, "")
    ]
    tried = set().union(*(yaml.safe_load(file.read_text()) for file in CI_FILES))
    assert set(off) - tried <= {"global", "nodeSelector", "affinity", "existingSecret"}


def test_the_package_holds_what_users_need_and_no_files_of_ours(helm, tmp_path):
    helm.run("package", CHART, "-d", tmp_path)
    (package,) = tmp_path.iterdir()
    with tarfile.open(package) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {"Chart.yaml", "values.yaml", "values.schema.json", "README.md"} <= names
    assert not any(name.startswith("ci/") for name in names)
