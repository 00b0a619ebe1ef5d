"""Candidates: checked whole, and the file wins where an API change leans on what it took away."""

from dataclasses import replace

import pytest

from tenantproxy.control.desired import FOLLOWED, Desired, proxy_changes
from tenantproxy.errors import DocumentError
from tenantproxy.model import edit
from tenantproxy.model.checks import check_tenant
from tenantproxy.model.layers import Unit
from tenantproxy.model.spec import DnsSpec, ProxySpec
from tests.control.support import PROXY, listener, tenant, upstream

FILE = {"acme": tenant([listener()], [upstream("v1", 1), upstream("v2", 2)])}


@pytest.fixture
def desired():
    found = Desired(lambda one: check_tenant(one, PROXY))
    found.commit(found.from_file(FILE))
    return found


def test_a_tenant_that_is_not_sound_is_refused_by_api_and_file_alike(desired):
    broken = edit.with_listener(FILE, listener("bad", ("nothing", 1)))
    for make in (desired.from_api, desired.from_file):
        with pytest.raises(DocumentError, match="nothing"):
            make(broken)
    assert desired.tenants == FILE


def test_taking_an_upstream_away_checks_the_listeners_that_did_not_change(desired):
    without = {"acme": replace(FILE["acme"], upstreams={})}
    with pytest.raises(DocumentError, match="v1"):
        desired.from_api(without)


def test_only_what_changed_is_checked():
    looked_at = []
    found = Desired(lambda one: looked_at.append(set(one.listeners)) or [])
    found.commit(found.from_file(FILE))
    looked_at.clear()
    found.from_api(edit.with_listener(FILE, listener("new")))
    assert looked_at == [{"new"}]


def test_an_api_change_is_kept_until_the_file_contradicts_it(desired):
    desired.commit(desired.from_api(edit.with_listener(FILE, listener("extra", ("v2", 1)))))
    kept = desired.from_file(edit.with_listener(FILE, listener("more")))
    assert set(kept.tenants["acme"].listeners) == {"web", "extra", "more"}
    assert kept.dropped == ()

    without_v2 = {"acme": tenant([listener()], [upstream("v1", 1)])}
    gone = desired.from_file(without_v2)
    assert set(gone.tenants["acme"].listeners) == {"web"}
    assert gone.dropped == (Unit("listener", "acme", "extra"),)


def test_only_upstreams_that_changed_are_tried():
    tried = []
    found = Desired(lambda _: [], check_upstream=lambda spec: tried.append(spec.name) or [])
    found.commit(found.from_file(FILE))
    assert tried == ["v1", "v2"]
    tried.clear()
    found.from_api(edit.with_upstream(FILE, upstream("v2", 3)))
    assert tried == ["v2"]


@pytest.mark.parametrize(
    ("change", "name", "waits"),
    [
        ({"workers": 7}, "proxy.workers", True),
        ({"dns": DnsSpec(("10.0.0.2",))}, "proxy.dns", True),
        ({"dns": DnsSpec(timeout_s=1.0)}, "proxy.dns", True),
        ({"relay": "kernel"}, "proxy.relay", False),
    ],
)
def test_what_is_read_at_start_waits_for_a_restart(change, name, waits):
    (found,) = proxy_changes(ProxySpec(), replace(ProxySpec(), **change))
    assert found.name == name
    assert (found.name not in FOLLOWED) is waits
