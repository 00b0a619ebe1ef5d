"""The present versions of what can be written; large ones are hashed aside.

Each returns None for what is not there, and is right until the next `await`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tenantproxy.admin.api import MANY, Api
from tenantproxy.admin.etag import etag, etag_of_document
from tenantproxy.config.render import (
    render_listener,
    render_rollout,
    render_split,
    render_tenant,
    render_upstream,
)
from tenantproxy.model.spec import (
    Document,
    ListenerKey,
    ListenerSpec,
    TenantSpec,
    UpstreamKey,
    UpstreamSpec,
)

T = TypeVar("T")
Tag = TypeVar("Tag", str, str | None)


async def document_version(api: Api) -> str:
    """Return the tag of the whole document."""
    return await _settled(api, api.control.document, etag_of_document)


async def tenant_version(api: Api, name: str) -> str | None:
    """Return the tag of a tenant with all that it owns."""

    def read() -> TenantSpec | None:
        return api.control.document().tenants.get(name)

    spec = read()
    if spec is not None and len(spec.listeners) + len(spec.upstreams) > MANY:
        return await _settled(api, read, _of_tenant)
    return _of_tenant(spec)


def listener_version(api: Api, key: ListenerKey) -> str | None:
    """Return the tag of a listener."""
    spec = _listener(api.control.document(), key)
    return None if spec is None else etag(render_listener(spec))


def split_version(api: Api, key: ListenerKey) -> str | None:
    """Return the tag of a listener's split."""
    spec = _listener(api.control.document(), key)
    return None if spec is None else etag(render_split(spec.split))


def rollout_version(api: Api, key: ListenerKey) -> str | None:
    """Return the tag of a listener's rollout."""
    spec = _listener(api.control.document(), key)
    return None if spec is None or spec.rollout is None else etag(render_rollout(spec.rollout))


def upstream_version(api: Api, key: UpstreamKey) -> str | None:
    """Return the tag of an upstream."""
    spec = _upstream(api.control.document(), key)
    return None if spec is None else etag(render_upstream(spec))


def _of_tenant(spec: TenantSpec | None) -> str | None:
    return None if spec is None else etag(render_tenant(spec))


def _listener(document: Document, key: ListenerKey) -> ListenerSpec | None:
    tenant = document.tenants.get(key.tenant)
    return None if tenant is None else tenant.listeners.get(key.listener)


def _upstream(document: Document, key: UpstreamKey) -> UpstreamSpec | None:
    tenant = document.tenants.get(key.tenant)
    return None if tenant is None else tenant.upstreams.get(key.upstream)


async def _settled(api: Api, read: Callable[[], T], tag: Callable[[T], Tag]) -> Tag:
    """Hash aside what `read` returns, again if it changed meanwhile."""
    while True:
        value = read()
        found = await api.aside.run(tag, value)
        # Cheap: what did not change is the same object in both.
        if read() == value:
            return found
