"""The row of the dashboard Canary that is about the rollout: where it is, and what checks find."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from grafana import states
from grafana.kit import Query, number, series, timeline

_OF = 'tenant="$tenant", listener="$listener"'
_RATE = "[$__rate_interval]"


def rollout(made: dashboard.Dashboard) -> dashboard.Dashboard:
    """Add the row; a port without a rollout has no data there."""
    return _checks(_way(_glance(made.with_row(dashboard.Row("The rollout")))))


def _glance(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_panel(
            number(
                "State",
                "Of the rollout. `rollout status` says why it is in it.",
                "none",
                Query(states.coded_phase(_OF, "listener")),
                words=states.PHASES,
                span=6,
            )
        )
        .with_panel(
            number(
                "For",
                "How long it has been in it.",
                "s",
                Query(f"time() - max(tenantproxy_rollout_state_since_timestamp_seconds{{{_OF}}})"),
                span=6,
            )
        )
        .with_panel(
            number(
                "Step",
                "The step it is in; 0 before the first.",
                "none",
                Query(f"max(tenantproxy_rollout_step{{{_OF}}})"),
            )
        )
        .with_panel(
            number(
                "Of",
                "Steps that it has.",
                "none",
                Query(f"max(tenantproxy_rollout_steps{{{_OF}}})"),
            )
        )
        .with_panel(
            number(
                "Weight of the canary",
                "What the canary shall have now of what stable and it have together.",
                "percent",
                Query(f"max(tenantproxy_rollout_weight{{{_OF}}})"),
            )
        )
    )


def _way(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_panel(
            timeline(
                "States of the rollout",
                "Paused by a step, by a person, or because a judge cannot be reached.",
                Query(states.coded_phase(_OF, "listener"), "{{listener}}"),
                states.PHASES,
            )
        )
        .with_panel(
            series(
                "Weight of the canary, wanted and seen",
                "Dashed: what the step asks for. Drawn through: what the canary got of the"
                " connections since the step began; a step without any has no value.",
                "percent",
                Query(f"max(tenantproxy_rollout_weight{{{_OF}}})", "wanted"),
                Query(f"max(tenantproxy_rollout_weight_seen{{{_OF}}})", "seen"),
                most=100,
                dashed="/^wanted$/",
            )
        )
        .with_panel(
            series(
                "Steps",
                "Dashed: how many there are.",
                "none",
                Query(f"max(tenantproxy_rollout_steps{{{_OF}}})", "of"),
                Query(f"max(tenantproxy_rollout_step{{{_OF}}})", "step"),
                dashed="/^of$/",
            )
        )
    )


def _checks(made: dashboard.Dashboard) -> dashboard.Dashboard:
    counted = f"tenantproxy_rollout_checks_total{{{_OF}}}"
    bad = f'tenantproxy_rollout_checks_total{{{_OF}, result!="passed"}}'
    return made.with_panel(
        series(
            "Verdicts",
            "What checks found. no_data: too few connections to say anything. inconclusive: the"
            " judge could not be reached; it says nothing about the canary.",
            "none",
            Query(f"sum by (result) (increase({counted}{_RATE}))", "{{result}}"),
            stacked=True,
            colours=states.RESULTS,
        )
    ).with_panel(
        series(
            "Verdicts by check",
            "Those that are no pass. `would fail` is a failure of a dry run.",
            "none",
            Query(f"sum by (check, result) (increase({bad}{_RATE})) > 0", "{{check}} {{result}}"),
        )
    )
