"""What `describe` tells: sections of rows, from the answers of the admin API."""

from __future__ import annotations

from collections.abc import Sequence

from tenantproxy.cli import human
from tenantproxy.cli.columns import object_of, reason_of
from tenantproxy.cli.condition import condition, usable
from tenantproxy.cli.output import Item
from tenantproxy.cli.sections import Row, Section, titled, traffic
from tenantproxy.cli.told_rollout import told_rollout
from tenantproxy.cli.told_upstream import told_upstream


def told(kind: str, item: Item, beside: Sequence[Item], now_s: float) -> list[Section]:
    """Return the sections about an item.

    `beside` are the tenant's upstreams, or its listeners when the item is an
    upstream.
    """
    match kind:
        case "listeners":
            return _listener(item, beside, now_s)
        case "upstreams":
            return told_upstream(item, beside, now_s)
        case "tenants":
            return _tenant(item, now_s)
        case "rollouts":
            return told_rollout(item, now_s)
        case "daemon":
            return _daemon(item, now_s)
    return [Section("", [(f"{titled(key)}:", human.text(value)) for key, value in item.items()])]


def recent(events: Sequence[Item], now_s: float) -> Section:
    """Return the section about what happened to an item of late."""
    rows = [
        (human.since(event["at"], now_s), event["event"], object_of(event), reason_of(event))
        for event in events
    ]
    return Section("Recent events", rows)


def _listener(item: Item, upstreams: Sequence[Item], now_s: float) -> list[Section]:
    wake, policy = item["wake"], item.get("policy")
    port = "none yet" if item["port"] is None else f"{item['address']} {item['port']}"
    reserved = item.get("reserved_until")
    head: list[Row] = [
        ("Listener:", f"{item['tenant']}/{item['listener']}"),
        ("State:", f"{item['state']} for {human.since(item['since'], now_s)}: {item['reason']}"),
        ("Port:", f"{port} ({item['protocol']})"),
        ("Opens:", item["open"]),
        ("Idle:", _idle(item)),
        ("Idle timeout:", f"{item['idle_timeout']} without a byte ends a connection"),
        (
            "Wake:",
            f"holds {wake['hold']} for {wake['timeout']}"
            + (", after first bytes" if wake["after_first_bytes"] else ""),
        ),
        ("Drain:", item["drain"]),
    ]
    spec = item["spec"]
    if item["rollout"]:
        head.append(("Rollout:", f"{item['rollout']}; `describe rollout` tells more"))
    if item["preview_of"]:
        head.append(("Preview of:", f"{item['tenant']}/{item['preview_of']}"))
    if spec["sticky"]:
        head.append(("Sticky:", f"{spec['sticky']} decides which upstream of the split"))
    if spec["fallback"]:
        head.append(("Fallback:", "an upstream without endpoints gives its share to the others"))
    if reserved:
        head.append(("Reserved:", f"the number is kept for {human.until(reserved, now_s)} more"))
    known = {upstream["upstream"]: upstream for upstream in upstreams}
    total = sum(item["split"].values()) or 1
    split = [
        (name, weight, f"{weight / total:.1%}", _member(known.get(name)))
        for name, weight in item["split"].items()
    ]
    sources: list[Row] = [
        ("listener", f"{item['source']}, generation {item['generation']}"),
        ("split", item["split_source"]),
        ("idle", "the listener's own" if policy == "listener" else policy or "no rule applies"),
    ]
    return [
        Section("", head),
        Section("Split", split),
        Section("Where values come from", sources),
        traffic(item, now_s),
    ]


def _idle(item: Item) -> str:
    idle = item.get("idle")
    if idle:
        return f"{idle['then']} after {idle['after']}"
    return f"as {item['policy']} says" if item.get("policy") else "never"


def _member(upstream: Item | None) -> str:
    if upstream is None:
        return "not defined"
    how = condition(upstream)
    return usable(upstream) + ("" if how in ("ok", "asleep") else f": {how}")


def _tenant(item: Item, now_s: float) -> list[Section]:
    head: list[Row] = [
        ("Tenant:", item["tenant"]),
        ("Labels:", human.pairs(item["labels"])),
        ("Source:", item["source"]),
        ("Listeners:", human.text(item["listeners"])),
        ("States:", human.pairs(item["states"])),
        ("Upstreams:", human.text(item["upstreams"])),
    ]
    return [Section("", head), traffic(item, now_s)]


def _daemon(item: Item, now_s: float) -> list[Section]:
    ports = item["ports"]
    head: list[Row] = [
        ("Version:", item["version"]),
        ("Ready:", human.text(item["ready"])),
        ("Up:", human.span(item["uptime_s"])),
        ("Generation:", item["generation"]),
        ("Document:", human.text(item["document"])),
        ("Last reload:", f"{human.since(item['last_reload_success'], now_s)} ago"),
        ("Ports:", f"{ports['used']} of {ports['capacity']} used"),
        ("Accept:", item["accept"]),
    ]
    workers = [
        (
            worker["index"],
            worker["state"],
            f"pid {human.text(worker['pid'])}",
            f"{worker['connections']} connections",
            f"{worker['restarts']} restarts",
            _relay(worker["relay"]),
            worker["reason"],
        )
        for worker in item["workers"]
    ]
    sections = [Section("", head), Section("Workers", workers)]
    if item["document_problems"]:
        title = "The newest document is refused; what ran before runs on"
        sections.append(Section(title, [(problem,) for problem in item["document_problems"]]))
    if item["restart_needed"]:
        rows = [(key,) for key in item["restart_needed"]]
        sections.append(Section("Changed in the document, and read at the next start", rows))
    return sections


def _relay(relay: Item | None) -> str:
    return f"{relay['mode']} ({relay['reason']})" if relay else "-"
