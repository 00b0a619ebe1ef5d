"""Values back into the shape of the document, for GET, `get -o yaml` and diffs.

What is rendered can be put back: `parse_x(render_x(value)) == value`.
Defaults are written out, so that a reader sees what is in force.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, get_args

import yaml

from tenantproxy.config.rollout_fields import kind_of
from tenantproxy.config.units import (
    format_duration,
    format_share,
    format_share_rate,
    format_size,
)
from tenantproxy.config.yaml_scalars import resolve
from tenantproxy.model.rollout_spec import (
    Analysis,
    Gate,
    GateName,
    Gates,
    OutsideCheck,
    RolloutSpec,
    SignalCheck,
    Step,
)
from tenantproxy.model.signal_names import SIGNAL_NAMES, parse_signal
from tenantproxy.model.spec import (
    Discovery,
    Document,
    EndpointSpec,
    HealthRule,
    HttpCheck,
    IdleRule,
    ListenerSpec,
    OutlierRule,
    PolicySpec,
    ProxySpec,
    QueueRule,
    SplitMember,
    TcpCheck,
    TenantSpec,
    TlsRule,
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
        "dns": {
            "servers": list(proxy.dns.servers),
            "timeout": format_duration(proxy.dns.timeout_s),
        },
        "rollout_commands": proxy.rollout_commands,
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
    """Return an upstream; tenant and name stand outside. What is off is null."""
    return {
        "endpoints": [_endpoint(one) for one in upstream.endpoints] or None,
        "discovery": _discovery(upstream.discovery),
        "balance": upstream.balance,
        "slow_start": format_duration(upstream.slow_start_s),
        "panic": format_share(upstream.panic_below),
        "connect": {
            "timeout": format_duration(upstream.connect_timeout_s),
            "tries": upstream.connect_tries,
            "first_byte": _duration(upstream.first_byte_timeout_s),
            "retry_budget": format_share(upstream.retry_budget),
        },
        "health": _health(upstream.health),
        "outlier": _outlier(upstream.outlier),
        "max_connections": upstream.max_connections,
        "queue": _queue(upstream.queue),
        "warm": upstream.warm,
        "send_proxy": upstream.send_proxy,
        "tls": _tls(upstream.tls),
    }


def render_listener(listener: ListenerSpec) -> dict[str, Any]:
    """Return a listener; tenant and name stand outside. `port` is null when it is automatic."""
    return {
        "port": listener.port,
        "protocol": "tcp",
        "open": listener.open,
        "split": render_split(listener.split),
        "sticky": listener.sticky,
        "fallback": listener.fallback,
        "idle": _idle(listener.idle),
        "idle_timeout": format_duration(listener.idle_timeout_s),
        "wake": _wake(listener.wake),
        "drain": format_duration(listener.drain_s),
        "rollout": render_rollout(listener.rollout),
    }


def render_rollout(rollout: RolloutSpec | None) -> dict[str, Any] | None:
    """Return a rollout; tenant and listener stand outside. None stays None."""
    if rollout is None:
        return None
    pace = rollout.rebalance_per_s
    return {
        "from": rollout.stable,
        "to": rollout.canary,
        "start": rollout.start,
        "preview": rollout.preview,
        "steps": [_step(one) for one in rollout.steps],
        "analysis": _analysis(rollout.analysis),
        "gates": _gates(rollout.gates),
        "no_traffic": rollout.no_traffic,
        "on_failure": rollout.on_failure,
        "canary_connections": rollout.canary_connections,
        "deadline": format_duration(rollout.deadline_s),
        "rollback_window": format_duration(rollout.rollback_window_s),
        "rebalance": None if pace is None else format_share_rate(pace),
        "dry_run": rollout.dry_run,
    }


def render_split(split: Sequence[SplitMember]) -> dict[str, int]:
    """Return `{"web-v1": 95, "web-v2": 5}` in the order of the split."""
    return {member.upstream: member.weight for member in split}


def render_codes(ranges: Sequence[tuple[int, int]]) -> int | str | list[int | str]:
    """Return codes of HTTP: `200-399`, `200`, or a list of both."""
    found = [low if low == high else f"{low}-{high}" for low, high in ranges]
    return found[0] if len(found) == 1 else found


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

    Text that some parser takes for a number or a switch (`on`, `08`, `12e5`) is quoted, and so is
    text with line ends, which parsers fold.
    """
    return yaml.dump(
        shape, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True
    )


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the library's signature
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    plain = resolve(text) is text and text.isprintable()
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _text)


def _endpoint(endpoint: EndpointSpec) -> str | Mapping[str, Any]:
    if endpoint.weight == 1:
        return str(endpoint)
    return {"address": str(endpoint), "weight": endpoint.weight}


def _duration(seconds: float | None) -> str | None:
    return None if seconds is None else format_duration(seconds)


def _discovery(found: Discovery | None) -> dict[str, str] | None:
    if found is None:
        return None
    return {found.kind: found.name if found.port is None else f"{found.name}:{found.port}"}


def _health(rule: HealthRule | None) -> dict[str, Any] | None:
    if rule is None:
        return None
    return {
        **({"tcp": _tcp(rule.tcp)} if rule.tcp is not None else {}),
        **({"http": _http(rule.http)} if rule.http is not None else {}),
        "every": format_duration(rule.every_s),
        "timeout": format_duration(rule.timeout_s),
        "fall": rule.fall,
        "rise": rule.rise,
        "jitter": format_share(rule.jitter),
        "port": rule.port,
    }


def _tcp(check: TcpCheck) -> dict[str, Any]:
    return {"send": check.send.decode() or None, "expect": check.expect.decode() or None}


def _http(check: HttpCheck) -> dict[str, Any]:
    return {"path": check.path, "host": check.host, "expect": render_codes(check.expect)}


def _outlier(rule: OutlierRule | None) -> dict[str, Any] | None:
    if rule is None:
        return None
    return {
        "consecutive_failures": rule.consecutive_failures,
        "eject_for": format_duration(rule.eject_for_s),
        "eject_for_most": format_duration(rule.eject_for_most_s),
        "max_ejected": format_share(rule.max_ejected),
    }


def _queue(rule: QueueRule | None) -> dict[str, Any] | None:
    return None if rule is None else {"size": rule.size, "timeout": format_duration(rule.timeout_s)}


def _tls(rule: TlsRule | None) -> dict[str, Any] | None:
    return None if rule is None else asdict(rule)


def _idle(rule: IdleRule | None) -> dict[str, str] | None:
    return None if rule is None else {"after": format_duration(rule.after_s), "then": rule.then}


def _wake(rule: WakeRule) -> dict[str, Any]:
    return {
        "hold": rule.hold,
        "timeout": format_duration(rule.timeout_s),
        "after_first_bytes": rule.after_first_bytes,
    }


def _step(step: Step) -> dict[str, Any]:
    what: dict[str, Any] = {step.kind: step.weight if step.kind == "weight" else True}
    return what if step.hold_s is None else {**what, "hold": format_duration(step.hold_s)}


def _analysis(analysis: Analysis) -> dict[str, Any]:
    return {
        "every": format_duration(analysis.every_s),
        "min_samples": analysis.min_samples,
        "failures_allowed": analysis.failures_allowed,
        "inconclusive_allowed": analysis.inconclusive_allowed,
        "checks": [
            *(_signal(check) for check in analysis.signals),
            *(_outside(check) for check in analysis.outside),
        ],
    }


_NAMES = {parse_signal(name): name for name in SIGNAL_NAMES}


def _signal(check: SignalCheck) -> dict[str, Any]:
    """Return a check with the bounds that it has: most have one."""
    signal = _NAMES[check.signal, check.quantile]
    bounds: dict[str, str] = {}
    if check.max is not None:
        match kind_of(signal):
            case "size":
                bounds["max"] = format_size(int(check.max))
            case "time":
                bounds["max"] = format_duration(check.max)
            case _:
                bounds["max"] = format_share(check.max)
    if check.over_stable is not None:
        bounds["over_stable"] = format_share(check.over_stable)
    if check.under_s:
        bounds["under"] = format_duration(check.under_s)
    return {"name": check.name, "signal": signal, **bounds, "dry_run": check.dry_run}


def _outside(check: OutsideCheck) -> dict[str, Any]:
    timeout = format_duration(check.timeout_s)
    asked: dict[str, Any]
    match check.kind:
        case "prometheus":
            bounds = {"max": check.max, "min": check.min}
            asked = {"url": check.url, "query": check.query, **bounds, "timeout": timeout}
        case "webhook":
            asked = {"url": check.url, "timeout": timeout}
        case "command":
            asked = {"run": list(check.run), "timeout": timeout}
    return {"name": check.name, check.kind: asked, "dry_run": check.dry_run}


def _gates(gates: Gates) -> dict[str, Any] | None:
    if gates == Gates():
        return None
    return {name: _gate(gates.named(name)) for name in get_args(GateName)}


def _gate(gate: Gate | None) -> dict[str, str] | None:
    return None if gate is None else {"url": gate.url, "timeout": format_duration(gate.timeout_s)}
