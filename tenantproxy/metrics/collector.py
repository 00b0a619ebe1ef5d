"""Asks the control side at scrape time and says what it found, as samples.

Nothing is counted here: every number is read, so a listener that is gone has
no series and a total never goes down. `snapshot` is called on the event loop
and is cheap; going through `samples` takes a while with thousands of
listeners and may be done in another thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector as PrometheusCollector

from tenantproxy import clock
from tenantproxy.control.facade import Control
from tenantproxy.dataplane.counters import BUCKETS_S
from tenantproxy.metrics import names
from tenantproxy.model.findings import RESULTS
from tenantproxy.model.lifecycle import State
from tenantproxy.model.rollout_view import RolloutView
from tenantproxy.model.views import Histogram, ListenerView, Status, Totals, UpstreamView

Sample = tuple[str, tuple[str, ...], float]
"""Name of the line, values of its labels in the order of `names`, value."""

CLOSED = {"done": 0}
REJECTED = dict.fromkeys(("connect_failed", "hold_full", "overload"), 0)
"""Reasons that are printed at 0: of what alerts ask about `increase` would miss the first. Others
appear with their first count."""
REJECTED_IN_SERVICE = REJECTED | dict.fromkeys(("upstream_full", "queue_timeout"), 0)
"""The same of a port that is not asleep: one that sleeps has no upstream that could be full."""
EVENTS = dict.fromkeys(("opened", "slept", "closed", "failed", "wake_timeout", "worker_died"), 0)
RELOADS = {("file", result): 0 for result in ("applied", "unchanged", "refused")}
"""The same of the daemon. Of events of upstreams there are none: alerts ask the upstreams' own
metrics, which tell whose it was."""
_IN_SERVICE = (State.OPENING, State.OPEN, State.DRAINING)

_NOTHING = Totals()
_BOUNDS = (*(str(bound) for bound in BUCKETS_S), "+Inf")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one scrape is made of."""

    status: Status
    listeners: Iterable[ListenerView]
    upstreams: Iterable[UpstreamView]
    rollouts: Iterable[RolloutView]
    wall_offset_s: float
    """Wall clock minus CLOCK_MONOTONIC."""

    def samples(self) -> Iterator[Sample]:
        """Yield every sample once; those of one family are not next to each other."""
        yield from _daemon(self.status)
        for listener in self.listeners:
            yield from _listener(listener, self.wall_offset_s)
        for upstream in self.upstreams:
            yield from _upstream(upstream)
        for rollout in self.rollouts:
            yield from _rollout(rollout)


def snapshot(control: Control) -> Snapshot:
    """Take what must be taken on the event loop."""
    return Snapshot(
        status=control.status(),
        listeners=control.listener_snapshots(),
        upstreams=control.upstream_snapshots(),
        rollouts=control.rollout_snapshots(),
        wall_offset_s=clock.wall_s() - clock.monotonic_s(),
    )


class Collector(PrometheusCollector):
    """The samples as a collector for any registry of prometheus_client."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def collect(self) -> Iterator[Family]:
        """Yield every family, also those without a sample."""
        by_sample = {name: metric for metric in names.METRICS for name in metric.sample_names}
        families = {
            metric.name: Family(metric.name.removesuffix("_total"), metric.help, metric.kind)
            for metric in names.METRICS
        }
        for name, values, value in snapshot(self._control).samples():
            metric = by_sample[name]
            labels = (*metric.labels, "le") if name.endswith("_bucket") else metric.labels
            families[metric.name].add_sample(name, dict(zip(labels, values, strict=True)), value)
        yield from families.values()


def _daemon(status: Status) -> Iterator[Sample]:
    yield names.PORTS_USED.name, (), status.ports_used
    yield names.PORTS_CAPACITY.name, (), status.ports_capacity
    for pair, count in sorted(status.policy_actions.items()):
        yield names.POLICY_ACTIONS.name, pair, count
    for pair, count in sorted((RELOADS | dict(status.reloads)).items()):
        yield names.CONFIG_RELOADS.name, pair, count
    if status.last_reload_success_s is not None:
        yield names.CONFIG_LAST_RELOAD_SUCCESS.name, (), status.last_reload_success_s
    yield names.CONFIG_LAST_RELOAD_SUCCESSFUL.name, (), int(not status.document_problems)
    for event, count in sorted((EVENTS | dict(status.events)).items()):
        yield names.EVENTS.name, (event,), count
    yield names.WORKERS.name, (), sum(worker.state == "ready" for worker in status.workers)
    yield names.WORKER_RESTARTS.name, (), status.worker_restarts
    for worker in status.workers:
        index = (str(worker.index),)
        yield names.WORKER_LOOP_LAG.name, index, worker.loop_lag_s
        yield names.WORKER_FDS_FREE.name, index, worker.fds_free
        yield names.WORKER_ACCEPT_PAUSES.name, index, worker.accept_pauses
    kernel = sum(worker.kernel_connections for worker in status.workers)
    yield names.RELAY_CONNECTIONS.name, ("kernel",), kernel
    # The two gauges are not written at one instant, and a count is never negative.
    pumped = (max(w.connections - w.kernel_connections, 0) for w in status.workers)
    yield names.RELAY_CONNECTIONS.name, ("pump",), sum(pumped)
    yield names.BUILD_INFO.name, (status.version,), 1


def _listener(view: ListenerView, wall_offset_s: float) -> Iterator[Sample]:
    totals = view.totals
    labels = (view.spec.tenant, view.spec.name, _port(view.port))
    yield names.LISTENER_CONNECTIONS.name, labels, totals.connections
    yield names.LISTENER_CONNECTIONS_TOTAL.name, labels, totals.connections_total
    yield from _reasons(names.LISTENER_CLOSED.name, labels, totals.closed, CLOSED)
    asked = REJECTED_IN_SERVICE if view.state in _IN_SERVICE else REJECTED
    yield from _reasons(names.LISTENER_REJECTED.name, labels, totals.rejected, asked)
    yield names.LISTENER_BYTES.name, (*labels, "in"), totals.bytes_in
    yield names.LISTENER_BYTES.name, (*labels, "out"), totals.bytes_out
    if totals.last_activity_s is not None:
        last_s = round(totals.last_activity_s + wall_offset_s, 3)
        yield names.LISTENER_LAST_ACTIVITY.name, labels, last_s
    yield names.LISTENER_STATE.name, (*labels, view.state.value), 1
    weights = {member.upstream: member.weight for member in view.spec.split}
    for upstream, weight in weights.items():
        yield names.UPSTREAM_WEIGHT.name, (*labels, upstream), weight
    for upstream, route in (dict.fromkeys(weights, _NOTHING) | dict(view.routes)).items():
        yield from _route((*labels, upstream), route)


def _port(number: int | None) -> str:
    return "" if number is None else str(number)


def _route(labels: tuple[str, ...], totals: Totals) -> Iterator[Sample]:
    yield names.UPSTREAM_CONNECTIONS.name, labels, totals.connections
    yield names.UPSTREAM_CONNECTIONS_TOTAL.name, labels, totals.connections_total
    yield names.UPSTREAM_BYTES.name, (*labels, "in"), totals.bytes_in
    yield names.UPSTREAM_BYTES.name, (*labels, "out"), totals.bytes_out


def _upstream(view: UpstreamView) -> Iterator[Sample]:
    labels = (view.spec.tenant, view.spec.name)
    yield from _reasons(names.UPSTREAM_CONNECT_ERRORS.name, labels, view.connect_errors, {})
    usable = sum(endpoint.usable for endpoint in view.endpoints)
    yield names.UPSTREAM_HEALTHY_ENDPOINTS.name, labels, usable
    for state, count in Counter(endpoint.state for endpoint in view.endpoints).items():
        yield names.UPSTREAM_ENDPOINTS.name, (*labels, state), count
    for name, value, told in _told(view):
        if told:
            yield name, labels, value
    checked = dict.fromkeys(names.CHECKS, 0) if view.awake and view.spec.health else {}
    yield from _reasons(names.UPSTREAM_HEALTH_CHECKS.name, labels, view.checks, checked)
    connect, first_byte = names.UPSTREAM_CONNECT_DURATION, names.UPSTREAM_FIRST_BYTE_DURATION
    yield from _times(connect.name, labels, view.connect_duration)
    yield from _times(first_byte.name, labels, view.first_byte_duration)


def _told(view: UpstreamView) -> Iterator[tuple[str, int, bool]]:
    """Yield name, value, and whether it is told: thousands of sleepers shall have no lines of 0.

    A counter that alerts ask about begins at 0 when the upstream wakes; one that has counted stays.
    """
    spec, awake = view.spec, view.awake
    for name, count in (
        (names.UPSTREAM_EJECTIONS.name, view.ejections),
        (names.UPSTREAM_RETRIES.name, view.retries),
        (names.UPSTREAM_RETRIES_DENIED.name, view.retries_denied),
    ):
        yield name, count, awake or count > 0
    yield names.UPSTREAM_PANIC.name, int(view.panic), awake
    yield names.UPSTREAM_SPARE_CONNECTIONS.name, view.spares, awake and spec.warm > 0
    if spec.max_connections is not None:
        yield names.UPSTREAM_MAX_CONNECTIONS.name, spec.max_connections, awake
        yield names.UPSTREAM_SLOTS_USED.name, view.slots, awake
        yield names.UPSTREAM_WAITING_CONNECTIONS.name, view.waiting, awake


def _rollout(view: RolloutView) -> Iterator[Sample]:
    labels = (*view.key, _port(view.port))
    yield names.ROLLOUT_STEP.name, labels, view.step
    yield names.ROLLOUT_STEPS.name, labels, view.steps
    yield names.ROLLOUT_WEIGHT.name, labels, view.weight
    if view.canary.seen is not None:
        yield names.ROLLOUT_WEIGHT_SEEN.name, labels, 100 * view.canary.seen
    yield names.ROLLOUT_STATE.name, (*labels, view.phase.value), 1
    yield names.ROLLOUT_STATE_SINCE.name, labels, round(view.since_s, 3)
    # From 0 on: alerts ask what a check found for the first time.
    begun = {(check.name, result): 0 for check in view.checks for result in RESULTS}
    for pair, count in sorted((begun | dict(view.checks_total)).items()):
        yield names.ROLLOUT_CHECKS.name, (*labels, *pair), count


def _reasons(
    name: str, labels: tuple[str, ...], counts: Mapping[str, int], always: Mapping[str, int]
) -> Iterator[Sample]:
    for reason, count in {**always, **counts}.items():
        if count or reason in always:
            yield name, (*labels, reason), count


def _times(name: str, labels: tuple[str, ...], times: Histogram) -> Iterator[Sample]:
    """Yield a histogram; nothing while it is empty: 34 lines of 0 for each sleeping upstream."""
    below = tuple(accumulate(times.counts))
    if not below or not below[-1]:
        return
    for bound, count in zip(_BOUNDS, below, strict=True):
        yield f"{name}_bucket", (*labels, bound), count
    yield f"{name}_count", labels, below[-1]
    yield f"{name}_sum", labels, times.sum_s
