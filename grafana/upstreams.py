"""The rows of the dashboard Tenant that are about its upstreams."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from grafana import states
from grafana.kit import Query, series, timeline

_OF = 'tenant="$tenant"'
_RATE = "[$__rate_interval]"


def quality(made: dashboard.Dashboard) -> dashboard.Dashboard:
    """Add the row that says how good upstreams are."""

    def quantile(of: str, share: float) -> str:
        name = f"tenantproxy_upstream_{of}_duration_seconds_bucket"
        rates = f"sum by (upstream, le) (rate({name}{{{_OF}}}{_RATE}))"
        return f"histogram_quantile({share}, {rates})"

    return (
        made.with_row(dashboard.Row("Upstreams"))
        .with_panel(
            series(
                "Endpoints that can be used",
                "Healthy or unchecked. Below half of all it is panic, and all are used; without"
                " panic, at 0 every connection to that upstream is refused.",
                "none",
                Query(f"min by (upstream) (tenantproxy_upstream_healthy_endpoints{{{_OF}}})"),
                span=8,
            )
        )
        .with_panel(
            series(
                "Time to connect",
                "To an endpoint: half, and 99 of 100, are faster.",
                "s",
                Query(quantile("connect", 0.5), "{{upstream}} p50"),
                Query(quantile("connect", 0.99), "{{upstream}} p99"),
                span=8,
            )
        )
        .with_panel(
            series(
                "Time to the first byte",
                "From connected to the upstream's first byte; with clients that speak first their"
                " own delay is in it.",
                "s",
                Query(quantile("first_byte", 0.5), "{{upstream}} p50"),
                Query(quantile("first_byte", 0.99), "{{upstream}} p99"),
                span=8,
            )
        )
    )


def ailing(made: dashboard.Dashboard) -> dashboard.Dashboard:
    """Add the row that says what is wrong with upstreams, and what is done about it."""

    def by(metric: str, *, rate: bool = False) -> str:
        told = f"tenantproxy_upstream_{metric}{{{_OF}}}"
        told = f"rate({told}{_RATE})" if rate else told
        return f"sum by (upstream) ({told})"

    return (
        made.with_row(dashboard.Row("What ails upstreams"))
        .with_panel(
            series(
                "Endpoints by state",
                "Of all upstreams. unhealthy: checks fail. ejected: connections failed in a row,"
                " and it is left out for a while. unchecked ones are used.",
                "none",
                Query(
                    f"sum by (state) (tenantproxy_upstream_endpoints{{{_OF}}})",
                    "{{state}}",
                ),
                stacked=True,
                colours=states.ENDPOINTS,
                span=8,
            )
        )
        .with_panel(
            series(
                "Endpoints left out",
                "By upstream: those that connections go to only in panic.",
                "none",
                Query(
                    "sum by (upstream, state) (tenantproxy_upstream_endpoints"
                    f'{{{_OF}, state=~"unhealthy|ejected|unresolved"}})',
                    "{{upstream}} {{state}}",
                ),
                span=8,
            )
        )
        .with_panel(
            series(
                "Failed health checks",
                "By upstream; a flat line at 0 is a checked upstream that is well.",
                "cps",
                Query(
                    "sum by (upstream) (rate(tenantproxy_upstream_health_checks_total"
                    f'{{{_OF}, result="failed"}}{_RATE}))'
                ),
                span=8,
            )
        )
        .with_panel(
            timeline(
                "Panic",
                "Less than half of the endpoints are usable, so all are used. A band ends while"
                " the upstream sleeps.",
                Query(
                    f"max by (upstream) (tenantproxy_upstream_panic{{{_OF}}})",
                    "{{upstream}}",
                ),
                states.PANIC,
            )
        )
        .with_panel(
            series(
                "Ejections and retries",
                "Retries that the budget denied are connections that gave up earlier than"
                " `connect.tries` allows.",
                "cps",
                Query(by("ejections_total", rate=True), "{{upstream}} ejections"),
                Query(by("retries_total", rate=True), "{{upstream}} retries"),
                Query(by("retries_denied_total", rate=True), "{{upstream}} denied"),
                span=8,
            )
        )
        .with_panel(
            series(
                "Use of limits",
                "Dashed: `max_connections`. At it, connections wait if there is a queue, and are"
                " refused if not.",
                "short",
                Query(by("slots_used"), "{{upstream}} used"),
                Query(by("waiting_connections"), "{{upstream}} waiting"),
                Query(by("max_connections"), "{{upstream}} at most"),
                dashed="at most",
                span=8,
            )
        )
        .with_panel(
            series(
                "Spare connections",
                "Ready for the next clients; one that is used or gets old is replaced.",
                "short",
                Query(by("spare_connections")),
                span=8,
            )
        )
    )
