"""Prints `docs/metrics.md` from the list of names."""

from __future__ import annotations

from tenantproxy.metrics.names import METRICS

_INTRO = """# Metrics

Served at `/metrics` on the metrics port (`proxy.metrics`), as Prometheus text and as OpenMetrics.
This page is generated from `tenantproxy/metrics/names.py` by `make docs`.

- `in` is from the client, `out` is to the client.
- `port` is the port really bound; empty while the listener has none.
- Bytes of live connections count while they live.
- Totals never go down while the daemon lives, not even when a worker dies.
- Series of a removed listener go away with it.
- A reason that never happened has no series, except `done`, `connect_failed`, `hold_full` and
  `overload`, and, while the port is not asleep, `upstream_full` and `queue_timeout`.
- An upstream is asleep while no port that uses it is awake. Then it has only counters that have
  counted, and its endpoints by state; no series of panic, limits, spares or of zeros.
- A port without a rollout has no series of one; a check has every result, from 0 on. The preview
  port of a canary is a listener like others: `listener="web.preview"`.
- `tenantproxy_listener_state` has one series a listener, that of the state it is in:
  `count by (state) (tenantproxy_listener_state)` counts listeners by state.
- No label value ever comes from a client.

| metric | type | labels | what it says |
|---|---|---|---|
"""


def markdown() -> str:
    """Return the whole page."""
    rows = []
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        values = f" {metric.labels[-1].capitalize()}: {metric.values}." if metric.values else ""
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help}{values} |\n")
    return _INTRO + "".join(rows)
