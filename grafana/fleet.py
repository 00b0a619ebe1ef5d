"""The dashboard Fleet: is it well, what goes through, what goes wrong, how are the daemons."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from grafana import places
from grafana.kit import BLUE, GREEN, ORANGE, RED, Query, board, number, rows, series

_RATE = "[$__rate_interval]"
_FAILED = (
    'count(count by (tenant, listener) (tenantproxy_listener_state{state="failed"})) or vector(0)'
)
"""Each port once, on however many nodes."""
_BUSIEST = f"topk(50, sum by (tenant) (rate(tenantproxy_listener_bytes_total{_RATE})))"


def fleet() -> dashboard.Dashboard:
    """Return the dashboard."""
    made = board(
        places.FLEET,
        "tenantproxy / Fleet",
        "All ports, all tenants, all daemons.",
        links=places.links(places.FLEET),
    )
    return _daemons(_ports(_trouble(_traffic(_well(made)))))


def _well(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("Is it well?"))
        .with_panel(
            number(
                "Nodes",
                "Daemons that Prometheus reaches.",
                "none",
                Query("count(tenantproxy_build_info) or vector(0)"),
            )
        )
        .with_panel(
            number(
                "Workers",
                "Processes that move bytes and are ready, over all nodes.",
                "none",
                Query("sum(tenantproxy_workers) or vector(0)"),
                steps=((None, RED), (1, GREEN)),
            )
        )
        .with_panel(
            number(
                "Configuration",
                "Whether every node runs the newest version of its document.",
                "none",
                Query("min(tenantproxy_config_last_reload_successful)"),
                words={"0": ("refused", RED), "1": ("runs", GREEN)},
            )
        )
        .with_panel(
            number(
                "Ports used",
                "Numbers of the port range that listeners have or keep, on the fullest node.",
                "percentunit",
                Query("max(tenantproxy_ports_used / tenantproxy_ports_capacity)"),
                steps=((None, GREEN), (0.8, ORANGE), (0.9, RED)),
            )
        )
        .with_panel(
            number(
                "Ports failed",
                "Ports that cannot be bound or served. They are tried again by themselves.",
                "none",
                Query(_FAILED),
                steps=((None, GREEN), (1, RED)),
            )
        )
        .with_panel(
            number(
                "Connections",
                "Client connections that are open now.",
                "short",
                Query("sum(tenantproxy_listener_connections)"),
                steps=((None, BLUE),),
            )
        )
    )


def _traffic(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("Traffic"))
        .with_panel(
            series(
                "Bytes by direction",
                "In is from clients, out is to them.",
                "Bps",
                Query(f"sum by (direction) (rate(tenantproxy_listener_bytes_total{_RATE}))"),
            )
        )
        .with_panel(
            series(
                "New connections by tenant",
                "The ten busiest tenants.",
                "cps",
                Query(
                    "topk(10, sum by (tenant)"
                    f" (rate(tenantproxy_listener_connections_total{_RATE})))"
                ),
            )
        )
        .with_panel(
            series(
                "Open connections by tenant",
                "The ten tenants with most.",
                "short",
                Query("topk(10, sum by (tenant) (tenantproxy_listener_connections))"),
                stacked=True,
            )
        )
        .with_panel(
            rows(
                "Tenants",
                "The fifty tenants that move most bytes. A name leads to its dashboard.",
                Query(_BUSIEST, instant=True),
                Query(
                    "sum by (tenant) (tenantproxy_listener_connections)"
                    f" and on (tenant) {_BUSIEST}",
                    instant=True,
                ),
                Query(
                    "count by (tenant) (count by (tenant, listener) (tenantproxy_listener_state))"
                    f" and on (tenant) {_BUSIEST}",
                    instant=True,
                ),
                names={
                    "tenant": "Tenant",
                    "Value #A": "Bytes",
                    "Value #B": "Connections",
                    "Value #C": "Ports",
                },
                units={"Bytes": "Bps", "Connections": "short", "Ports": "none"},
                links={"Tenant": places.TO_TENANT},
                span=12,
            )
        )
    )


def _trouble(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("Errors"))
        .with_panel(
            series(
                "Clients that were never served, by reason",
                "What each reason means is in the page of metrics. connect_failed and"
                " no_endpoint: the upstream. hold_full and overload: a limit of ours.",
                "cps",
                Query(
                    "sum by (reason)"
                    f" (rate(tenantproxy_listener_connections_rejected_total{_RATE}))"
                ),
                span=8,
            )
        )
        .with_panel(
            series(
                "Ends of connections, by reason",
                "done: both sides said so. Anything else was cut by somebody.",
                "cps",
                Query(
                    f"sum by (reason) (rate(tenantproxy_listener_connections_closed_total{_RATE}))"
                ),
                span=8,
            )
        )
        .with_panel(
            series(
                "Failed connects to endpoints, by reason",
                "Attempts, of which one connection may make several.",
                "cps",
                Query(f"sum by (reason) (rate(tenantproxy_upstream_connect_errors_total{_RATE}))"),
                span=8,
            )
        )
    )


def _ports(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("Ports"))
        .with_panel(
            series(
                "Ports used of capacity",
                "Of all nodes together. At the dashed line new ports are refused.",
                "none",
                Query("sum(tenantproxy_ports_used)", "used"),
                Query("sum(tenantproxy_ports_capacity)", "capacity"),
                dashed="capacity",
            )
        )
        .with_panel(
            series(
                "Ports by state",
                "An asleep port costs a bound socket; the first connection wakes it.",
                "none",
                Query(
                    "count by (state)"
                    " (count by (tenant, listener, state) (tenantproxy_listener_state))"
                ),
                stacked=True,
            )
        )
    )


def _daemons(made: dashboard.Dashboard) -> dashboard.Dashboard:
    worker = "{{instance}} worker {{worker}}"
    return (
        made.with_row(dashboard.Row("Daemons"))
        .with_panel(
            series(
                "Reloads by result",
                "A refused version changes nothing; `get generations` tells why it was refused.",
                "none",
                Query(
                    f"sum by (source, result) (increase(tenantproxy_config_reloads_total{_RATE}))",
                    "{{source}} {{result}}",
                ),
                span=8,
            )
        )
        .with_panel(
            series(
                "Age of the configuration",
                "Time since a version of the document was last taken, by node.",
                "s",
                Query(
                    "time() - tenantproxy_config_last_reload_success_timestamp_seconds",
                    "{{instance}}",
                ),
                span=8,
            )
        )
        .with_panel(
            series(
                "Loop lag by worker",
                "How late the event loop was. Above 0.1 s clients feel it: more workers, or a"
                " policy that calms a tenant.",
                "s",
                Query("tenantproxy_worker_loop_lag_seconds", worker),
                span=8,
            )
        )
        .with_panel(
            series(
                "Worker restarts and pauses",
                "A worker that died was replaced: its connections were lost, and no others. One"
                " without file descriptors stopped accepting for a while.",
                "none",
                Query(
                    f"increase(tenantproxy_worker_restarts_total{_RATE})", "{{instance}} restarts"
                ),
                Query(
                    f"increase(tenantproxy_worker_accept_pauses_total{_RATE})",
                    f"{worker} pauses",
                ),
                span=8,
            )
        )
        .with_panel(
            series(
                "Free file descriptors by worker",
                "Two for each connection. At 0 the worker stops accepting until some are free.",
                "none",
                Query("tenantproxy_worker_fds_free", worker),
                span=8,
            )
        )
        .with_panel(
            series(
                "Connections by what moves their bytes",
                "The pump is ours; the kernel relay has to be asked for.",
                "short",
                Query("sum by (mode) (tenantproxy_relay_connections)"),
                stacked=True,
                span=8,
            )
        )
        .with_panel(
            rows(
                "Versions",
                "What each node runs.",
                Query("count by (instance, version) (tenantproxy_build_info)", instant=True),
                names={"instance": "Node", "version": "Version"},
                units={},
                height=4,
            )
        )
    )
