"""What is left of a broken document is sound, and the broken one is not touched."""

import copy

import pytest

from tenantproxy.config.salvage import salvage

BODY = {
    "version": 1,
    "proxy": {"port_range": "20000-20009", "workers": 2},
    "tenants": {
        "a": {
            "labels": {"x": "y"},
            "upstreams": {"u": {"endpoints": ["h:1"]}, "v": {"endpoints": ["h:2"]}},
            "listeners": {"l": {"split": {"u": 1}}, "m": {"split": {"v": 1}}},
        },
        "b": {},
    },
}


def left(*faults):
    before = copy.deepcopy(BODY)
    found = salvage(BODY, faults)
    assert before == BODY
    assert found is not None
    return found


def test_a_broken_listener_is_left_out():
    tenant = left(("tenants", "a", "listeners", "l", "drain")).tenants["a"]
    assert set(tenant.listeners) == {"m"}
    assert set(tenant.upstreams) == {"u", "v"}


def test_a_broken_upstream_keeps_its_name():
    tenant = left(("tenants", "a", "upstreams", "u", "endpoints", 0)).tenants["a"]
    assert tenant.upstreams["u"].endpoints[0].host == "192.0.2.1"
    assert set(tenant.listeners) == {"l", "m"}


def test_without_any_upstream_no_listener_is_judged():
    tenant = left(("tenants", "a", "upstreams")).tenants["a"]
    assert (tenant.upstreams, tenant.listeners) == ({}, {})


def test_other_broken_parts_of_a_tenant_are_left_out():
    assert left(("tenants", "a", "labels", "x")).tenants["a"].labels == {}
    assert set(left(("tenants", "a")).tenants) == {"b"}
    assert left(("tenants",)).tenants == {}


@pytest.mark.parametrize(
    ("fault", "port_range", "admin"),
    [
        (("proxy",), (1, 65535), 0),
        (("proxy", "port_range"), (1, 65535), 9900),
        (("proxy", "admin", "port"), (20000, 20009), 0),
        (("proxy", "workers"), (20000, 20009), 9900),
    ],
)
def test_a_broken_proxy_is_replaced_by_one_that_accuses_nobody(fault, port_range, admin):
    proxy = left(fault).proxy
    assert (proxy.port_range, proxy.admin.port) == (port_range, admin)


def test_faults_everywhere_still_leave_something():
    found = left(
        ("version",),
        ("tenants", "a", "listeners", "l", "port"),
        ("tenants", "a", "listeners", "l", "drain"),
        ("tenants", "a", "listeners", "m"),
        ("tenants", "b", "x"),
        ("proxy", "workers"),
    )
    assert set(found.tenants["a"].listeners) == set()


def test_a_document_that_cannot_be_saved_is_none():
    assert salvage({"version": 1, "tenants": 5}, [("proxy",)]) is None
