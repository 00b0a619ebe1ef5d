"""The pod: what runs, with which rights, how it begins and ends, and how many there are."""

import pytest

from tests.helm.chart import container_of, kinds, one, pod_of, tenants, workload

# https://kubernetes.io/docs/concepts/security/pod-security-standards/, restricted
SAFE_SYSCTLS = {"net.ipv4.ip_unprivileged_port_start"}


def is_restricted(pod) -> bool:
    """Tell whether the restricted Pod Security Standard admits a pod of ours."""
    security = pod.get("securityContext", {})
    every = [*pod["containers"], *pod.get("initContainers", ())]
    return (
        not pod.get("hostNetwork")
        and all("hostPath" not in volume for volume in pod.get("volumes", ()))
        and security.get("runAsNonRoot") is True
        and security.get("runAsUser") != 0
        and security.get("seccompProfile") == {"type": "RuntimeDefault"}
        and {s["name"] for s in security.get("sysctls", ())} <= SAFE_SYSCTLS
        and all(
            c["securityContext"]["allowPrivilegeEscalation"] is False
            and "ALL" in c["securityContext"]["capabilities"]["drop"]
            and not set(c["securityContext"]["capabilities"].get("add", ())) - {"NET_BIND_SERVICE"}
            for c in every
        )
    )


def test_pods_are_restricted_unless_a_switch_says_otherwise(rendered):
    refused = {name for name, objects in rendered.items() if not is_restricted(pod_of(objects))}
    assert refused == {"kernel-relay", "host-network", "host-network-deployment"}


def test_the_pod_of_helm_test_is_restricted_always(rendered):
    for objects in rendered.values():
        assert is_restricted(one(objects, "Pod")["spec"])


def test_the_root_is_read_only_and_no_token_is_mounted(rendered):
    for objects in rendered.values():
        pod, container = pod_of(objects), container_of(objects)
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert pod["automountServiceAccountToken"] is False
        assert not {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"} & kinds(objects)


def test_the_kernel_relay_adds_two_capabilities_and_the_user_that_they_reach(rendered):
    objects = rendered["kernel-relay"]
    assert container_of(objects)["securityContext"]["capabilities"] == {
        "drop": ["ALL"],
        "add": ["BPF", "NET_ADMIN"],
    }
    security = pod_of(objects)["securityContext"]
    assert (security["runAsUser"], security["runAsNonRoot"]) == (0, False)
    assert container_of(objects)["securityContext"]["allowPrivilegeEscalation"] is False


def test_low_ports_are_a_sysctl_in_the_pods_network_and_a_capability_on_the_hosts(helm, rendered):
    objects = rendered["privileged-ports"]
    assert pod_of(objects)["securityContext"]["sysctls"] == [
        {"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}
    ]
    assert "add" not in container_of(objects)["securityContext"]["capabilities"]
    values = {"kind": "DaemonSet", "exposure": {"mode": "hostNetwork"}}
    objects = helm.objects(values | {"privilegedPorts": {"enabled": True}})
    assert "sysctls" not in pod_of(objects)["securityContext"]
    capabilities = container_of(objects)["securityContext"]["capabilities"]
    assert capabilities == {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}
    assert pod_of(objects)["securityContext"]["runAsUser"] == 0


@pytest.mark.parametrize(
    ("shutdown", "lifecycle", "seconds"),
    [
        ({}, {}, 45),
        ({"keep_accepting": "0s", "drain": "500ms"}, {}, 11),
        ({"keep_accepting": "1.5s", "drain": "5m"}, {}, 312),
        ({"drain": "1h"}, {"preStop": {"sleep": {"seconds": 7}}}, 3622),
        ({"drain": "1d"}, {}, 86415),
    ],
)
def test_the_grace_period_holds_what_the_daemon_may_take(helm, shutdown, lifecycle, seconds):
    values = {"config": {"proxy": {"shutdown": shutdown}}, "lifecycle": lifecycle}
    assert pod_of(helm.objects(values))["terminationGracePeriodSeconds"] == seconds


def test_a_longer_grace_period_is_taken(helm):
    pod = pod_of(helm.objects({"terminationGracePeriodSeconds": 600}))
    assert pod["terminationGracePeriodSeconds"] == 600


def test_probes_ask_the_metrics_port_by_its_name(rendered):
    container = container_of(rendered["default"])
    asked = {
        kind: container[kind]["httpGet"]
        for kind in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert asked == {
        "startupProbe": {"path": "/livez", "port": "metrics"},
        "livenessProbe": {"path": "/livez", "port": "metrics"},
        "readinessProbe": {"path": "/readyz", "port": "metrics"},
    }


def test_readiness_fails_before_the_daemon_stops_accepting(rendered):
    probe = container_of(rendered["default"])["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < 5


def test_a_probe_takes_fields_and_another_way_to_ask(helm):
    values = {"livenessProbe": {"periodSeconds": 30}, "readinessProbe": {"tcpSocket": {"port": 1}}}
    container = container_of(helm.objects(values | {"startupProbe": None}))
    assert container["livenessProbe"]["periodSeconds"] == 30
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert "httpGet" not in container["readinessProbe"]
    assert "startupProbe" not in container


def test_a_daemon_set_has_neither_replicas_nor_a_budget(rendered):
    objects = rendered["host-network"]
    assert "replicas" not in one(objects, "DaemonSet")["spec"]
    assert not {"Deployment", "PodDisruptionBudget"} & kinds(objects)


def test_a_rolling_update_has_a_new_pod_ready_before_an_old_one_goes(rendered):
    strategy = one(rendered["default"], "Deployment")["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_the_autoscaler_owns_the_number_of_pods(rendered):
    objects = rendered["autoscaling"]
    assert "replicas" not in one(objects, "Deployment")["spec"]
    spec = one(objects, "HorizontalPodAutoscaler")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 20)
    named = [
        metric.get("resource", metric.get("pods", {}).get("metric"))["name"]
        for metric in spec["metrics"]
    ]
    assert named == ["cpu", "memory", "tenantproxy_listener_connections"]
    assert spec["scaleTargetRef"]["name"] == workload(objects)["metadata"]["name"]


def test_the_budget_is_one_pod_or_what_is_asked(helm, rendered):
    def budget(**values):
        spec = one(helm.objects({"podDisruptionBudget": values}), "PodDisruptionBudget")["spec"]
        return spec.get("minAvailable"), spec.get("maxUnavailable")

    assert budget() == (None, 1)
    assert budget(maxUnavailable="25%") == (None, "25%")
    assert budget(minAvailable=1) == (1, None)
    assert budget(maxUnavailable=0) == (None, 0)
    assert "PodDisruptionBudget" not in kinds(
        helm.objects({"podDisruptionBudget": {"enabled": False}})
    )


def test_a_spread_without_a_selector_gets_that_of_the_pods(rendered):
    objects = rendered["autoscaling"]
    (spread,) = pod_of(objects)["topologySpreadConstraints"]
    assert spread["labelSelector"] == workload(objects)["spec"]["selector"]


def test_extra_things_are_where_they_belong(rendered):
    objects = rendered["extras"]
    pod, container = pod_of(objects), container_of(objects)
    assert [c["name"] for c in pod["containers"]] == ["tenantproxy", "demo-beside"]
    assert [c["name"] for c in pod["initContainers"]] == ["wait"]
    assert {"name": "NO_COLOR", "value": "1"} in container["env"]
    assert container["envFrom"] == [{"configMapRef": {"name": "more-env", "optional": True}}]
    assert {"name": "scratch", "mountPath": "/scratch"} in container["volumeMounts"]
    assert container["image"].startswith("registry.example.com/infra/tenantproxy@sha256:0123")
    assert pod["imagePullSecrets"] == [{"name": "regcred"}]
    assert pod["serviceAccountName"] == "edge-proxy"
    meta = workload(objects)["spec"]["template"]["metadata"]
    assert meta["annotations"]["example.com/note"] == "pod"
    assert meta["labels"]["example.com/tier"] == "edge"
    assert all(
        o["metadata"]["labels"]["example.com/team"] == "network"
        for o in objects
        if o["metadata"]["name"].startswith("edge-") and "labels" in o["metadata"]
    )
    assert one(objects, "ConfigMap", "demo-extra")
    assert one(objects, "ConfigMap", "edge-text")


def test_names_are_those_of_the_release_and_may_be_ones_own(helm, rendered):
    names = {workload(rendered[key])["metadata"]["name"] for key in ("default", "extras")}
    assert names == {"demo-tenantproxy", "edge"}
    objects = helm.objects(release="my-tenantproxy")
    assert workload(objects)["metadata"]["name"] == "my-tenantproxy"
    objects = helm.objects(release="team.a")
    assert workload(objects)["metadata"]["name"] == "team-a-tenantproxy"


def test_services_do_not_fill_the_environment(rendered):
    assert pod_of(rendered["default"])["enableServiceLinks"] is False


def test_a_label_that_is_given_twice_stands_once(helm):
    """The reader of these tests refuses a key that stands twice."""
    values = {
        "commonLabels": {"a": "common", "app.kubernetes.io/version": "mine"},
        "podLabels": {"a": "pod"},
        "podAnnotations": {"checksum/proxy": "mine"},
    }
    made = workload(helm.objects(values))
    assert made["metadata"]["labels"]["app.kubernetes.io/version"] == "mine"
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert (labels["a"], labels["app.kubernetes.io/version"]) == ("pod", "mine")
    assert made["spec"]["template"]["metadata"]["annotations"]["checksum/proxy"] != "mine"


@pytest.mark.parametrize(
    "path",
    ["podSecurityContext", "securityContext", "lifecycle", "affinity", "resources",
     "exposure.annotations", "exposure.tenants", "admin.expose", "kernelRelay.enabled",
     "autoscaling.enabled", "podAnnotations", "podLabels", "commonLabels"],
)  # fmt: skip
def test_what_is_taken_away_with_null_is_not_there(helm, path):
    values = None
    for name in reversed(path.split(".")):
        values = {name: values}
    values["config"] = {"tenants": tenants(web=20001)}
    assert workload(helm.objects(values))
