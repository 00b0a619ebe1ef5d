"""Values back into the shape of the document, for GET, `get -o yaml` and diffs.

What is rendered can be put back: `parse_x(render_x(value)) == value`.
Defaults are written out, so that a reader sees what is in force.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from tenantproxy.config.units import format_duration
from tenantproxy.config.yaml_scalars import resolve
from tenantproxy.model.spec import (
    Document,
    EndpointSpec,
    IdleRule,
    ListenerSpec,
    PolicySpec,
    ProxySpec,
    SplitMember,
    TenantSpec,
    UpstreamSpec,
    WakeRule,
)


def render_document(document: Document) -> dict[str, Any]:
    """Return the whole document."""
    return {
        "version": 1,
        "proxy": render_proxy(document.proxy),
        "tenants": {name: render_tenant(one) for name, one in document.tenants.items()},
    }


def render_proxy(proxy: ProxySpec) -> dict[str, Any]:
    """Return how the daemon runs."""
    first, last = proxy.port_range
    admin, metrics, shutdown = proxy.admin, proxy.metrics, proxy.shutdown
    return {
        "workers": "auto" if proxy.workers is None else proxy.workers,
        "listen_address": proxy.listen_address,
        "port_range": f"{first}-{last}",
        "accept": proxy.accept,
        "relay": proxy.relay,
        "admin": {
            "address": admin.address,
            "port": admin.port,
            "token_file": admin.token_file,
        },
        "metrics": {"address": metrics.address, "port": metrics.port},
        "policies": list(proxy.policies),
        "shutdown": {
            "keep_accepting": format_duration(shutdown.keep_accepting_s),
            "drain": format_duration(shutdown.drain_s),
        },
    }


def render_tenant(tenant: TenantSpec) -> dict[str, Any]:
    """Return a tenant with all that it owns; its name stands outside."""
    return {
        "labels": dict(tenant.labels),
        "upstreams": {name: render_upstream(one) for name, one in tenant.upstreams.items()},
        "listeners": {name: render_listener(one) for name, one in tenant.listeners.items()},
    }


def render_upstream(upstream: UpstreamSpec) -> dict[str, Any]:
    """Return an upstream; tenant and name stand outside."""
    return {
        "endpoints": [_endpoint(one) for one in upstream.endpoints],
        "balance": upstream.balance,
        "connect": {
            "timeout": format_duration(upstream.connect_timeout_s),
            "tries": upstream.connect_tries,
        },
    }


def render_listener(listener: ListenerSpec) -> dict[str, Any]:
    """Return a listener; tenant and name stand outside. `port` is null when it is automatic."""
    return {
        "port": listener.port,
        "protocol": "tcp",
        "open": listener.open,
        "split": render_split(listener.split),
        "idle": _idle(listener.idle),
        "idle_timeout": format_duration(listener.idle_timeout_s),
        "wake": _wake(listener.wake),
        "drain": format_duration(listener.drain_s),
    }


def render_split(split: Sequence[SplitMember]) -> dict[str, int]:
    """Return `{"web-v1": 95, "web-v2": 5}` in the order of the split."""
    return {member.upstream: member.weight for member in split}


def render_policy(policy: PolicySpec) -> dict[str, Any]:
    """Return a policy; the file that it came from is not part of it."""
    match = policy.match
    return {
        "name": policy.name,
        "kind": policy.kind,
        "match": {
            "tenants": list(match.tenants),
            "listeners": list(match.listeners),
            "labels": dict(match.labels),
        },
        "after": format_duration(policy.after_s),
        "then": policy.then,
        "dry_run": policy.dry_run,
    }


def to_yaml(shape: Any) -> str:
    """Return plain values as YAML that this and every other parser reads back the same.

    Text that some parser takes for a number or a switch (`on`, `08`, `12e5`) is quoted.
    """
    return yaml.dump(
        shape, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True
    )


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the library's signature
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    plain = resolve(text) is text
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _text)


def _endpoint(endpoint: EndpointSpec) -> str | Mapping[str, Any]:
    if endpoint.weight == 1:
        return str(endpoint)
    return {"address": str(endpoint), "weight": endpoint.weight}


def _idle(rule: IdleRule | None) -> dict[str, str] | None:
    return None if rule is None else {"after": format_duration(rule.after_s), "then": rule.then}


def _wake(rule: WakeRule) -> dict[str, Any]:
    return {
        "hold": rule.hold,
        "timeout": format_duration(rule.timeout_s),
        "after_first_bytes": rule.after_first_bytes,
    }
