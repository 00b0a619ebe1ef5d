"""The one list of every metric: name, type, help and labels.

The collector fills what stands here and nothing else; `docs/metrics.md` is
printed from it. No label value ever comes from a client: names are the
operator's, reasons are from the fixed sets of `dataplane.counters`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from tenantproxy.dataplane.counters import CLOSED_REASONS, CONNECT_ERRORS, REJECTED_REASONS
from tenantproxy.model.findings import ASIDE, RESULTS
from tenantproxy.model.lifecycle import State
from tenantproxy.model.rollout import Phase
from tenantproxy.model.views import EndpointState

Kind = Literal["counter", "gauge", "histogram"]

PREFIX = "tenantproxy_"
CHECKS = ("passed", "failed")
"""Results of a health check."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One family. `name` is as scraped, with `_total` for a counter."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    values: str = ""
    """The values of the last label, for the documentation."""

    @property
    def sample_names(self) -> tuple[str, ...]:
        """Names of the lines that it prints."""
        if self.kind == "histogram":
            return tuple(self.name + suffix for suffix in ("_bucket", "_count", "_sum"))
        return (self.name,)


_PORT = ("tenant", "listener", "port")
_UPSTREAM = ("tenant", "upstream")
_ROUTE = (*_PORT, "upstream")


def _counter(name: str, text: str, labels: tuple[str, ...] = (), values: str = "") -> Metric:
    return Metric(f"{PREFIX}{name}_total", "counter", text, labels, values)


def _gauge(name: str, text: str, labels: tuple[str, ...] = (), values: str = "") -> Metric:
    return Metric(PREFIX + name, "gauge", text, labels, values)


def _histogram(name: str, text: str, labels: tuple[str, ...]) -> Metric:
    return Metric(PREFIX + name, "histogram", text, labels)


# Listeners ---------------------------------------------------------------

LISTENER_CONNECTIONS = _gauge(
    "listener_connections", "Client connections that are open now.", _PORT
)
LISTENER_CONNECTIONS_TOTAL = _counter("listener_connections", "Client connections accepted.", _PORT)
LISTENER_CLOSED = _counter(
    "listener_connections_closed",
    "Client connections that were served and have ended, by reason.",
    (*_PORT, "reason"),
    ", ".join(CLOSED_REASONS),
)
LISTENER_REJECTED = _counter(
    "listener_connections_rejected",
    "Client connections that were never served, by reason.",
    (*_PORT, "reason"),
    ", ".join(REJECTED_REASONS),
)
LISTENER_BYTES = _counter(
    "listener_bytes",
    "Bytes moved, those of live connections included; in is from the client.",
    (*_PORT, "direction"),
    "in, out",
)
LISTENER_LAST_ACTIVITY = _gauge(
    "listener_last_activity_timestamp_seconds",
    "Time of the last byte, or of the last connection made or ended; absent while there was none.",
    _PORT,
)
LISTENER_STATE = _gauge(
    "listener_state",
    "1 for the state that the listener is in; other states are absent.",
    (*_PORT, "state"),
    ", ".join(State),
)

# Upstreams ---------------------------------------------------------------

UPSTREAM_CONNECTIONS = _gauge(
    "upstream_connections", "Connections of the listener to the upstream, open now.", _ROUTE
)
UPSTREAM_CONNECTIONS_TOTAL = _counter(
    "upstream_connections",
    "Connections of the listener to the upstream that were established.",
    _ROUTE,
)
UPSTREAM_CONNECT_ERRORS = _counter(
    "upstream_connect_errors",
    "Attempts to connect to an endpoint that failed, by reason.",
    (*_UPSTREAM, "reason"),
    ", ".join(CONNECT_ERRORS),
)
UPSTREAM_BYTES = _counter(
    "upstream_bytes",
    "Bytes moved between listener and upstream, those of live connections included;"
    " in is from the client.",
    (*_ROUTE, "direction"),
    "in, out",
)
UPSTREAM_WEIGHT = _gauge(
    "upstream_weight",
    "Weight of the upstream in the listener's split, relative to the others.",
    _ROUTE,
)
UPSTREAM_HEALTHY_ENDPOINTS = _gauge(
    "upstream_healthy_endpoints",
    "Endpoints that connections go to without panic: those healthy or unchecked.",
    _UPSTREAM,
)
UPSTREAM_ENDPOINTS = _gauge(
    "upstream_endpoints",
    "Endpoints by the state they are in; a state that none is in is absent.",
    (*_UPSTREAM, "state"),
    ", ".join(get_args(EndpointState)),
)
UPSTREAM_PANIC = _gauge(
    "upstream_panic",
    "1 while too few endpoints are usable, so that all are used; absent while asleep.",
    _UPSTREAM,
)
UPSTREAM_EJECTIONS = _counter(
    "upstream_ejections", "Endpoints left out for a while after failures in a row.", _UPSTREAM
)
UPSTREAM_HEALTH_CHECKS = _counter(
    "upstream_health_checks",
    "Health checks made, by result.",
    (*_UPSTREAM, "result"),
    ", ".join(CHECKS),
)
UPSTREAM_RETRIES = _counter(
    "upstream_retries", "Attempts to connect that followed a failed one.", _UPSTREAM
)
UPSTREAM_RETRIES_DENIED = _counter(
    "upstream_retries_denied",
    "Attempts to connect that the retry budget did not allow.",
    _UPSTREAM,
)
UPSTREAM_MAX_CONNECTIONS = _gauge(
    "upstream_max_connections",
    "Connections that the upstream may have; absent without a limit, or while asleep.",
    _UPSTREAM,
)
UPSTREAM_SLOTS_USED = _gauge(
    "upstream_slots_used",
    "Connections that count for the upstream's limit, if it has one.",
    _UPSTREAM,
)
UPSTREAM_WAITING_CONNECTIONS = _gauge(
    "upstream_waiting_connections",
    "Client connections that wait for a slot of the upstream, if it has a limit.",
    _UPSTREAM,
)
UPSTREAM_SPARE_CONNECTIONS = _gauge(
    "upstream_spare_connections",
    "Connections kept ready for the next clients, if there are to be some.",
    _UPSTREAM,
)
UPSTREAM_CONNECT_DURATION = _histogram(
    "upstream_connect_duration_seconds",
    "Time to connect to an endpoint; absent before the first connection.",
    _UPSTREAM,
)
UPSTREAM_FIRST_BYTE_DURATION = _histogram(
    "upstream_first_byte_duration_seconds",
    "Time from connected to the upstream's first byte; absent before the first one.",
    _UPSTREAM,
)

# Rollouts ----------------------------------------------------------------

ROLLOUT_STEP = _gauge(
    "rollout_step", "Step that the rollout is in, counted from 1; 0 before the first.", _PORT
)
ROLLOUT_STEPS = _gauge("rollout_steps", "Steps that the rollout has.", _PORT)
ROLLOUT_WEIGHT = _gauge(
    "rollout_weight",
    "Percent that the canary shall have of what stable and it have together.",
    _PORT,
)
ROLLOUT_WEIGHT_SEEN = _gauge(
    "rollout_weight_seen",
    "Percent that the canary got of the connections of this step; absent before the first.",
    _PORT,
)
ROLLOUT_STATE = _gauge(
    "rollout_state",
    "1 for the state that the rollout is in; other states are absent.",
    (*_PORT, "state"),
    ", ".join(Phase),
)
ROLLOUT_STATE_SINCE = _gauge(
    "rollout_state_since_timestamp_seconds", "Time at which the rollout got into its state.", _PORT
)
ROLLOUT_CHECKS = _counter(
    "rollout_checks",
    "What the checks of the rollout found, by check and result.",
    (*_PORT, "check", "result"),
    f"{', '.join(RESULTS)}, or `{ASIDE}` in a dry run",
)

# The daemon --------------------------------------------------------------

PORTS_USED = _gauge("ports_used", "Numbers of the port range that listeners have or keep.")
PORTS_CAPACITY = _gauge("ports_capacity", "Numbers in the port range.")
POLICY_ACTIONS = _counter(
    "policy_actions",
    "What policies did.",
    ("policy", "action"),
    "sleep, close, or `would sleep`, `would close` in a dry run",
)
CONFIG_RELOADS = _counter(
    "config_reloads",
    "Versions of the desired state that were read, by source and result.",
    ("source", "result"),
    "applied, unchanged, refused",
)
CONFIG_LAST_RELOAD_SUCCESS = _gauge(
    "config_last_reload_success_timestamp_seconds",
    "Time of the last version of the desired state that was taken.",
)
CONFIG_LAST_RELOAD_SUCCESSFUL = _gauge(
    "config_last_reload_successful",
    "1 while the newest version of the document runs, 0 while it was refused.",
)
EVENTS = _counter(
    "events",
    "Decisions by the name of their event, as in `get events`.",
    ("event",),
    "opened, slept, closed, failed, reloaded and others",
)
WORKERS = _gauge("workers", "Worker processes that are ready.")
WORKER_RESTARTS = _counter("worker_restarts", "Worker processes started in place of a dead one.")
WORKER_LOOP_LAG = _gauge(
    "worker_loop_lag_seconds",
    "How late the worker's event loop was at its last check.",
    ("worker",),
)
WORKER_FDS_FREE = _gauge(
    "worker_fds_free",
    "File descriptors that the worker may take before it stops accepting for a while.",
    ("worker",),
)
WORKER_ACCEPT_PAUSES = _counter(
    "worker_accept_pauses",
    "Times that the worker stopped accepting for want of file descriptors.",
    ("worker",),
)
RELAY_CONNECTIONS = _gauge(
    "relay_connections", "Connections by the way their bytes are moved.", ("mode",), "pump, kernel"
)
BUILD_INFO = _gauge("build_info", "Always 1; the label tells the version.", ("version",))

METRICS: tuple[Metric, ...] = tuple(
    value for value in tuple(globals().values()) if isinstance(value, Metric)
)
"""All of them, in the order in which they are printed."""

_NAMES = frozenset(metric.name for metric in METRICS)


def openmetrics_family(metric: Metric) -> tuple[str, str]:
    """Return name and type of the family in OpenMetrics, which names counters without `_total`.

    Where a gauge has that name already, the counter stays under its full name
    and is `unknown`: two families of one name are refused by strict parsers.
    """
    short = metric.name.removesuffix("_total")
    if metric.kind == "counter" and short in _NAMES:
        return metric.name, "unknown"
    return short, metric.kind
