"""The dashboard Idle and wake: which ports sleep, what wakes them, what policies did."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from grafana import places, states
from grafana.kit import BLUE, GREEN, ORANGE, RED, Query, board, choice, number, series, timeline

_OF = 'tenant=~"$tenant", listener=~"$listener"'
_RATE = "[$__rate_interval]"
_MOVED = (
    "(count by (tenant, listener) (count by (tenant, listener, state)"
    f" (count_over_time(tenantproxy_listener_state{{{_OF}}}[$__range] @ end()))) > 1)"
)
"""Ten thousand bands that stand still say nothing, and take long to draw."""


def idle() -> dashboard.Dashboard:
    """Return the dashboard."""
    made = board(
        places.IDLE,
        "tenantproxy / Idle and wake",
        "Ports that sleep until somebody connects, and go back to sleep.",
        links=places.links(places.IDLE),
        variables=(
            choice(
                "tenant", "Tenant", "label_values(tenantproxy_listener_state, tenant)", many=True
            ),
            choice(
                "listener",
                "Listener",
                'label_values(tenantproxy_listener_state{tenant=~"$tenant"}, listener)',
                many=True,
            ),
        ),
    )
    return _idleness(_moves(_now(made)))


def _now(made: dashboard.Dashboard) -> dashboard.Dashboard:
    def in_state(state: str) -> Query:
        return Query(
            "count(count by (tenant, listener)"
            f' (tenantproxy_listener_state{{{_OF}, state="{state}"}})) or vector(0)'
        )

    return (
        made.with_row(dashboard.Row("Now"))
        .with_panel(
            number("Asleep", "Bound, and nothing else alive.", "none", in_state("asleep"), span=6)
        )
        .with_panel(
            number(
                "Open",
                "Served by the workers.",
                "none",
                in_state("open"),
                steps=((None, GREEN),),
                span=6,
            )
        )
        .with_panel(
            number(
                "Cooling",
                "Closed, the number still kept for its tenant.",
                "none",
                in_state("cooling"),
                steps=((None, ORANGE),),
                span=6,
            )
        )
        .with_panel(
            number(
                "Ports free",
                "Numbers of the range that nobody has or keeps, over all nodes.",
                "none",
                Query("sum(tenantproxy_ports_capacity - tenantproxy_ports_used)"),
                steps=((None, RED), (1, BLUE)),
                span=6,
            )
        )
    )


def _moves(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("What changed"))
        .with_panel(
            series(
                "Ports by state",
                "Sleeping ports cost next to nothing; open ones a socket in each worker.",
                "none",
                Query(
                    "count by (state) (count by (tenant, listener, state)"
                    f" (tenantproxy_listener_state{{{_OF}}}))"
                ),
                stacked=True,
            )
        )
        .with_panel(
            series(
                "Sleeps and wakes",
                "Of all ports: opened by a connection or by order, put to sleep, closed, and"
                " wakes that took too long.",
                "none",
                Query(
                    "sum by (event) (increase(tenantproxy_events_total"
                    f'{{event=~"opened|slept|closed|wake_timeout"}}{_RATE}))'
                ),
            )
        )
        .with_panel(
            series(
                "What policies did",
                "`would` stands before what a dry run would have done.",
                "none",
                Query(
                    f"sum by (policy, action) (increase(tenantproxy_policy_actions_total{_RATE}))",
                    "{{policy}}: {{action}}",
                ),
            )
        )
        .with_panel(
            series(
                "Ports used",
                "A policy that closes gives numbers back once they have cooled.",
                "none",
                Query("sum(tenantproxy_ports_used)", "used"),
            )
        )
        .with_panel(
            timeline(
                "States of ports that slept or woke",
                "The life of each port that is chosen above and had more than one state in the"
                " chosen time.",
                Query(
                    f"{states.coded(_OF, 'tenant, listener')} and on (tenant, listener) {_MOVED}",
                    "{{tenant}}/{{listener}}",
                ),
                states.WORDS,
            )
        )
    )


def _idleness(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("Idleness"))
        .with_panel(
            series(
                "Idle for",
                "The twenty open ports that have been silent longest; a policy acts on these.",
                "s",
                Query(
                    "topk(20, (time() - max by (tenant, listener)"
                    f" (tenantproxy_listener_last_activity_timestamp_seconds{{{_OF}}}))"
                    " and on (tenant, listener)"
                    f' (tenantproxy_listener_state{{{_OF}, state="open"}}))',
                    "{{tenant}}/{{listener}}",
                ),
            )
        )
        .with_panel(
            series(
                "Held clients that were given up",
                "wake_timeout: the port did not open in time. hold_full: too many waited.",
                "cps",
                Query(
                    "sum by (reason) (rate(tenantproxy_listener_connections_rejected_total"
                    f'{{{_OF}, reason=~"wake_timeout|hold_full|client_gone"}}{_RATE}))'
                ),
            )
        )
    )
