"""The document's words choose the source."""

from __future__ import annotations

import pytest

from tenantproxy.discovery.build import source_of
from tenantproxy.discovery.dns import DnsSource
from tenantproxy.discovery.srv import SrvSource
from tenantproxy.discovery.static import StaticSource
from tenantproxy.model.spec import Discovery, EndpointSpec, UpstreamSpec


@pytest.mark.parametrize(
    ("discovery", "kind"),
    [
        (None, StaticSource),
        (Discovery("dns", "web.test", 80), DnsSource),
        (Discovery("srv", "_w._tcp.test"), SrvSource),
    ],
)
def test_each_kind_of_discovery_has_its_source(discovery, kind):
    endpoints = () if discovery else (EndpointSpec("127.0.0.1", 80),)
    spec = UpstreamSpec("acme", "web", endpoints, discovery=discovery)
    assert type(source_of(spec, resolver=None)) is kind
