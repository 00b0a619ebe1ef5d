"""The dashboard Tenant: one tenant's ports, their traffic, their limits and their upstreams."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from grafana import places, states
from grafana.kit import BLUE, GREEN, RED, Query, board, choice, number, rows, series, timeline
from grafana.upstreams import ailing, quality

_OF = 'tenant="$tenant", listener=~"$listener"'
_RATE = "[$__rate_interval]"


def tenant() -> dashboard.Dashboard:
    """Return the dashboard."""
    made = board(
        places.TENANT,
        "tenantproxy / Tenant",
        "One tenant: its ports, what went through them, and what it was refused.",
        links=places.links(places.TENANT, takes="tenant"),
        variables=(
            choice("tenant", "Tenant", "label_values(tenantproxy_listener_state, tenant)"),
            choice(
                "listener",
                "Listener",
                'label_values(tenantproxy_listener_state{tenant="$tenant"}, listener)',
                many=True,
            ),
        ),
    )
    return ailing(quality(_limits(_traffic(_ports(_glance(made))))))


def _glance(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("At a glance"))
        .with_panel(
            number(
                "Ports",
                "Listeners of the tenant, in any state.",
                "none",
                Query(f"count(count by (listener) (tenantproxy_listener_state{{{_OF}}}))"),
            )
        )
        .with_panel(
            number(
                "Ports failed",
                "Ports that cannot be bound or served.",
                "none",
                Query(
                    "count(count by (listener)"
                    f' (tenantproxy_listener_state{{{_OF}, state="failed"}})) or vector(0)'
                ),
                steps=((None, GREEN), (1, RED)),
            )
        )
        .with_panel(
            number(
                "Connections",
                "Client connections that are open now.",
                "short",
                Query(f"sum(tenantproxy_listener_connections{{{_OF}}})"),
                steps=((None, BLUE),),
            )
        )
        .with_panel(
            number(
                "In",
                "Bytes a second from clients.",
                "Bps",
                Query(
                    f'sum(rate(tenantproxy_listener_bytes_total{{{_OF}, direction="in"}}{_RATE}))'
                ),
            )
        )
        .with_panel(
            number(
                "Out",
                "Bytes a second to clients.",
                "Bps",
                Query(
                    f'sum(rate(tenantproxy_listener_bytes_total{{{_OF}, direction="out"}}{_RATE}))'
                ),
            )
        )
        .with_panel(
            number(
                "Never served",
                "Connections in the chosen time that were refused or given up.",
                "short",
                Query(
                    "sum(increase("
                    f"tenantproxy_listener_connections_rejected_total{{{_OF}}}[$__range]))"
                ),
                steps=((None, GREEN), (1, RED)),
            )
        )
    )


def _ports(made: dashboard.Dashboard) -> dashboard.Dashboard:
    by = "by (listener, port)"
    return (
        made.with_row(dashboard.Row("Ports"))
        .with_panel(
            rows(
                "Ports",
                "One line a port. Idle is the time since the last byte, or since the last"
                " connection was made or ended. A name leads to the split of the port.",
                Query(states.coded(_OF, "listener, port"), instant=True),
                Query(f"sum {by} (tenantproxy_listener_connections{{{_OF}}})", instant=True),
                Query(
                    f"sum {by} (rate(tenantproxy_listener_bytes_total{{{_OF}}}{_RATE}))",
                    instant=True,
                ),
                Query(
                    f"time() - max {by}"
                    f" (tenantproxy_listener_last_activity_timestamp_seconds{{{_OF}}})",
                    instant=True,
                ),
                names={
                    "listener": "Listener",
                    "port": "Port",
                    "Value #A": "State",
                    "Value #B": "Connections",
                    "Value #C": "Bytes",
                    "Value #D": "Idle",
                },
                units={"Connections": "short", "Bytes": "Bps", "Idle": "s"},
                links={"Listener": places.TO_CANARY},
                words={"State": states.WORDS},
            )
        )
        .with_panel(
            timeline(
                "States",
                "The life of each port.",
                Query(states.coded(_OF, "listener"), "{{listener}}"),
                states.WORDS,
            )
        )
    )


def _traffic(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("Traffic"))
        .with_panel(
            series(
                "In by listener",
                "Bytes a second from clients.",
                "Bps",
                Query(
                    "sum by (listener) (rate("
                    f'tenantproxy_listener_bytes_total{{{_OF}, direction="in"}}{_RATE}))'
                ),
            )
        )
        .with_panel(
            series(
                "Out by listener",
                "Bytes a second to clients.",
                "Bps",
                Query(
                    "sum by (listener) (rate("
                    f'tenantproxy_listener_bytes_total{{{_OF}, direction="out"}}{_RATE}))'
                ),
            )
        )
        .with_panel(
            series(
                "Connections opened",
                "Accepted, by listener.",
                "cps",
                Query(
                    "sum by (listener)"
                    f" (rate(tenantproxy_listener_connections_total{{{_OF}}}{_RATE}))"
                ),
            )
        )
        .with_panel(
            series(
                "Connections closed by reason",
                "done: both sides said so. Anything else was cut by somebody.",
                "cps",
                Query(
                    "sum by (reason)"
                    f" (rate(tenantproxy_listener_connections_closed_total{{{_OF}}}{_RATE}))"
                ),
                stacked=True,
            )
        )
    )


def _limits(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("Limits"))
        .with_panel(
            series(
                "Open connections by listener",
                "What the limits are about.",
                "short",
                Query(f"sum by (listener) (tenantproxy_listener_connections{{{_OF}}})"),
                stacked=True,
            )
        )
        .with_panel(
            series(
                "Never served, by reason",
                "hold_full: more waited than `wake.hold` allows. overload: no descriptor could be"
                " had. upstream_full and queue_timeout: `max_connections` of an upstream. The"
                " others tell of upstreams and clients.",
                "cps",
                Query(
                    "sum by (reason)"
                    f" (rate(tenantproxy_listener_connections_rejected_total{{{_OF}}}{_RATE}))"
                ),
                stacked=True,
            )
        )
    )
