"""Shapes of the API's answers as JSON schema; tests hold every answer against them.

Shapes of what is written come from `config.schema`, made from the models of
the document; here is only what is observed.
"""

from __future__ import annotations

from typing import Any, get_args

from tenantproxy.model.rollout import Phase
from tenantproxy.model.views import EndpointState

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
MAYBE_WHOLE: Schema = {"type": ["integer", "null"], "minimum": 0}
COUNTS: Schema = {"type": "object", "additionalProperties": WHOLE}
TEXTS: Schema = {"type": "array", "items": TEXT}
SOURCE: Schema = {"enum": ["file", "api"]}
ANY: Schema = {"type": "object"}


def ref(name: str) -> Schema:
    """Return a reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def closed(**properties: Schema) -> Schema:
    """Return an object that has all of these keys and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def array(items: Schema) -> Schema:
    """Return a list."""
    return {"type": "array", "items": items}


def enum(*values: str) -> Schema:
    """Return one of a few words."""
    return {"enum": list(values)}


_TOTALS: dict[str, Schema] = {
    "connections": WHOLE,
    "connections_total": WHOLE,
    "bytes_in": WHOLE,
    "bytes_out": WHOLE,
    "last_activity": TIME,
}
WRITTEN: dict[str, Schema] = {"dry_run": FLAG, "changes": array(ref("Change"))}
_TIMES = closed(count=WHOLE, sum_s=NUMBER)
_IDLE = closed(after=TEXT, then=enum("sleep", "close", "never"))

_LISTENER: dict[str, Schema] = {
    "tenant": TEXT,
    "listener": TEXT,
    "port": MAYBE_WHOLE,
    "address": TEXT,
    "protocol": enum("tcp"),
    "state": enum("asleep", "opening", "open", "draining", "closed", "cooling", "failed"),
    "reason": TEXT,
    "since": TIME,
    "source": SOURCE,
    "split_source": SOURCE,
    "split": ref("Split"),
    **_TOTALS,
    "closed": COUNTS,
    "rejected": COUNTS,
    "generation": WHOLE,
    "open": enum("on_demand", "always"),
    "idle": {"anyOf": [_IDLE, {"type": "null"}]},
    "idle_timeout": TEXT,
    "wake": closed(hold=WHOLE, timeout=TEXT, after_first_bytes=FLAG),
    "drain": TEXT,
    "policy": MAYBE_TEXT,
    "reserved_until": TIME,
    "preview_of": MAYBE_TEXT,
    "rollout": {"enum": [*Phase, None]},
}
_CONNECT = closed(timeout=TEXT, tries=WHOLE, first_byte=MAYBE_TEXT, retry_budget=TEXT)
_DISCOVERY: Schema = {
    "description": "As in the document: `dns` or `srv` and what is asked for.",
    "anyOf": [
        {
            "type": "object",
            "propertyNames": enum("dns", "srv"),
            "additionalProperties": TEXT,
            "minProperties": 1,
            "maxProperties": 1,
        },
        {"type": "null"},
    ],
}
_ENDPOINT = closed(
    address=TEXT,
    resolved=MAYBE_TEXT,
    weight=WHOLE,
    priority=WHOLE,
    state=enum(*get_args(EndpointState)),
    since=TIME,
    usable=FLAG,
    reason=TEXT,
    connections=WHOLE,
    connections_total=WHOLE,
    failures=WHOLE,
    ejections=WHOLE,
    ejected_until=TIME,
)
_LIMITS = closed(max_connections=MAYBE_WHOLE, slots=WHOLE, waiting=WHOLE)
_UPSTREAM: dict[str, Schema] = {
    "tenant": TEXT,
    "upstream": TEXT,
    "balance": TEXT,
    "connect": _CONNECT,
    "discovery": _DISCOVERY,
    "discovery_reason": TEXT,
    "shortened": TEXT,
    "awake": FLAG,
    "panic": FLAG,
    "endpoints": array(_ENDPOINT),
    "usable_endpoints": WHOLE,
    "limits": _LIMITS,
    "spares": WHOLE,
    "retries": WHOLE,
    "retries_denied": WHOLE,
    "ejections": WHOLE,
    "checks": closed(passed=WHOLE, failed=WHOLE),
    **_TOTALS,
    "connect_errors": COUNTS,
    "connect_duration": _TIMES,
    "first_byte_duration": _TIMES,
    "listeners": TEXTS,
    "source": SOURCE,
}
_TENANT: dict[str, Schema] = {
    "tenant": TEXT,
    "labels": {"type": "object", "additionalProperties": TEXT},
    "source": SOURCE,
    "states": COUNTS,
    **_TOTALS,
    "listeners": TEXTS,
    "upstreams": TEXTS,
}
_EVENT = closed(
    number=WHOLE,
    at=TIME,
    event=TEXT,
    tenant=MAYBE_TEXT,
    object=MAYBE_TEXT,
    reason=TEXT,
    details=ANY,
)
_GENERATION = closed(
    number=WHOLE,
    at=TIME,
    source=SOURCE,
    result=enum("applied", "refused"),
    summary=TEXT,
    problems=TEXTS,
)
_POLICY = closed(
    name=TEXT,
    kind=enum("idle"),
    match=ANY,
    after=TEXT,
    then=enum("sleep", "close", "never"),
    dry_run=FLAG,
    file=MAYBE_TEXT,
)
_WORKER = closed(
    index=WHOLE,
    pid=MAYBE_WHOLE,
    state=enum("starting", "ready", "backing_off", "stopping"),
    restarts=WHOLE,
    loop_lag_s=NUMBER,
    connections=WHOLE,
    relay={"anyOf": [closed(mode=enum("pump", "kernel"), reason=TEXT), {"type": "null"}]},
    ready_since=TIME,
    reason=TEXT,
)
_STATUS = closed(
    version=TEXT,
    ready=FLAG,
    generation=WHOLE,
    started=TIME,
    uptime_s=NUMBER,
    ports=closed(used=WHOLE, capacity=WHOLE),
    accept=enum("shared", "reuseport"),
    workers=array(_WORKER),
    worker_restarts=WHOLE,
    document=MAYBE_TEXT,
    document_problems=TEXTS,
    restart_needed=TEXTS,
    last_reload_success=TIME,
    reloads=array(closed(source=TEXT, result=TEXT, count=WHOLE)),
    policy_actions=array(closed(policy=TEXT, action=TEXT, count=WHOLE)),
)
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457; `code` is stable.",
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": TEXT,
        "status": WHOLE,
        "code": TEXT,
        "detail": TEXT,
        "hint": MAYBE_TEXT,
        "retryable": FLAG,
        "problems": array(
            closed(
                message=TEXT,
                path=TEXT,
                file=MAYBE_TEXT,
                line=MAYBE_WHOLE,
                column=MAYBE_WHOLE,
                hint=MAYBE_TEXT,
                code=TEXT,
            )
        ),
    },
    "required": ["type", "title", "status", "code", "detail", "hint", "retryable"],
    "additionalProperties": False,
}

SHAPES: dict[str, Schema] = {
    "Index": closed(name=TEXT, routes=TEXTS),
    "Live": closed(status=enum("alive")),
    "Ready": closed(ready=FLAG, reason=TEXT),
    "Status": _STATUS,
    "Tenant": closed(**_TENANT, spec=ref("TenantSpec")),
    "TenantWritten": closed(**_TENANT, spec=ref("TenantSpec"), **WRITTEN),
    "TenantList": closed(items=array(closed(**_TENANT))),
    "Listener": closed(**_LISTENER, spec=ref("ListenerSpec")),
    "ListenerWritten": closed(**_LISTENER, spec=ref("ListenerSpec"), **WRITTEN),
    "ListenerList": closed(items=array(closed(**_LISTENER))),
    "Upstream": closed(**_UPSTREAM, spec=ref("UpstreamSpec")),
    "UpstreamWritten": closed(**_UPSTREAM, spec=ref("UpstreamSpec"), **WRITTEN),
    "UpstreamList": closed(items=array(closed(**_UPSTREAM))),
    "Split": {
        "type": "object",
        "description": "Upstream -> weight, relative to the others.",
        "additionalProperties": WHOLE,
        "minProperties": 1,
    },
    "Change": closed(
        op=enum("add", "remove", "change"),
        kind=enum("tenant", "listener", "upstream", "split", "rollout", "proxy"),
        name=TEXT,
        before=TEXT,
        after=TEXT,
    ),
    "Changes": closed(**WRITTEN),
    "DocumentWritten": closed(generation=WHOLE, **WRITTEN),
    "Diff": closed(generation=WHOLE, changes=array(ref("Change"))),
    "Reloaded": closed(generation=WHOLE),
    "Event": _EVENT,
    "EventList": closed(items=array(ref("Event"))),
    "GenerationList": closed(items=array(_GENERATION)),
    "PolicyList": closed(items=array(_POLICY)),
    "Problem": _PROBLEM,
}
