"""The dashboard Canary: what share each upstream of a split should get, gets, and does with it."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from grafana import places
from grafana.kit import BLUE, ORANGE, Query, board, choice, marks, number, series
from grafana.rollout import rollout

_OF = 'tenant="$tenant", listener="$listener"'
_RATE = "[$__rate_interval]"
_IN_SPLIT = f"and on (tenant, upstream) tenantproxy_upstream_weight{{{_OF}}}"
"""Keeps those upstreams of the tenant that the split names."""


def canary() -> dashboard.Dashboard:
    """Return the dashboard."""
    made = board(
        places.CANARY,
        "tenantproxy / Canary",
        "One port's split: the weights, and how the upstreams compare over the same time.",
        links=places.links(places.CANARY, takes="tenant"),
        variables=(
            choice("tenant", "Tenant", "label_values(tenantproxy_upstream_weight, tenant)"),
            choice(
                "listener",
                "Listener",
                'label_values(tenantproxy_upstream_weight{tenant="$tenant"}, listener)',
            ),
        ),
        refresh="10s",
    )
    weight = f"tenantproxy_upstream_weight{{{_OF}}}"
    # Windows longer than the step: a change between two of them would be in neither. A member that
    # is new has not changed: it was not there.
    changed = (
        f"max by (listener) (changes({weight}{_RATE})) > 0"
        f" or max by (listener) ({weight} unless {weight} offset $__rate_interval)"
    )
    made = made.annotation(marks("Weights changed", changed, ORANGE))
    stepped = f"max by (listener) (changes(tenantproxy_rollout_step{{{_OF}}}{_RATE})) > 0"
    made = made.annotation(marks("Steps of the rollout", stepped, BLUE))
    return _work(_failures(_weights(rollout(made))))


def _weights(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("Who gets what"))
        .with_panel(
            series(
                "Weight wanted and share seen",
                "Dashed: the share that the weights ask for. Drawn through: the share of new"
                " connections that each upstream got. They part when an upstream refuses.",
                "percentunit",
                Query(
                    f"max by (upstream) (tenantproxy_upstream_weight{{{_OF}}})"
                    f" / on () group_left () sum(max by (upstream)"
                    f" (tenantproxy_upstream_weight{{{_OF}}}))",
                    "{{upstream}} wanted",
                ),
                Query(
                    f"sum by (upstream) (rate(tenantproxy_upstream_connections_total{{{_OF}}}"
                    f"{_RATE})) / on () group_left ()"
                    f" (sum(rate(tenantproxy_upstream_connections_total{{{_OF}}}{_RATE})) > 0)",
                    "{{upstream}} seen",
                ),
                most=1,
                dashed="/ wanted$/",
                span=16,
            )
        )
        .with_panel(
            number(
                "New connections",
                "On how many a second the shares rest. Below one, wait before you judge.",
                "cps",
                Query(f"sum(rate(tenantproxy_listener_connections_total{{{_OF}}}{_RATE}))"),
                span=8,
                height=8,
            )
        )
        .with_panel(
            series(
                "Open connections by upstream",
                "Connections stay where they are when weights change.",
                "short",
                Query(f"sum by (upstream) (tenantproxy_upstream_connections{{{_OF}}})"),
                stacked=True,
            )
        )
        .with_panel(
            series(
                "Weights",
                "As set by a document, by the API, or by the step of a rollout.",
                "none",
                Query(f"max by (upstream) (tenantproxy_upstream_weight{{{_OF}}})"),
            )
        )
    )


def _failures(made: dashboard.Dashboard) -> dashboard.Dashboard:
    errors = (
        "sum by (tenant, upstream)"
        f' (rate(tenantproxy_upstream_connect_errors_total{{tenant="$tenant"}}{_RATE}))'
    )
    made_ok = (
        "sum by (tenant, upstream)"
        f' (rate(tenantproxy_upstream_connections_total{{tenant="$tenant"}}{_RATE}))'
    )
    return (
        made.with_row(dashboard.Row("Does it fail?"))
        .with_panel(
            series(
                "Connects that failed",
                "Share of attempts, by upstream, over every port of the tenant that uses it.",
                "percentunit",
                Query(
                    f"({errors} / ({errors} + {made_ok}) or 0 * {made_ok}) {_IN_SPLIT}",
                    "{{upstream}}",
                ),
            )
        )
        .with_panel(
            series(
                "Ends of connections on this port, by reason",
                "upstream_reset and client_reset that rise with the canary's weight are its work.",
                "cps",
                Query(
                    "sum by (reason)"
                    f" (rate(tenantproxy_listener_connections_closed_total{{{_OF}}}{_RATE}))"
                ),
            )
        )
    )


def _work(made: dashboard.Dashboard) -> dashboard.Dashboard:
    def quantile(of: str) -> str:
        name = f"tenantproxy_upstream_{of}_duration_seconds_bucket"
        rates = f'sum by (tenant, upstream, le) (rate({name}{{tenant="$tenant"}}{_RATE}))'
        return f"histogram_quantile(0.99, {rates}) {_IN_SPLIT}"

    return (
        made.with_row(dashboard.Row("Is it slower?"))
        .with_panel(
            series(
                "Time to connect, p99",
                "99 of 100 connects to the upstream are faster.",
                "s",
                Query(quantile("connect"), "{{upstream}}"),
                span=8,
            )
        )
        .with_panel(
            series(
                "Time to the first byte, p99",
                "From connected to the upstream's first byte.",
                "s",
                Query(quantile("first_byte"), "{{upstream}}"),
                span=8,
            )
        )
        .with_panel(
            series(
                "Bytes a connection",
                "To clients, for each new connection: a canary that answers less is broken.",
                "bytes",
                Query(
                    "sum by (upstream) (rate(tenantproxy_upstream_bytes_total"
                    f'{{{_OF}, direction="out"}}{_RATE})) / sum by (upstream)'
                    f" (rate(tenantproxy_upstream_connections_total{{{_OF}}}{_RATE}) > 0)"
                ),
                span=8,
            )
        )
    )
