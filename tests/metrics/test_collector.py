"""Views become samples: all of them, of what is there, and of nothing that is gone."""

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tenantproxy import clock
from tenantproxy.dataplane.counters import BUCKETS_S, CLOSED_REASONS, REJECTED_REASONS
from tenantproxy.metrics.collector import Collector, snapshot
from tenantproxy.metrics.names import METRICS
from tenantproxy.model.lifecycle import State
from tenantproxy.model.rollout import Phase
from tenantproxy.model.rollout_view import SideView
from tenantproxy.model.spec import HealthRule, TcpCheck, UpstreamKey
from tenantproxy.model.views import EndpointView, Histogram, Totals, WorkerView
from tests.support_control import WEB
from tests.support_rollouts import running

PORT = {"tenant": "acme", "listener": "web", "port": "21000"}
V1 = UpstreamKey("acme", "web-v1")


def value(control, name, **labels):
    registry = CollectorRegistry()
    registry.register(Collector(control))
    return registry.get_sample_value(f"tenantproxy_{name}", labels)


def names_of(control):
    return {name for name, _, _ in snapshot(control).samples()}


def healing(control, *states, **fields):
    """Fields of an upstream that is awake and has everything."""
    spec = control.upstream(V1).spec
    states = states or ("healthy", "healthy", "unhealthy", "ejected", "unchecked", "unresolved")
    return {
        "spec": replace(spec, max_connections=50, warm=2, health=HealthRule(tcp=TcpCheck())),
        "endpoints": tuple(EndpointView("e:1", None, state=state) for state in states),
        "awake": True,
        "panic": True,
        "slots": 49,
        "waiting": 8,
        "spares": 9,
        "retries": 10,
        "retries_denied": 11,
        "ejections": 12,
        "checks": {"passed": 13, "failed": 14},
    } | fields


def lines_of(control, key=V1):
    """Return what is said of an upstream alone: name and last labels -> value."""
    return {
        (name.removeprefix("tenantproxy_upstream_"), *values[2:]): value
        for name, values, value in snapshot(control).samples()
        if values[:2] == key and name.startswith("tenantproxy_upstream_")
    }


def roll(control, **fields):
    """Let the listener have a rollout in its second step."""
    control.rolling.views[WEB] = running(WEB, 1_795_000_320.25, **fields)


def busy(control):
    """Let everything happen that has a metric."""
    control.traffic.listeners[WEB] = Totals(
        3,
        20,
        dict.fromkeys(CLOSED_REASONS, 1),
        dict.fromkeys(REJECTED_REASONS, 1),
        10,
        2**60 + 1,
        clock.monotonic_s() - 60,
    )
    control.traffic.routes[WEB] = {"web-v1": Totals(2, 19, bytes_in=4, bytes_out=5)}
    control.traffic.errors[V1] = {"refused": 2, "timeout": 0}
    control.log.add("opened", "for the first connection")
    control.traffic.times[V1] = Histogram((1,) * (len(BUCKETS_S) + 1), 99.5)
    control.traffic.seen[V1] = healing(control)
    control.policy_actions["idle-sleep", "sleep"] = 4
    control.history.reloads["file", "applied"] = 5
    roll(control)
    return control


def test_no_sample_has_a_name_that_the_list_lacks_and_every_name_has_a_sample(control):
    listed = {name for metric in METRICS for name in metric.sample_names}
    assert names_of(busy(control)) == listed


def test_every_sample_has_as_many_label_values_as_the_list_has_labels(control):
    labels = {name: m.labels for m in METRICS for name in m.sample_names}
    for name, values, _ in snapshot(busy(control)).samples():
        assert len(values) == len(labels[name]) + name.endswith("_bucket"), name


def test_a_listener_shows_what_it_counted(control):
    busy(control)
    assert value(control, "listener_connections", **PORT) == 3
    assert value(control, "listener_connections_total", **PORT) == 20
    assert value(control, "listener_bytes_total", **PORT, direction="in") == 10
    assert value(control, "listener_bytes_total", **PORT, direction="out") == 2**60 + 1
    for reason in CLOSED_REASONS:
        assert value(control, "listener_connections_closed_total", **PORT, reason=reason) == 1
    for reason in REJECTED_REASONS:
        assert value(control, "listener_connections_rejected_total", **PORT, reason=reason) == 1


def test_a_reason_that_never_was_has_no_series_but_those_that_are_asked_about(control):
    control.traffic.listeners[WEB] = Totals(
        closed=dict.fromkeys(CLOSED_REASONS, 0), rejected=dict.fromkeys(REJECTED_REASONS, 0)
    )
    found = [
        (name, values[-1])
        for name, values, _ in snapshot(control).samples()
        if "_closed_" in name or "_rejected_" in name
    ]
    assert set(found) == {
        ("tenantproxy_listener_connections_closed_total", "done"),
        ("tenantproxy_listener_connections_rejected_total", "connect_failed"),
        ("tenantproxy_listener_connections_rejected_total", "hold_full"),
        ("tenantproxy_listener_connections_rejected_total", "overload"),
    }


def test_only_the_state_that_a_listener_is_in_has_a_series(control):
    control._ports[WEB].state = State.DRAINING
    assert value(control, "listener_state", **PORT, state="draining") == 1
    assert value(control, "listener_state", **PORT, state="open") is None


def test_the_port_is_empty_while_there_is_none(control):
    control._ports[WEB].number = None
    labels = PORT | {"port": ""}
    assert value(control, "listener_connections", **labels) == 0


def test_last_activity_is_told_in_wall_time(control):
    control.traffic.listeners[WEB] = Totals(last_activity_s=clock.monotonic_s() - 60)
    seen = value(control, "listener_last_activity_timestamp_seconds", **PORT)
    assert seen == pytest.approx(clock.wall_s() - 60, abs=1)


def test_last_activity_is_left_out_while_there_was_none(control):
    assert value(control, "listener_last_activity_timestamp_seconds", **PORT) is None


def test_the_weights_of_a_split_are_those_of_the_port(control):
    assert value(control, "upstream_weight", **PORT, upstream="web-v1") == 95
    assert value(control, "upstream_weight", **PORT, upstream="web-v2") == 5


def test_what_went_to_an_upstream_is_told_for_each_port_that_sent_it(control):
    labels = PORT | {"upstream": "web-v1"}
    busy(control)
    assert value(control, "upstream_connections", **labels) == 2
    assert value(control, "upstream_connections_total", **labels) == 19
    assert value(control, "upstream_bytes_total", **labels, direction="in") == 4
    assert value(control, "upstream_bytes_total", **labels, direction="out") == 5


def test_a_member_of_a_split_that_got_nothing_yet_is_told_at_0(control):
    labels = PORT | {"upstream": "web-v2"}
    assert value(busy(control), "upstream_connections_total", **labels) == 0


def test_an_upstream_that_left_the_split_goes_on_being_told(control):
    control.traffic.routes[WEB] = {"web-v0": Totals(1, 7)}
    labels = PORT | {"upstream": "web-v0"}
    assert value(control, "upstream_connections", **labels) == 1
    assert value(control, "upstream_weight", **labels) is None


def test_healthy_endpoints_are_those_that_are_used_without_panic(control):
    assert lines_of(control)["healthy_endpoints",] == 2
    control.traffic.seen[V1] = healing(control)
    assert lines_of(control)["healthy_endpoints",] == 3
    control.traffic.seen[V1] = healing(control, "unhealthy", "ejected", "unresolved")
    assert lines_of(control)["healthy_endpoints",] == 0


def test_endpoints_are_told_by_state_and_a_state_that_none_is_in_has_no_series(control):
    control.traffic.seen[V1] = healing(control)
    assert {key: n for key, n in lines_of(control).items() if key[0] == "endpoints"} == {
        ("endpoints", "healthy"): 2,
        ("endpoints", "unhealthy"): 1,
        ("endpoints", "ejected"): 1,
        ("endpoints", "unchecked"): 1,
        ("endpoints", "unresolved"): 1,
    }
    control.traffic.seen[V1] = healing(control, "ejected")
    assert [key for key in lines_of(control) if key[0] == "endpoints"] == [("endpoints", "ejected")]


def test_an_upstream_that_is_awake_tells_what_it_does(control):
    control.traffic.seen[V1] = healing(control, "healthy")
    assert lines_of(control) == {
        ("healthy_endpoints",): 1,
        ("endpoints", "healthy"): 1,
        ("ejections_total",): 12,
        ("retries_total",): 10,
        ("retries_denied_total",): 11,
        ("panic",): 1,
        ("spare_connections",): 9,
        ("max_connections",): 50,
        ("slots_used",): 49,
        ("waiting_connections",): 8,
        ("health_checks_total", "passed"): 13,
        ("health_checks_total", "failed"): 14,
    }
    control.traffic.seen[V1] = healing(control, "healthy", panic=False)
    assert lines_of(control)["panic",] == 0


def test_a_sleeping_upstream_says_only_what_it_has_counted(control):
    nothing = {"healthy_endpoints", "endpoints"}
    assert {name for name, *_ in lines_of(control)} == nothing
    fields = healing(control, "unchecked", awake=False, panic=False, slots=0, waiting=0, spares=0)
    control.traffic.seen[V1] = fields
    assert lines_of(control) == {
        ("healthy_endpoints",): 1,
        ("endpoints", "unchecked"): 1,
        ("ejections_total",): 12,
        ("retries_total",): 10,
        ("retries_denied_total",): 11,
        ("health_checks_total", "passed"): 13,
        ("health_checks_total", "failed"): 14,
    }


def test_what_alerts_ask_of_an_upstream_begins_at_0_when_it_wakes(control):
    spec = control.upstream(V1).spec
    control.traffic.seen[V1] = {"awake": True, "spec": replace(spec, health=HealthRule())}
    assert lines_of(control) == {
        ("healthy_endpoints",): 2,
        ("endpoints", "unchecked"): 2,
        ("ejections_total",): 0,
        ("retries_total",): 0,
        ("retries_denied_total",): 0,
        ("panic",): 0,
        ("health_checks_total", "passed"): 0,
        ("health_checks_total", "failed"): 0,
    }


def test_checks_limits_and_spares_are_not_told_of_an_upstream_without_them(control):
    control.traffic.seen[V1] = {"awake": True, "slots": 5}
    said = {name for name, *_ in lines_of(control)}
    assert not said & {"health_checks_total", "max_connections", "slots_used"}
    assert not said & {"waiting_connections", "spare_connections"}


@pytest.mark.parametrize("state", State)
def test_a_port_in_service_says_at_0_that_no_upstream_was_full(control, state):
    control._ports[WEB].state = state
    in_service = state in (State.OPENING, State.OPEN, State.DRAINING)
    for reason in ("upstream_full", "queue_timeout"):
        told = value(control, "listener_connections_rejected_total", **PORT, reason=reason)
        assert told == (0 if in_service else None)


def test_a_histogram_is_cumulative_and_absent_while_it_is_empty(control):
    labels = {"tenant": "acme", "upstream": "web-v1"}
    name = "upstream_connect_duration_seconds"
    assert value(control, f"{name}_count", **labels) is None
    control.traffic.times[V1] = Histogram((1, 2, *(0,) * 12, 4), 99.5)
    assert value(control, f"{name}_bucket", **labels, le="0.0005") == 1
    assert value(control, f"{name}_bucket", **labels, le="0.001") == 3
    assert value(control, f"{name}_bucket", **labels, le="10.0") == 3
    assert value(control, f"{name}_bucket", **labels, le="+Inf") == 7
    assert value(control, f"{name}_count", **labels) == 7
    assert value(control, f"{name}_sum", **labels) == 99.5


def test_a_rollout_says_where_it_is(control):
    roll(control)
    assert value(control, "rollout_step", **PORT) == 2
    assert value(control, "rollout_steps", **PORT) == 4
    assert value(control, "rollout_weight", **PORT) == 25
    assert value(control, "rollout_weight_seen", **PORT) == pytest.approx(24.59)
    since = value(control, "rollout_state_since_timestamp_seconds", **PORT)
    assert since == 1_795_000_000.25


@pytest.mark.parametrize("phase", Phase)
def test_only_the_state_that_a_rollout_is_in_has_a_series(control, phase):
    roll(control, phase=phase)
    states = {one: value(control, "rollout_state", **PORT, state=one.value) for one in Phase}
    assert {one: told for one, told in states.items() if told is not None} == {phase: 1}


def test_the_share_of_the_canary_is_left_out_while_nobody_came(control):
    roll(control, canary=SideView("web-v2", 25, None, 0, 0))
    assert value(control, "rollout_weight_seen", **PORT) is None
    roll(control, canary=SideView("web-v2", 25, 0.0, 0, 0))
    assert value(control, "rollout_weight_seen", **PORT) == 0


def test_checks_are_counted_by_result_and_begin_at_0(control):
    roll(
        control,
        checks_total={
            ("resets", "passed"): 7,
            ("resets", "failed"): 1,
            ("first_byte_p99", "inconclusive"): 2,
            ("first_byte_p99", "would fail"): 3,
        },
    )
    counts = {
        values[3:]: count
        for name, values, count in snapshot(control).samples()
        if name == "tenantproxy_rollout_checks_total"
    }
    assert counts == {
        ("resets", "passed"): 7,
        ("resets", "failed"): 1,
        ("resets", "no_data"): 0,
        ("resets", "inconclusive"): 0,
        ("first_byte_p99", "passed"): 0,
        ("first_byte_p99", "failed"): 0,
        ("first_byte_p99", "no_data"): 0,
        ("first_byte_p99", "inconclusive"): 2,
        ("first_byte_p99", "would fail"): 3,
    }


def test_a_port_without_a_rollout_has_no_series_of_one(control):
    assert not [name for name in names_of(control) if "_rollout_" in name]


def test_the_rollout_of_a_port_that_is_not_bound_has_no_port(control):
    roll(control, port=None)
    assert value(control, "rollout_step", **PORT | {"port": ""}) == 2


def test_workers_are_those_that_are_ready(control):
    backing_off = WorkerView(1, None, "backing_off", 7, 0.0, 0, None, "dies at once")
    control.workers = (*control.workers, backing_off)
    assert value(control, "workers") == 1
    assert value(control, "worker_loop_lag_seconds", worker="1") == 0
    assert value(control, "worker_restarts_total") == 2


def test_connections_are_told_by_what_moves_their_bytes(control):
    kernel = WorkerView(1, 4712, "ready", 0, 0.0, 50, None, kernel_connections=40)
    ahead = WorkerView(2, 4713, "ready", 0, 0.0, 5, None, kernel_connections=7)
    control.workers = (*control.workers, kernel, ahead)
    assert value(control, "relay_connections", mode="pump") == 3 + 10
    assert value(control, "relay_connections", mode="kernel") == 47


async def test_the_series_of_a_removed_listener_go_away(control):
    assert value(control, "listener_connections", **PORT) == 0
    await control.delete_listener(WEB)
    gone = [values for _, values, _ in snapshot(control).samples() if values[:2] == ("acme", "web")]
    assert gone == []


def test_a_reload_that_never_was_has_no_time(control):
    control.history.last_success_s = None
    assert value(control, "config_last_reload_success_timestamp_seconds") is None


def test_a_refused_document_is_told_until_another_runs(control):
    assert value(control, "config_last_reload_successful") == 1
    control.refuse_source(["line 3: it is wrong"], source="file")
    assert value(control, "config_last_reload_successful") == 0
    control.history.reloaded([], [], [])
    assert value(control, "config_last_reload_successful") == 1


def test_what_alerts_and_dashboards_ask_about_begins_at_0(control):
    """`increase` of a series that appears with its first count is 0."""
    assert value(control, "events_total", event="slept") == 0
    assert value(control, "config_reloads_total", source="file", result="refused") == 0


async def test_events_are_counted_by_name(control):
    await control.open(WEB)
    await control.open(WEB)
    assert value(control, "events_total", event="open") == 2


def test_descriptors_are_told_for_each_worker(control):
    short = WorkerView(1, 4712, "ready", 0, 0.0, 50, None, fds_free=7, accept_pauses=3)
    control.workers = (*control.workers, short)
    assert value(control, "worker_fds_free", worker="1") == 7
    assert value(control, "worker_accept_pauses_total", worker="1") == 3


def test_any_registry_of_prometheus_client_can_print_it(control):
    registry = CollectorRegistry()
    registry.register(Collector(busy(control)))
    families = list(text_string_to_metric_families(generate_latest(registry).decode()))
    assert len(families) == len(METRICS)
