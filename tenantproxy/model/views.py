"""What people and scrapers see: the observed state at one instant, as plain values.

`control` makes them; `admin`, `metrics` and `policy` read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tenantproxy.model.lifecycle import State
from tenantproxy.model.spec import ListenerSpec, TenantSpec, UpstreamSpec

Source = Literal["file", "api"]


@dataclass(frozen=True, slots=True)
class Totals:
    """Counters of one listener or upstream over all workers; none ever goes down."""

    connections: int = 0
    """Open now (a gauge)."""
    connections_total: int = 0
    closed: Mapping[str, int] = field(default_factory=dict)
    """By reason, see `dataplane.counters.CLOSED_REASONS`."""
    rejected: Mapping[str, int] = field(default_factory=dict)
    """By reason, see `dataplane.counters.REJECTED_REASONS`."""
    bytes_in: int = 0
    """From the client."""
    bytes_out: int = 0
    last_activity_s: float | None = None
    """CLOCK_MONOTONIC of the last byte, or of the last connect or close; None: never."""


@dataclass(frozen=True, slots=True)
class ListenerView:
    """One listener: what is wanted of it and how it is."""

    spec: ListenerSpec
    """As in the desired state, with the split that is in force."""
    port: int | None
    """The number really bound (or kept); None while it has none."""
    address: str
    state: State
    reason: str
    """Why it is in this state; a short sentence."""
    since_s: float
    """Wall clock of the last change of state."""
    source: Source
    split_source: Source
    generation: int
    """The generation that last changed it."""
    totals: Totals
    routes: Mapping[str, Totals] = field(default_factory=dict)
    """By upstream: connections and bytes that went there, also when it has left the split. One that
    is removed stays until its last connection has ended."""
    reserved_until_s: float | None = None
    """Wall clock; set while `cooling`."""
    policy: str | None = None
    """The idle rule that applies: `listener`, `policy NAME`, or None."""


EndpointState = Literal["healthy", "unhealthy", "ejected", "unchecked", "unresolved"]
"""`unchecked`: no check has said anything, or there are none; it is used. `unresolved`: a name in
the document that has no address (yet)."""


@dataclass(frozen=True, slots=True)
class EndpointView:
    """One endpoint of an upstream."""

    address: str
    """As in the document, or as discovery found it."""
    resolved: str | None
    """The IP address in use; None while the name does not resolve."""
    reason: str = ""
    """Why it is in this state; a short sentence, empty when there is nothing to say."""
    weight: int = 1
    priority: int = 0
    """Of an SRV record: the lowest number that has usable endpoints is used."""
    state: EndpointState = "unchecked"
    since_s: float = 0.0
    """Wall clock of the last change of state."""
    connections: int = 0
    """Open now, over all workers."""
    connections_total: int = 0
    failures: int = 0
    """Connects that failed, and resets before the first byte."""
    ejections: int = 0
    """How often it was ejected since it is there."""
    ejected_until_s: float | None = None
    """Wall clock; set while it is ejected."""

    @property
    def usable(self) -> bool:
        """Say whether connections go there without panic."""
        return self.state in ("healthy", "unchecked")


@dataclass(frozen=True, slots=True)
class Histogram:
    """A histogram by the upper bounds of `dataplane.counters.BUCKETS_S`, not cumulative."""

    counts: tuple[int, ...]
    """One for each bound and a last one for what is above."""
    sum_s: float


@dataclass(frozen=True, slots=True)
class UpstreamView:
    """One upstream: its endpoints and what went to them."""

    spec: UpstreamSpec
    endpoints: tuple[EndpointView, ...]
    source: Source
    totals: Totals
    connect_errors: Mapping[str, int]
    """By reason, see `dataplane.counters.CONNECT_ERRORS`."""
    connect_duration: Histogram
    first_byte_duration: Histogram
    listeners: tuple[str, ...] = ()
    """Names of the tenant's listeners whose split names it."""
    awake: bool = False
    """A listener that uses it is awake: names are followed, endpoints checked, spares kept."""
    panic: bool = False
    """Too few endpoints are usable, so all are used."""
    discovery_reason: str = ""
    """Why discovery failed the last time; what it found before is kept."""
    shortened: str = ""
    """Why not all that was found is used: `1024 of 4000 addresses are used`."""
    slots: int = 0
    """Connections that count for `max_connections`."""
    waiting: int = 0
    """Connections that wait for a slot."""
    spares: int = 0
    """Spare connections that are ready."""
    retries: int = 0
    """Attempts that followed a failed one."""
    retries_denied: int = 0
    """Attempts that the retry budget did not allow."""
    ejections: int = 0
    """Ejections of endpoints, of those that are gone too."""
    checks: Mapping[str, int] = field(default_factory=dict)
    """`passed` and `failed` -> number of health checks."""


@dataclass(frozen=True, slots=True)
class TenantView:
    """One tenant and sums over its listeners."""

    spec: TenantSpec
    source: Source
    totals: Totals
    states: Mapping[str, int]
    """Number of listeners by state."""


@dataclass(frozen=True, slots=True)
class RelayView:
    """How a worker moves the bytes of new connections, and why so."""

    mode: Literal["pump", "kernel"]
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker slot."""

    index: int
    pid: int | None
    state: Literal["starting", "ready", "backing_off", "stopping"]
    restarts: int
    loop_lag_s: float
    connections: int
    ready_since_s: float | None
    """Wall clock."""
    reason: str = ""
    relay: RelayView | None = None
    """None until the worker has said."""
    kernel_connections: int = 0
    """Those of `connections` whose bytes the kernel moves."""
    fds_free: int = 0
    """File descriptors that it may still take before it stops accepting for a while."""
    accept_pauses: int = 0
    """Times that it stopped accepting for want of file descriptors."""


@dataclass(frozen=True, slots=True)
class Event:
    """One decision, as shown by `get events` and written to the log."""

    number: int
    """Rises by one; resume a watch with it."""
    at_s: float
    """Wall clock."""
    event: str
    """Short, from a fixed set: `opened`, `woke`, `slept`, `reloaded`, ..."""
    tenant: str | None
    object: str | None
    """`listener/NAME`, `upstream/NAME`, `worker/N`, `policy/NAME`, `document`."""
    reason: str
    details: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GenerationView:
    """One generation of the desired state, applied or refused."""

    number: int
    """The running number; a refused one has the number it would have got."""
    at_s: float
    source: Source
    result: Literal["applied", "refused"]
    summary: str
    """`+2 listeners, ~1 split` or the first problem."""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """The daemon itself."""

    version: str
    ready: bool
    generation: int
    started_s: float
    ports_used: int
    ports_capacity: int
    workers: tuple[WorkerView, ...]
    accept: str
    document: str | None
    """Path of the document as given by the operator."""
    document_problems: tuple[str, ...]
    """Why the newest document was refused; empty when it runs."""
    restart_needed: tuple[str, ...]
    """Keys of `proxy` that changed in the file and wait for a restart."""
    last_reload_success_s: float | None
    reloads: Mapping[tuple[str, str], int]
    """(source, result) -> count; results: `applied`, `unchanged`, `refused`."""
    policy_actions: Mapping[tuple[str, str], int]
    """(policy, action) -> count."""
    worker_restarts: int
    events: Mapping[str, int] = field(default_factory=dict)
    """Name of an event -> how many there were."""
