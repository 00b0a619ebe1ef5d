"""What `describe upstream` tells: what is wrong first, then each endpoint, then the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tenantproxy.cli import human
from tenantproxy.cli.condition import condition, usable, without_endpoints
from tenantproxy.cli.output import Item
from tenantproxy.cli.sections import Row, Section, titled, traffic


def told_upstream(item: Item, listeners: Sequence[Item], now_s: float) -> list[Section]:
    """Return the sections about an upstream; `listeners` are those of its tenant."""
    times = [
        (titled(key), f"{value['count']} measured, mean {_mean(value)}")
        for key, value in item.items()
        if key.endswith("_duration")
    ]
    return [
        Section("", _head(item)),
        Section("Endpoints", _endpoints(item, now_s)),
        Section("Used by", _users(item, listeners) or [("no listener",)]),
        traffic(item, now_s),
        Section("Times", times),
        Section("Connect errors", [(human.pairs(item["connect_errors"]),)]),
    ]


def _head(item: Item) -> list[Row]:
    checks, spec = item["checks"], item["spec"]
    checked = f"; {human.counted(checks['passed'], 'check')} passed, {checks['failed']} failed"
    head: list[Row] = [
        ("Upstream:", f"{item['tenant']}/{item['upstream']}"),
        ("State:", f"{condition(item)}: {_usable(item)}"),
        ("Balance:", _balance(item["balance"], spec["slow_start"])),
        ("Panic:", _panic(spec["panic"])),
        ("Discovery:", _discovery(item)),
        ("Health:", _health(spec["health"]) + (checked if any(checks.values()) else "")),
        ("Ejections:", f"{item['ejections']}; {_outliers(spec['outlier'])}"),
        ("Connect:", _connect(item["connect"])),
        ("Retries:", _retries(item)),
        ("Limit:", _limit(item["limits"], spec["queue"])),
        ("Spares:", _spares(item["spares"], spec["warm"])),
    ]
    if item["shortened"]:
        head.append(("Left out:", item["shortened"]))
    if spec["tls"]:
        head.append(("TLS:", "verified" if spec["tls"]["verify"] else "not verified"))
    if spec["send_proxy"]:
        head.append(("PROXY:", spec["send_proxy"]))
    return [*head, ("Source:", item["source"])]


def _usable(item: Item) -> str:
    if item["awake"] and without_endpoints(item):
        return f"{usable(item)}; connections are refused"
    return f"{usable(item)}; too few, so all are used" if item["panic"] else usable(item)


def _discovery(item: Item) -> str:
    if item["discovery"] is None:
        return "none, endpoints are listed"
    ((kind, asked),) = item["discovery"].items()
    why = item["discovery_reason"]
    found = any(one["resolved"] is not None for one in item["endpoints"])
    kept = "what was found before is kept" if found else "nothing was found yet"
    return f"{kind} {asked}" + (f"; failed, {kept}: {why}" if why else "")


def _balance(balance: str, slow_start: str) -> str:
    return balance if slow_start == "0s" else f"{balance}, slow start in {slow_start}"


def _panic(below: str) -> str:
    return "never" if below == "0%" else f"below {below} usable endpoints all are used"


def _health(rule: Item | None) -> str:
    if not rule:
        return "not checked"
    http = rule.get("http")
    what = "tcp" if http is None else f"http {http['path']}"
    times = f"every {rule['every']}, timeout {rule['timeout']}"
    return f"{what} {times}, fall {rule['fall']}, rise {rule['rise']}"


def _outliers(rule: Item | None) -> str:
    if not rule:
        return "endpoints that fail are not left out"
    failures = rule["consecutive_failures"]
    puts = "1 failure puts" if failures == 1 else f"{failures} failures in a row put"
    most = f"{rule['max_ejected']} of them at most, or one"
    return f"{puts} an endpoint out for {rule['eject_for']}, {most}"


def _connect(connect: Item) -> str:
    first_byte = connect["first_byte"]
    timeout = connect["timeout"]
    tries = (
        f"1 try, {timeout}"
        if connect["tries"] == 1
        else f"{connect['tries']} tries, {timeout} each"
    )
    return tries + (f", first byte within {first_byte}" if first_byte else "")


def _retries(item: Item) -> str:
    budget = item["connect"]["retry_budget"]
    return f"{item['retries']}, and {item['retries_denied']} denied by the budget of {budget}"


def _spares(ready: int, wanted: int) -> str:
    return f"{ready} ready" + (f", {wanted} for each endpoint" if wanted else "")


def _limit(limits: Item, queue: Item | None) -> str:
    if limits["max_connections"] is None:
        return "none"
    taken = f"{limits['slots']} of {limits['max_connections']} connections"
    if queue is None:
        return f"{taken}, nobody waits"
    return f"{taken}, {limits['waiting']} of {queue['size']} waiting, {queue['timeout']} at most"


def _endpoints(item: Item, now_s: float) -> list[Row]:
    return [_endpoint(one, item, now_s) for one in item["endpoints"]] or [("-",)]


def _endpoint(end: Item, item: Item, now_s: float) -> Row:
    state = end["state"] if end["since"] is None else f"{end['state']} for {_ago(end, now_s)}"
    if end["ejected_until"] is not None:
        state += f", {human.until(end['ejected_until'], now_s)} to go"
    several = len({one["priority"] for one in item["endpoints"]}) > 1
    host = end["address"].rpartition(":")[0].strip("[]")
    address = end["address"]
    if end["resolved"] not in (None, host):
        address += f" ({end['resolved']})"
    return (
        address,
        state,
        f"weight {end['weight']}" + (f", priority {end['priority']}" if several else ""),
        f"{human.counted(end['connections'], 'connection')}, {end['connections_total']} in all",
        human.counted(end["failures"], "failure"),
        human.counted(end["ejections"], "ejection"),
        end["reason"],
    )


def _ago(end: Item, now_s: float) -> str:
    return human.since(end["since"], now_s)


def _users(item: Item, listeners: Sequence[Item]) -> list[Row]:
    return [
        (
            f"{one['tenant']}/{one['listener']}",
            f"weight {one['split'][item['upstream']]}",
            one["state"],
        )
        for one in listeners
        if item["upstream"] in one["split"]
    ]


def _mean(histogram: Mapping[str, float]) -> str:
    if not histogram["count"]:
        return "-"
    return f"{1000 * histogram['sum_s'] / histogram['count']:.2f} ms"
