"""Monitors, rules and dashboards: what is in `files/` comes out as it went in."""

import json
import shutil

import jsonschema
import pytest
import yaml

from tests.helm.chart import CHART, container_of, kinds, one, workload
from tests.helm.test_kubernetes import CUSTOM

ALL = {
    "metrics": {
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboards": {"enabled": True},
    }
}
RULES = {
    "groups": [
        {
            "name": "tenantproxy",
            "rules": [
                {
                    "alert": "TenantproxyDown",
                    "expr": 'up{job="tenantproxy"} == 0',
                    "for": "5m",
                    "labels": {"severity": "critical"},
                    "annotations": {
                        "summary": "{{ $labels.instance }} has {{ $value | humanize }}"
                    },
                },
                {"record": "tenant:x:rate5m", "expr": "sum by (tenant) (rate(x[5m]))\n"},
            ],
        }
    ]
}
DASHBOARD = {"uid": "fleet", "title": "Fleet {{tenant}}", "panels": [{"id": 1, "expr": "a > 1"}]}


@pytest.fixture
def chart(tmp_path):
    """The chart with files of our own in the places of the real ones."""
    chart = tmp_path / "tenantproxy"
    shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("files"))
    for folder in ("rules", "dashboards"):
        (chart / "files" / folder).mkdir(parents=True)
    return chart


@pytest.fixture
def filled(chart):
    (chart / "files/rules/alerts.yaml").write_text(yaml.safe_dump(RULES))
    (chart / "files/rules/recording.yaml").write_text(yaml.safe_dump(RULES))
    (chart / "files/dashboards/fleet.json").write_text(json.dumps(DASHBOARD, indent=2) + "\n")
    return chart


def test_without_files_nothing_is_made(helm, chart):
    objects = helm.objects(ALL, chart=chart)
    assert "PrometheusRule" not in kinds(objects)
    assert not [o for o in objects if "grafana_dashboard" in o["metadata"]["labels"]]


def test_a_file_of_rules_is_a_prometheus_rule(helm, filled):
    rule = one(helm.objects(ALL, chart=filled), "PrometheusRule", "demo-tenantproxy-alerts")
    assert rule["spec"] == RULES
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    jsonschema.validate(rule["spec"], CUSTOM["PrometheusRule"])


def test_every_file_is_an_object_of_its_own(helm, filled):
    objects = helm.objects(ALL, chart=filled)
    rules = [o["metadata"]["name"] for o in objects if o["kind"] == "PrometheusRule"]
    assert sorted(rules) == ["demo-tenantproxy-alerts", "demo-tenantproxy-recording"]


def test_a_file_that_holds_no_rules_is_refused_by_name(helm, filled):
    (filled / "files/rules/alerts.yaml").write_text("rules: []\n")
    assert "files/rules/alerts.yaml holds no groups of rules" in helm.refusal(ALL, chart=filled)


def test_a_dashboard_is_a_config_map_that_the_sidecar_finds(helm, filled):
    found = one(helm.objects(ALL, chart=filled), "ConfigMap", "demo-tenantproxy-dashboard-fleet")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["metadata"]["annotations"] == {"grafana_folder": "tenantproxy"}
    assert json.loads(found["data"]["tenantproxy-fleet.json"]) == DASHBOARD


def test_the_sidecars_words_may_be_others(helm, filled):
    words = {"enabled": True, "label": "dash", "labelValue": "yes", "folder": "", "namespace": "m"}
    values = {"metrics": {"dashboards": words}}
    found = one(helm.objects(values, chart=filled), "ConfigMap", "demo-tenantproxy-dashboard-fleet")
    assert found["metadata"]["labels"]["dash"] == "yes"
    assert "annotations" not in found["metadata"]
    assert found["metadata"]["namespace"] == "m"


def test_pages_of_alerts_are_where_the_operator_keeps_them(helm):
    base = "https://git.example.com/tenantproxy/blob/main/"
    values = {"metrics": {"prometheusRule": {"enabled": True, "runbookBaseUrl": base}}}
    spec = one(helm.objects(values), "PrometheusRule")["spec"]
    alerts = [rule for group in spec["groups"] for rule in group["rules"] if "alert" in rule]
    assert alerts
    for alert in alerts:
        page = f"{base}docs/runbooks/{alert['alert']}.md"
        assert alert["annotations"]["runbook_url"] == page


def test_the_alert_about_the_daemon_asks_for_the_job_that_the_monitors_name(helm):
    values = {"nameOverride": "edge", "metrics": {"prometheusRule": {"enabled": True}}}
    spec = one(helm.objects(values), "PrometheusRule")["spec"]
    exprs = {rule.get("alert"): rule["expr"] for g in spec["groups"] for rule in g["rules"]}
    assert exprs["TenantproxyDown"] == 'up{job="edge"} == 0'
    assert exprs["TenantproxyAbsent"] == 'absent(up{job="edge"})'


def test_they_are_off_by_default(helm, filled):
    made = kinds(helm.objects(chart=filled))
    assert not {"PrometheusRule", "ServiceMonitor", "PodMonitor"} & made


def test_what_is_committed_comes_out_too(rendered):
    """Rules and dashboards come from grafana/; this sees that they are sound where they are."""
    objects = rendered["monitoring"]
    rules = [o for o in objects if o["kind"] == "PrometheusRule"]
    dashboards = [o for o in objects if "grafana_dashboard" in o["metadata"]["labels"]]
    assert len(rules) == len(list(CHART.glob("files/rules/*.yaml")))
    assert len(dashboards) == len(list(CHART.glob("files/dashboards/*.json")))
    for one_of in rules:
        jsonschema.validate(one_of["spec"], CUSTOM["PrometheusRule"])
    for one_of in dashboards:
        (text,) = one_of["data"].values()
        assert json.loads(text)["uid"]


def test_the_service_monitor_selects_the_metrics_service_and_no_other(rendered):
    objects = rendered["monitoring"]
    spec = one(objects, "ServiceMonitor")["spec"]
    wanted = spec["selector"]["matchLabels"].items()
    chosen = [
        o for o in objects if o["kind"] == "Service" and wanted <= o["metadata"]["labels"].items()
    ]
    assert [o["metadata"]["name"] for o in chosen] == ["demo-tenantproxy-metrics"]
    (endpoint,) = spec["endpoints"]
    assert endpoint == {
        "port": "metrics",
        "path": "/metrics",
        "interval": "15s",
        "scrapeTimeout": "10s",
    }
    (port,) = chosen[0]["spec"]["ports"]
    assert (port["name"], port["targetPort"]) == ("metrics", "metrics")


def test_the_pod_monitor_selects_the_pods_by_a_port_that_they_have(rendered):
    objects = rendered["pod-monitor"]
    spec = one(objects, "PodMonitor")["spec"]
    labels = workload(objects)["spec"]["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = spec["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in container_of(objects)["ports"]}
    assert endpoint["relabelings"][0]["targetLabel"] == "node"


@pytest.mark.parametrize("monitor", ["serviceMonitor", "podMonitor"])
def test_the_job_is_named_tenantproxy(helm, monitor):
    """Rules and dashboards may say `job="tenantproxy"`."""
    objects = helm.objects({"metrics": {monitor: {"enabled": True}}})
    (made,) = [o for o in objects if o["kind"] in ("ServiceMonitor", "PodMonitor")]
    label = made["spec"]["jobLabel"]
    labelled = [
        one(objects, "Service", "demo-tenantproxy-metrics"),
        workload(objects)["spec"]["template"],
    ]
    assert {o["metadata"]["labels"][label] for o in labelled} == {"tenantproxy"}
