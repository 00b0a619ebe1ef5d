"""The JSON shapes of the API: model values in, plain dictionaries out.

Names follow the document where a value stands in both. Times are RFC 3339 in
UTC, or null; durations are written as in the document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from tenantproxy import clock
from tenantproxy.config.render import (
    render_listener,
    render_policy,
    render_tenant,
    render_upstream,
)
from tenantproxy.errors import Problem
from tenantproxy.model.delta import Change
from tenantproxy.model.rollout import Phase
from tenantproxy.model.spec import PolicySpec, TenantSpec
from tenantproxy.model.views import (
    EndpointView,
    Event,
    GenerationView,
    Histogram,
    ListenerView,
    Status,
    TenantView,
    Totals,
    UpstreamView,
)

Json = dict[str, Any]


def show_listener(view: ListenerView, phase: Phase | None = None) -> Json:
    """Return a listener: what is wanted of it, how it is, and where each comes from.

    `phase` is that of its rollout, if it has one.
    """
    spec, wanted = view.spec, render_listener(view.spec)
    return {
        "tenant": spec.tenant,
        "listener": spec.name,
        "port": view.port,
        "address": view.address,
        "protocol": wanted["protocol"],
        "state": view.state.value,
        "reason": view.reason,
        "since": show_time(view.since_s),
        "source": view.source,
        "split_source": view.split_source,
        "split": wanted["split"],
        **_totals(view.totals),
        "closed": _counted(view.totals.closed),
        "rejected": _counted(view.totals.rejected),
        "generation": view.generation,
        "open": wanted["open"],
        "idle": wanted["idle"],
        "idle_timeout": wanted["idle_timeout"],
        "wake": wanted["wake"],
        "drain": wanted["drain"],
        "policy": view.policy,
        "reserved_until": show_time(view.reserved_until_s),
        "preview_of": spec.preview_of,
        "rollout": None if phase is None else phase.value,
    }


def show_upstream(view: UpstreamView) -> Json:
    """Return an upstream, its endpoints and what went to them."""
    spec, wanted = view.spec, render_upstream(view.spec)
    return {
        "tenant": spec.tenant,
        "upstream": spec.name,
        "balance": wanted["balance"],
        "connect": wanted["connect"],
        "discovery": wanted["discovery"],
        "discovery_reason": view.discovery_reason,
        "shortened": view.shortened,
        "awake": view.awake,
        "panic": view.panic,
        "endpoints": [_endpoint(endpoint) for endpoint in view.endpoints],
        "usable_endpoints": sum(endpoint.usable for endpoint in view.endpoints),
        "limits": {
            "max_connections": spec.max_connections,
            "slots": view.slots,
            "waiting": view.waiting,
        },
        "spares": view.spares,
        "retries": view.retries,
        "retries_denied": view.retries_denied,
        "ejections": view.ejections,
        "checks": {result: view.checks.get(result, 0) for result in ("passed", "failed")},
        **_totals(view.totals),
        "connect_errors": _counted(view.connect_errors),
        "connect_duration": _times(view.connect_duration),
        "first_byte_duration": _times(view.first_byte_duration),
        "listeners": list(view.listeners),
        "source": view.source,
    }


def show_tenant(view: TenantView) -> Json:
    """Return a tenant with sums over its listeners and the names of what it owns."""
    spec = view.spec
    return {
        "tenant": spec.name,
        "labels": dict(spec.labels),
        "source": view.source,
        "states": dict(view.states),
        **_totals(view.totals),
        "listeners": sorted(spec.listeners),
        "upstreams": sorted(spec.upstreams),
    }


def whole_listener(view: ListenerView, phase: Phase | None = None) -> Json:
    """Return a listener and, as `spec`, what may be put back."""
    return {**show_listener(view, phase), "spec": render_listener(view.spec)}


def whole_upstream(view: UpstreamView) -> Json:
    """Return an upstream and, as `spec`, what may be put back."""
    return {**show_upstream(view), "spec": render_upstream(view.spec)}


def whole_tenant(view: TenantView, declared: TenantSpec) -> Json:
    """Return a tenant and, as `spec`, what may be put back: what rollouts add is not in it."""
    return {**show_tenant(view), "spec": render_tenant(declared)}


def show_event(event: Event) -> Json:
    """Return one decision."""
    return {
        "number": event.number,
        "at": show_time(event.at_s),
        "event": event.event,
        "tenant": event.tenant,
        "object": event.object,
        "reason": event.reason,
        "details": dict(event.details),
    }


def show_generation(view: GenerationView) -> Json:
    """Return one generation, applied or refused."""
    return {
        "number": view.number,
        "at": show_time(view.at_s),
        "source": view.source,
        "result": view.result,
        "summary": view.summary,
        "problems": list(view.problems),
    }


def show_policy(policy: PolicySpec) -> Json:
    """Return a policy and the file that it came from."""
    return {**render_policy(policy), "file": policy.file}


def show_status(status: Status) -> Json:
    """Return the daemon itself."""
    return {
        "version": status.version,
        "ready": status.ready,
        "generation": status.generation,
        "started": show_time(status.started_s),
        "uptime_s": round(max(clock.wall_s() - status.started_s, 0.0), 3),
        "ports": {"used": status.ports_used, "capacity": status.ports_capacity},
        "accept": status.accept,
        "workers": [
            {
                "index": worker.index,
                "pid": worker.pid,
                "state": worker.state,
                "restarts": worker.restarts,
                "loop_lag_s": worker.loop_lag_s,
                "connections": worker.connections,
                "relay": worker.relay and asdict(worker.relay),
                "ready_since": show_time(worker.ready_since_s),
                "reason": worker.reason,
            }
            for worker in status.workers
        ],
        "worker_restarts": status.worker_restarts,
        "document": status.document,
        "document_problems": list(status.document_problems),
        "restart_needed": list(status.restart_needed),
        "last_reload_success": show_time(status.last_reload_success_s),
        "reloads": [
            {"source": source, "result": result, "count": count}
            for (source, result), count in sorted(status.reloads.items())
        ],
        "policy_actions": [
            {"policy": policy, "action": action, "count": count}
            for (policy, action), count in sorted(status.policy_actions.items())
        ],
    }


def show_changes(changes: Sequence[Change]) -> list[Json]:
    """Return the lines of a diff."""
    return [
        {"op": c.op, "kind": c.kind, "name": c.name, "before": c.before, "after": c.after}
        for c in changes
    ]


def show_problem(problem: Problem) -> Json:
    """Return one thing wrong with a document, and where."""
    return {
        "message": problem.message,
        "path": problem.path,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "hint": problem.hint,
        "code": problem.code,
    }


def show_time(wall_s: float | None) -> str | None:
    """Return `2026-01-31T12:00:00.000Z`."""
    if wall_s is None:
        return None
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _totals(totals: Totals) -> Json:
    last_s = totals.last_activity_s
    wall_s = None if last_s is None else last_s + clock.wall_s() - clock.monotonic_s()
    return {
        "connections": totals.connections,
        "connections_total": totals.connections_total,
        "bytes_in": totals.bytes_in,
        "bytes_out": totals.bytes_out,
        "last_activity": show_time(wall_s),
    }


def _endpoint(seen: EndpointView) -> Json:
    return {
        "address": seen.address,
        "resolved": seen.resolved,
        "weight": seen.weight,
        "priority": seen.priority,
        "state": seen.state,
        "since": show_time(seen.since_s or None),
        "usable": seen.usable,
        "reason": seen.reason,
        "connections": seen.connections,
        "connections_total": seen.connections_total,
        "failures": seen.failures,
        "ejections": seen.ejections,
        "ejected_until": show_time(seen.ejected_until_s),
    }


def _counted(counts: Mapping[str, int]) -> dict[str, int]:
    return {reason: count for reason, count in counts.items() if count}


def _times(times: Histogram) -> Json:
    return {"count": sum(times.counts), "sum_s": times.sum_s}
