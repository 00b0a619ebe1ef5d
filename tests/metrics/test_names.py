"""The list of metrics says what interface and rules of Prometheus ask for."""

import re

from tenantproxy.metrics.names import METRICS

_CONTRACT = """
listener_connections listener_connections_total listener_connections_closed_total
listener_connections_rejected_total listener_bytes_total
listener_last_activity_timestamp_seconds listener_state
upstream_connections upstream_connections_total upstream_connect_errors_total
upstream_bytes_total upstream_weight upstream_healthy_endpoints
upstream_connect_duration_seconds upstream_first_byte_duration_seconds
rollout_step rollout_weight rollout_state rollout_checks_total
ports_used ports_capacity policy_actions_total config_reloads_total
config_last_reload_success_timestamp_seconds workers worker_restarts_total
worker_loop_lag_seconds relay_connections build_info
"""
CONTRACT = _CONTRACT.split()
_OURS = """
config_last_reload_successful events_total worker_accept_pauses_total worker_fds_free
upstream_endpoints upstream_panic upstream_ejections_total upstream_health_checks_total
upstream_retries_total upstream_retries_denied_total
upstream_max_connections upstream_slots_used upstream_waiting_connections
upstream_spare_connections
rollout_steps rollout_weight_seen rollout_state_since_timestamp_seconds
"""
OURS = _OURS.split()
"""Not in the contract: what alerts need to know."""


def test_every_metric_of_the_contract_is_there_and_few_others():
    assert sorted(m.name for m in METRICS) == sorted(
        f"tenantproxy_{name}" for name in CONTRACT + OURS
    )


def test_no_name_is_given_twice():
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_counters_end_in_total_and_nothing_else_does():
    for metric in METRICS:
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name


def test_names_and_labels_are_words_of_prometheus():
    for metric in METRICS:
        assert re.fullmatch("[a-z][a-z0-9_]*", metric.name)
        assert all(re.fullmatch("[a-z][a-z_]*", label) for label in metric.labels)
        assert metric.help.endswith(".")
