"""The source that an upstream's document asks for."""

from __future__ import annotations

from tenantproxy.discovery.dns import DnsSource
from tenantproxy.discovery.resolver import Resolver
from tenantproxy.discovery.source import Source
from tenantproxy.discovery.srv import SrvSource
from tenantproxy.discovery.static import StaticSource
from tenantproxy.model.spec import UpstreamSpec


def source_of(spec: UpstreamSpec, resolver: Resolver) -> Source:
    """Return the source of an upstream's endpoints; nothing is asked before it is followed."""
    discovery = spec.discovery
    if discovery is None:
        return StaticSource(spec, resolver)
    if discovery.kind == "srv":
        return SrvSource(discovery.name, tenant=spec.tenant, resolver=resolver)
    assert discovery.port is not None  # noqa: S101 - the document's check made sure of it
    return DnsSource(discovery.name, discovery.port, tenant=spec.tenant, resolver=resolver)
