"""The columns of `get`, and what the name of an item is, for each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tenantproxy.cli import human, measures
from tenantproxy.cli.condition import condition, counted
from tenantproxy.cli.names import singular
from tenantproxy.cli.output import Column, Item


def _field(key: str) -> Callable[[Item, float], str]:
    return lambda item, _: human.text(item.get(key))


def _size(key: str) -> Callable[[Item, float], str]:
    return lambda item, _: human.size(item.get(key) or 0)


def _ago(key: str) -> Callable[[Item, float], str]:
    return lambda item, now_s: human.since(item.get(key), now_s)


def _name(item: Item, _: float) -> str:
    return name_of(item)


def _idle(item: Item, _: float) -> str:
    idle = item.get("idle")
    return f"{idle['then']} after {idle['after']}" if idle else item.get("policy") or "-"


def _slots(limits: Item) -> str:
    most = limits["max_connections"]
    return str(limits["slots"]) if most is None else f"{limits['slots']}/{most}"


def _next(item: Item, now_s: float) -> str:
    """Return in how long its step may end; a step that is over, and yet there, has `due`."""
    if item["step_until"] is None:
        return "-"
    left = human.until(item["step_until"], now_s)
    return "due" if left == "0s" else left


def _preview(preview: Item | None) -> str:
    return human.text(preview["port"]) if preview else "-"


def _results(checks: Sequence[Item]) -> str:
    """Return `2 passed, 1 failed`, of what was looked at last."""
    counts = Counter(check["result"] for check in checks if check["result"])
    return ", ".join(f"{count} {result}" for result, count in counts.items()) or "-"


def _traffic(*, wide_bytes: bool = False) -> list[Column]:
    return [
        Column("CONNS", _field("connections"), right=True),
        Column("TOTAL", _field("connections_total"), right=True),
        Column("IN", _size("bytes_in"), wide=wide_bytes, right=True),
        Column("OUT", _size("bytes_out"), wide=wide_bytes, right=True),
        Column("LAST", _ago("last_activity"), right=True),
    ]


COLUMNS: dict[str, list[Column]] = {
    "tenants": [
        Column("NAME", _field("tenant")),
        Column("LISTENERS", lambda item, _: human.pairs(item["states"])),
        *_traffic(),
        Column("SOURCE", _field("source"), wide=True),
        Column("LABELS", _field("labels"), wide=True),
        Column("UPSTREAMS", _field("upstreams"), wide=True),
    ],
    "listeners": [
        Column("NAME", _name),
        Column("PORT", _field("port"), right=True),
        Column("STATE", _field("state"), state=True),
        Column("SPLIT", _field("split")),
        *_traffic(),
        Column("ADDRESS", _field("address"), wide=True),
        Column("ROLLOUT", _field("rollout"), wide=True),
        Column("IDLE", _idle, wide=True),
        Column("SOURCE", _field("source"), wide=True),
        Column("SPLIT-SOURCE", _field("split_source"), wide=True),
        Column("GENERATION", _field("generation"), wide=True, right=True),
        Column("REASON", _field("reason"), wide=True),
    ],
    "upstreams": [
        Column("NAME", _name),
        Column("STATE", lambda item, _: condition(item), state=True),
        Column("USABLE", lambda item, _: f"{item['usable_endpoints']}/{len(item['endpoints'])}"),
        *_traffic(),
        Column("ERRORS", lambda item, _: str(sum(item["connect_errors"].values())), right=True),
        Column("BALANCE", _field("balance"), wide=True),
        Column("EJECTED", lambda item, _: str(counted(item)["ejected"]), wide=True, right=True),
        Column("RETRIES", _field("retries"), wide=True, right=True),
        Column("DENIED", _field("retries_denied"), wide=True, right=True),
        Column("SLOTS", lambda item, _: _slots(item["limits"]), wide=True, right=True),
        Column("WAITING", lambda item, _: str(item["limits"]["waiting"]), wide=True, right=True),
        Column("SPARES", _field("spares"), wide=True, right=True),
        Column("LISTENERS", _field("listeners"), wide=True),
        Column("SOURCE", _field("source"), wide=True),
        Column("DISCOVERY", _field("discovery"), wide=True),
        Column(
            "ENDPOINTS",
            lambda item, _: ",".join(end["address"] for end in item["endpoints"]) or "-",
            wide=True,
        ),
    ],
    "rollouts": [
        Column("NAME", _name),
        Column("FROM", _field("from")),
        Column("TO", _field("to")),
        Column("STATE", _field("state"), state=True),
        Column("STEP", lambda item, _: f"{item['step']}/{len(item['steps'])}", right=True),
        Column("WEIGHT", lambda item, _: measures.percent(item["weight"]), right=True),
        Column("SEEN", lambda item, _: measures.percent(item["weight_seen"]), right=True),
        Column("NEXT", _next, right=True),
        Column("SINCE", _ago("since"), right=True),
        Column("WHY", _field("reason")),
        Column("PORT", _field("port"), wide=True, right=True),
        Column("PREVIEW", lambda item, _: _preview(item["preview"]), wide=True, right=True),
        Column("WAITS-FOR", _field("waits_for"), wide=True),
        Column("CHECKS", lambda item, _: _results(item["checks"]), wide=True),
        Column("CAUSE", _field("cause"), wide=True),
        Column("DRY-RUN", _field("dry_run"), wide=True),
    ],
    "policies": [
        Column("NAME", _field("name")),
        Column("KIND", _field("kind")),
        Column("AFTER", _field("after"), right=True),
        Column("THEN", _field("then")),
        Column("DRY-RUN", _field("dry_run")),
        Column("MATCH", _field("match"), wide=True),
        Column("FILE", _field("file"), wide=True),
    ],
    "events": [
        Column("NUMBER", _field("number"), right=True),
        Column("AGE", _ago("at"), right=True),
        Column("EVENT", _field("event")),
        Column("OBJECT", lambda item, _: object_of(item)),
        Column("REASON", lambda item, _: reason_of(item)),
        Column("AT", _field("at"), wide=True),
        Column("DETAILS", _field("details"), wide=True),
    ],
    "generations": [
        Column("NUMBER", _field("number"), right=True),
        Column("AGE", _ago("at"), right=True),
        Column("SOURCE", _field("source")),
        Column("RESULT", _field("result"), state=True),
        Column("SUMMARY", _field("summary")),
        Column("AT", _field("at"), wide=True),
    ],
}

_NAME_KEYS: dict[str, Sequence[str]] = {
    "listeners": ("tenant", "listener"),
    "upstreams": ("tenant", "upstream"),
    "rollouts": ("tenant", "listener"),
    "tenants": ("tenant",),
    "policies": ("name",),
    "events": ("number",),
    "generations": ("number",),
}


def name_of(item: Item, kind: str | None = None) -> str:
    """Return what follows the kind: `acme/web`, `acme` for a tenant, a number for an event."""
    if kind is None:
        kind = "listeners" if "listener" in item else "upstreams"
    return "/".join(str(item[key]) for key in _NAME_KEYS[kind])


def full_name(item: Item, kind: str) -> str:
    """Return what `-o name` prints, such as `listener/acme/web`."""
    return f"{singular(kind)}/{name_of(item, kind)}"


def object_of(event: Item) -> str:
    """Return what an event is about: `acme/web`, `upstream acme/web-v1`, `worker 0`, `document`."""
    tenant, about = event.get("tenant"), event.get("object") or ""
    kind, _, name = str(about).partition("/")
    if tenant is None:
        return f"{kind} {name}".strip() or "-"
    if kind == "listener":
        return f"{tenant}/{name}"
    return f"{kind} {tenant}/{name}" if name else str(tenant)


def reason_of(event: Item) -> str:
    """Return why it happened, after the endpoint that it happened to, if it was one's."""
    endpoint, reason = event["details"].get("endpoint"), human.text(event["reason"])
    return f"{endpoint}: {reason}" if endpoint else reason


def same_object(event: Item, kind: str, item: Any) -> bool:
    """Tell whether an event is about this item, or about something in it for a tenant."""
    if event.get("tenant") != item.get("tenant"):
        return False
    if kind == "tenants":
        return True
    return bool(event.get("object") == full_name(item, kind).replace(f"/{item['tenant']}", "", 1))
