"""Values that cannot work are refused, each with a sentence that says what to do."""

# ruff: noqa: E501 - a sentence is sought as it is said

import json
import re

import pytest

from tests.helm.chart import CHART, sentences, tenant, tenants
from tools.chart import values

WEB = tenants(web=20001)
NO_TOKEN = "admin.expose needs a token: set admin.token.existingSecret to a Secret that holds one"


def config(**of_acme):
    return {"config": {"tenants": {"acme": of_acme}}}


def listening(**ports):
    return {"config": {"tenants": tenants(**ports)}}


def numbers(mode="nodePort", **by_listener):
    named = {name.replace("_", "/"): number for name, number in by_listener.items()}
    return listening(web=20001, api=20002) | {
        "exposure": {"mode": mode, "nodePort": {"numbers": named}}
    }


TYPES = {
    "a misspelt key": ({"replicas": 3}, "(root): Additional property replicas is not allowed"),
    "a misspelt key inside": (
        {"image": {"tagg": "1"}},
        "image: Additional property tagg is not allowed",
    ),
    "text for a number": (
        {"replicaCount": "two"},
        "replicaCount: Invalid type. Expected: integer, given: string",
    ),
    "an unknown kind": (
        {"kind": "StatefulSet"},
        'kind: kind must be one of the following: "Deployment", "DaemonSet"',
    ),
    "an unknown mode": (
        {"exposure": {"mode": "ingress"}},
        (
            'exposure.mode: exposure.mode must be one of the following: "static", "hostNetwork", '
            '"nodePort", "loadBalancer", "none", "service"'
        ),
    ),
    "a key that the chart decides": (
        {"config": {"proxy": {"listen_address": "0.0.0.0"}}},
        "config.proxy: Additional property listen_address is not allowed",
    ),
    "a misspelt key of a listener": (
        config(
            upstreams={"web": {"endpoints": ["a:1"]}},
            listeners={"web": {"port": 20001, "splt": {}}},
        ),
        "config.tenants.acme.listeners.web: Additional property splt is not allowed",
    ),
    "a listener without a split": (
        config(listeners={"web": {"port": 20001}}),
        "config.tenants.acme.listeners.web: split is required",
    ),
    "an upstream that is listed and discovered": (
        config(upstreams={"web": {"endpoints": ["a:1"], "discovery": {"srv": "a"}}}),
        "config.tenants.acme.upstreams.web: Must validate one and only one schema (oneOf)",
    ),
    "a share without its sign": (
        config(upstreams={"web": {"endpoints": ["a:1"], "panic": 0.5}}),
        "config.tenants.acme.upstreams.web.panic: Invalid type. Expected: string, given: number",
    ),
    "a tenant with capitals": (
        {"config": {"tenants": {"ACME": None}}},
        "config.tenants: Additional property ACME is not allowed",
    ),
    "a duration without a unit": (
        {"config": {"proxy": {"shutdown": {"drain": 30}}}},
        "config.proxy.shutdown.drain: Invalid type. Expected: string, given: integer",
    ),
    "a range that is none": (
        {"ports": {"range": "20000"}},
        "ports.range: Does not match pattern '^[0-9]{1,5}-[0-9]{1,5}$'",
    ),
    "a port beyond the last": (
        {"ports": {"metrics": 70000}},
        "ports.metrics: Must be less than or equal to 65535",
    ),
    "an address of one host": (
        {"listenAddress": "10.0.0.1"},
        'listenAddress: listenAddress must be one of the following: "0.0.0.0", "::"',
    ),
    "a policy that is no file of YAML": (
        {"policies": {"idle": "name: x"}},
        'policies: Property name of "idle" does not match',
    ),
    "a tag for a digest": (
        {"image": {"digest": "latest"}},
        "image.digest: Does not match pattern '^(sha256:[0-9a-f]{64})?$'",
    ),
    "half a pod for a budget": (
        {"podDisruptionBudget": {"minAvailable": "half"}},
        "podDisruptionBudget.minAvailable: Does not match pattern '^([0-9]+%)?$'",
    ),
}

TOGETHER = {
    "pods that meet on a node": (
        {"exposure": {"mode": "hostNetwork"}, "replicaCount": 3},
        (
            "on the host's network 3 pods of a Deployment may meet on one node and want the same ports: "
            "set kind to DaemonSet, replicaCount to 1, or affinity.podAntiAffinity"
        ),
    ),
    "a controller that is not there": (
        {"exposure": {"mode": "service"}},
        (
            "exposure.mode service is not there yet (a controller will write those Services): "
            "take static, nodePort, loadBalancer, hostNetwork or none"
        ),
    ),
    "a node port too low": (
        numbers(acme_web=8080),
        "node port 8080 of listener acme/web is outside of exposure.nodePort.range 30000-32767",
    ),
    "a node port twice": (
        numbers(acme_web=30001, acme_api=30001),
        "node port 30001 is given to acme/api and to acme/web",
    ),
    "a node port of nobody": (
        numbers(acme_www=30001),
        (
            "exposure.nodePort.numbers names acme/www, and config.tenants has no such listener "
            "(write TENANT/LISTENER)"
        ),
    ),
    "an API for everybody": ({"admin": {"expose": True}}, NO_TOKEN),
    "two documents": (
        {"existingConfigMap": "a", "existingSecret": "b", "exposure": {"mode": "none"}},
        "existingConfigMap and existingSecret are both set: there is one document",
    ),
    "tenants here and there": (
        {"existingSecret": "mine", "exposure": {"mode": "none"}, "config": {"tenants": WEB}},
        "config.tenants and a document of your own (mine) are both set: tenants stand in one of the two",
    ),
    "services of a document that is not seen": (
        {"existingConfigMap": "mine"},
        (
            "exposure.mode static makes Services from config.tenants, which a document of your own "
            "(mine) replaces: set exposure.mode to none or hostNetwork"
        ),
    ),
    "a service to any port": (
        listening(web=None),
        (
            "listener acme/web has no port, so every pod chooses one and no Service can lead there: "
            "give it a port, or set exposure.mode to none or hostNetwork"
        ),
    ),
    "a port outside of the range": (
        listening(web=8443),
        "port 8443 of listener acme/web is outside of ports.range 20000-29999",
    ),
    "two listeners on a port": (
        {"config": {"tenants": WEB | {"corp": tenant({"db": 20001})}}},
        "port 20001 of listener corp/db is taken by listener acme/web: give one of the two another number",
    ),
    "a listener on the metrics port": (
        listening(web=20001) | {"ports": {"metrics": 20001}},
        "port 20001 of listener acme/web is taken by ports.metrics: give one of the two another number",
    ),
    "a low port": (
        listening(web=443) | {"ports": {"range": "400-500"}},
        (
            "port 443 of listener acme/web is below 1024: set privilegedPorts.enabled, "
            "or take a number from 1024 up"
        ),
    ),
    "a range backwards": (
        {"ports": {"range": "29999-20000"}},
        "ports.range 29999-20000 ends before it begins: write 20000-29999",
    ),
    "a range beyond the last port": (
        {"ports": {"range": "65000-70000"}},
        "ports.range 65000-70000: a port is a number from 1 to 65535",
    ),
    "a section of comments": (
        {"config": {"proxy": None, "tenants": WEB}},
        "config.proxy is empty: leave the key out to have its default",
    ),
    "no number": (
        {"replicaCount": None},
        "replicaCount is empty: leave the key out to have its default",
    ),
    "one port for two": (
        {"ports": {"metrics": 9900}},
        "ports.metrics and ports.admin are both 9900: give one of the two another number",
    ),
    "a scaled DaemonSet": (
        {"kind": "DaemonSet", "autoscaling": {"enabled": True}},
        "autoscaling cannot scale a DaemonSet, which has one pod on each node: set kind to Deployment",
    ),
    "fewest above most": (
        {"autoscaling": {"enabled": True, "minReplicas": 9, "maxReplicas": 3}},
        "autoscaling.minReplicas 9 is above autoscaling.maxReplicas 3",
    ),
    "percent of nothing": (
        {"autoscaling": {"enabled": True}, "resources": {"requests": None}},
        "autoscaling by CPU is in percent of what is requested: set resources.requests.cpu",
    ),
    "percent of no memory": (
        {
            "autoscaling": {"enabled": True, "targetMemoryUtilizationPercentage": 80},
            "resources": {"requests": {"memory": None}},
        },
        "autoscaling by memory is in percent of what is requested: set resources.requests.memory",
    ),
    "scaled by nothing": (
        {"autoscaling": {"enabled": True, "targetCPUUtilizationPercentage": 0}},
        "autoscaling has no metric: set targetCPUUtilizationPercentage or metrics",
    ),
    "a budget that lets none go": (
        {"podDisruptionBudget": {"minAvailable": 2}},
        (
            "podDisruptionBudget.minAvailable 2 of 2 pods lets none go, and no node could be drained: "
            "set it lower"
        ),
    ),
    "a budget of all": (
        {"podDisruptionBudget": {"minAvailable": "100%"}},
        (
            "podDisruptionBudget.minAvailable 100% of 2 pods lets none go, and no node could be drained: "
            "set it lower"
        ),
    ),
    "a budget of two minds": (
        {"podDisruptionBudget": {"minAvailable": 1, "maxUnavailable": 1}},
        "podDisruptionBudget has minAvailable and maxUnavailable: set one of the two",
    ),
    "a grace period that cuts the drain": (
        {"terminationGracePeriodSeconds": 30},
        (
            "terminationGracePeriodSeconds 30 kills the daemon while it drains: "
            "config.proxy.shutdown needs 45; leave it at 0"
        ),
    ),
    "two monitors": (
        {"metrics": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}},
        (
            "metrics.serviceMonitor and metrics.podMonitor are both enabled: "
            "every pod would be scraped twice"
        ),
    ),
    "annotations for nobody": (
        {"exposure": {"tenants": {"corp": {"annotations": {"a": "b"}}}}},
        "exposure.tenants names corp, and config.tenants has no such tenant",
    ),
    "a tenant named like a Service of the chart": (
        {"config": {"tenants": {"metrics": tenant({"web": 20001})}}},
        (
            "two Services would be named demo-tenantproxy-metrics, one of them of tenant metrics: "
            "give the tenant another name"
        ),
    ),
    "a name that no Service can have": (
        {"fullnameOverride": "1st"},
        (
            'the name "1st" cannot be that of a Service: set fullnameOverride to small letters, '
            "digits and dashes that start with a letter"
        ),
    ),
    "a label that selects": (
        {"podLabels": {"app.kubernetes.io/name": "mine"}},
        "podLabels may not hold app.kubernetes.io/name: the pods are selected by it; use nameOverride",
    ),
}


@pytest.mark.parametrize(("values", "sentence"), TYPES.values(), ids=TYPES)
def test_a_wrong_value_is_refused_by_the_schema(helm, values, sentence):
    refusal = helm.refusal(values)
    assert "values don't meet the specifications of the schema" in refusal
    assert sentence in sentences(refusal)


@pytest.mark.parametrize(("values", "sentence"), TOGETHER.values(), ids=TOGETHER)
def test_values_that_do_not_go_together_are_refused(helm, values, sentence):
    told = sentences(helm.refusal(values))
    assert told == [sentence]


def test_everything_that_is_wrong_is_said_at_once(helm):
    refusal = helm.refusal(listening(web=1, api=None) | {"admin": {"expose": True}})
    told = sentences(refusal)
    assert len(told) == 4
    assert NO_TOKEN in told


def everything_needed(inside=None):
    """Yield closed mappings, and values whose default is a number or a text."""
    for value in values((CHART / "values.yaml").read_text()) if inside is None else inside:
        number_or_text = isinstance(value.default, str | int) and value.default not in ("", 0, True)
        if value.inside or number_or_text:
            yield value.path
        yield from everything_needed(value.inside) if value.inside else ()


def test_whatever_is_needed_is_missed_by_its_name(helm):
    """A new section of values.yaml has to be added to the list in checks.yaml."""
    text = (CHART / "templates/validation/checks.yaml").read_text()
    listed = text.partition("range $path := list")[2].partition("}}")[0]
    assert re.findall(r'"(.*?)"', listed) == [*everything_needed()]


@pytest.mark.parametrize("section", ["image", "exposure", "metrics", "admin", "helmTest"])
def test_a_section_that_is_empty_is_named_before_anything_fails_over_it(helm, section):
    told = sentences(helm.refusal({section: None}))
    assert told == [f"{section} is empty: leave the key out to have its default"]


def test_a_document_too_large_for_a_config_map_is_refused(helm, tmp_path):
    endpoints = [f"web-{n}.a-name-as-long-as-they-are-in-clusters.svc:8080" for n in range(1024)]
    many = {f"t{n}": {"upstreams": {"web": {"endpoints": endpoints}}} for n in range(25)}
    file = tmp_path / "many.json"
    file.write_text(json.dumps({"config": {"tenants": many}}))
    (told,) = sentences(helm.refusal({}, files=(file,)))
    assert told.startswith("the document has ")
    assert told.endswith(
        " bytes, and a ConfigMap or Secret holds 1 MiB: give tenants to several releases"
    )


def test_a_cluster_too_old_is_refused(helm):
    refusal = helm.refusal({}, more=("--kube-version", "1.30"))
    assert "chart requires kubeVersion: >=1.31.0-0" in refusal


@pytest.mark.parametrize("mode", ["static", "loadBalancer"])
def test_a_parent_chart_may_switch_it_and_pass_globals(helm, mode):
    assert helm.objects({"enabled": True, "global": {"any": 1}, "exposure": {"mode": mode}})
