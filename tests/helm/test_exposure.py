"""Which Services tenants get, and that ports stay in theirs."""

import pytest

from tests.helm.chart import (
    container_of,
    one,
    pod_of,
    tenant,
    tenant_services,
    tenants,
    workload,
)


def services(helm, config_tenants, **exposure):
    values = {"config": {"tenants": config_tenants}}
    return tenant_services(helm.objects(values | ({"exposure": exposure} if exposure else {})))


def ports_of(found):
    return {name: {p["port"] for p in o["spec"]["ports"]} for name, o in found.items()}


def numbered(*ports):
    return {f"p{port}": port for port in ports}


def test_a_tenant_has_one_service_with_a_port_for_each_listener(helm):
    found = services(helm, tenants(web=20001, api=20000) | {"corp": tenant({"db": 25000})})
    assert found.keys() == {"demo-tenantproxy-acme", "demo-tenantproxy-corp"}
    spec = found["demo-tenantproxy-acme"]["spec"]
    assert spec["type"] == "ClusterIP"
    assert spec["ports"] == [
        {"name": "api", "protocol": "TCP", "port": 20000, "targetPort": 20000},
        {"name": "web", "protocol": "TCP", "port": 20001, "targetPort": 20001},
    ]


def test_a_tenant_without_listeners_has_none(helm):
    assert services(helm, {"acme": None, "corp": {"labels": {"a": "b"}}}) == {}


def test_a_hundred_ports_are_one_service(helm):
    found = services(helm, {"acme": tenant(numbered(*range(20050, 20150)))})
    assert {name: len(ports) for name, ports in ports_of(found).items()} == {
        "demo-tenantproxy-acme": 100
    }


def test_more_ports_are_a_service_for_each_hundred_of_numbers(helm):
    found = services(helm, {"acme": tenant(numbered(*range(20050, 20151)))})
    assert ports_of(found) == {
        "demo-tenantproxy-acme-20000": set(range(20050, 20100)),
        "demo-tenantproxy-acme-20100": set(range(20100, 20151)),
    }


def test_no_port_moves_to_another_service_when_others_come_or_go(helm):
    many = [*range(20010, 20090), *range(20100, 20150), 20777]
    home = {
        port: name
        for name, ports in ports_of(services(helm, {"acme": tenant(numbered(*many))})).items()
        for port in ports
    }
    for others in ([20000, *many], many[7:], [*many, 20099, 20150, 29999]):
        changed = ports_of(services(helm, {"acme": tenant(numbered(*others))}))
        for name, ports in changed.items():
            assert len(ports) <= 100
            assert all(home.get(port, name) == name for port in ports)


def test_a_long_name_is_cut_and_stays_unlike_any_other(helm):
    long = ["t" * 60 + end for end in ("a", "b")]
    found = services(helm, {name: tenant({"web": 20000 + n}) for n, name in enumerate(long)})
    assert len(found) == 2
    assert all(len(name) <= 63 and name.startswith("demo-tenantproxy-ttt") for name in found)
    labels = {o["metadata"]["labels"]["tenantproxy/tenant"] for o in found.values()}
    assert labels == set(long)


def test_node_ports_are_those_that_are_named_and_the_clusters(helm):
    found = services(
        helm,
        tenants(web=20001, api=20002),
        mode="nodePort",
        nodePort={"numbers": {"acme/web": 30080}},
        externalTrafficPolicy="Local",
    )
    spec = found["demo-tenantproxy-acme"]["spec"]
    assert (spec["type"], spec["externalTrafficPolicy"]) == ("NodePort", "Local")
    assert {p["name"]: p.get("nodePort") for p in spec["ports"]} == {"web": 30080, "api": None}


def test_a_load_balancer_has_what_the_values_say_of_it(rendered):
    (service,) = tenant_services(rendered["load-balancer"]).values()
    assert service["metadata"]["annotations"] == {
        "example.com/scheme": "internal",
        "external-dns.alpha.kubernetes.io/hostname": "acme.example.com",
    }
    spec = service["spec"]
    assert spec["type"] == "LoadBalancer"
    assert spec["loadBalancerClass"] == "example.com/lb"
    assert spec["loadBalancerSourceRanges"] == ["192.0.2.0/24"]
    assert spec["allocateLoadBalancerNodePorts"] is False
    assert spec["ipFamilyPolicy"] == "PreferDualStack"


@pytest.mark.parametrize("mode", ["none", "hostNetwork"])
def test_without_services_a_listener_needs_no_port(helm, mode):
    values = {"replicaCount": 1, "config": {"tenants": tenants(web=None)}}
    objects = helm.objects(values | {"exposure": {"mode": mode}})
    assert tenant_services(objects) == {}
    assert pod_of(objects).get("hostNetwork", False) is (mode == "hostNetwork")


def test_on_the_hosts_network_names_of_the_cluster_are_known_and_ports_are_free_in_time(rendered):
    assert pod_of(rendered["host-network"])["dnsPolicy"] == "ClusterFirstWithHostNet"
    deployment = one(rendered["host-network-deployment"], "Deployment")
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_the_admin_api_has_a_service_only_where_it_is_exposed(rendered):
    names = {o["metadata"]["name"] for o in rendered["default"] if o["kind"] == "Service"}
    assert names == {"demo-tenantproxy-acme", "demo-tenantproxy-metrics"}
    assert {p["name"] for p in container_of(rendered["default"])["ports"]} == {"metrics"}
    service = one(rendered["admin-token"], "Service", "demo-tenantproxy-admin")
    assert service["spec"]["type"] == "ClusterIP"
    assert service["spec"]["ports"][0]["port"] == 9900


def test_the_network_policy_lets_in_the_range_and_the_metrics_port(rendered):
    spec = one(rendered["default"], "NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    assert [rule["ports"] for rule in spec["ingress"]] == [
        [{"protocol": "TCP", "port": 20000, "endPort": 29999}],
        [{"protocol": "TCP", "port": 9901}],
    ]
    assert not any("from" in rule for rule in spec["ingress"])


def test_the_network_policy_names_who_may_come_and_where_to_go(rendered):
    spec = one(rendered["admin-token"], "NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    tenants_rule, metrics, admin, extra = spec["ingress"]
    assert tenants_rule["from"] == [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
    assert "namespaceSelector" in metrics["from"][0]
    assert admin == {
        "ports": [{"protocol": "TCP", "port": 9900}],
        "from": [{"podSelector": {"matchLabels": {"app": "deployer"}}}],
    }
    assert extra == {"from": [{"podSelector": {}}]}
    assert spec["egress"] == [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]


@pytest.mark.parametrize("name", ["42", "true", "1e3"])
def test_a_tenant_whose_name_yaml_takes_for_something_else_keeps_it(helm, name):
    values = {"config": {"tenants": {name: tenant({"web": 20001})}}}
    (service,) = tenant_services(helm.objects(values)).values()
    assert service["metadata"]["labels"]["tenantproxy/tenant"] == name


def test_the_pod_of_helm_test_may_ask_the_metrics_port(helm):
    values = {"networkPolicy": {"metricsFrom": [{"podSelector": {"matchLabels": {"a": "b"}}}]}}
    objects = helm.objects(values)
    labels = one(objects, "Pod")["metadata"]["labels"].items()
    peers = one(objects, "NetworkPolicy")["spec"]["ingress"][1]["from"]
    assert peers[0] == values["networkPolicy"]["metricsFrom"][0]
    assert peers[1]["podSelector"]["matchLabels"].items() <= labels
    proxy = workload(objects)["spec"]["template"]["metadata"]["labels"].items()
    assert not peers[1]["podSelector"]["matchLabels"].items() <= proxy
