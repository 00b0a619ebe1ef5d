"""Desired state as plain values.

They are compared, kept by the thousand and sent to workers, so they stay
frozen and free of behaviour. Mappings inside are never changed after the
value is built: a change builds a new value, and what did not change is the
same object, which makes "is it changed?" an identity test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from tenantproxy.model.rollout_spec import RolloutSpec

Balance = Literal["round_robin", "least_connections", "random", "source_hash"]
Connections = Literal["drain", "keep", "kill"]
"""What happens to live connections when a listener closes."""
OpenMode = Literal["on_demand", "always"]
IdleAction = Literal["sleep", "close", "never"]
AcceptMode = Literal["shared", "reuseport"]
RelayMode = Literal["pump", "kernel", "auto"]
"""What moves the bytes; `auto`: the kernel where it can. The pump serves wherever it cannot."""
ProxyProtocol = Literal["v1", "v2"]
Sticky = Literal["source_ip"]


class ListenerKey(NamedTuple):
    """Names one listener; prints as `tenant/listener`."""

    tenant: str
    listener: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.listener}"


class UpstreamKey(NamedTuple):
    """Names one upstream; prints as `tenant/upstream`."""

    tenant: str
    upstream: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.upstream}"


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """One address of an upstream; `host` is an IP address or a name."""

    host: str
    port: int
    weight: int = 1

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Discovery:
    """How the endpoints of an upstream are found.

    `dns`: every address (A and AAAA) of the name is an endpoint, all on `port`. `srv`: the SRV
    records of the name (RFC 2782) say targets, ports, weights and priorities.
    """

    kind: Literal["dns", "srv"]
    name: str
    port: int | None = None
    """Of `dns` only."""

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"{self.kind} {self.name}{port}"


@dataclass(frozen=True, slots=True)
class TcpCheck:
    """Connect; then send something and wait for an answer that holds `expect`, if that is given."""

    send: bytes = b""
    expect: bytes = b""


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """GET a path and look at the code of the answer."""

    path: str = "/"
    host: str | None = None
    """Host header; None: the endpoint as it is written in the document."""
    expect: tuple[tuple[int, int], ...] = ((200, 399),)
    """Ranges of codes that are well, both ends included."""


@dataclass(frozen=True, slots=True)
class HealthRule:
    """How endpoints are checked while a listener that uses them is awake."""

    tcp: TcpCheck | None = None
    http: HttpCheck | None = None
    """One of the two is there, and only one."""
    every_s: float = 2.0
    timeout_s: float = 2.0
    """Longest time that one check may take, connecting included."""
    fall: int = 3
    """So many failed checks in a row make an endpoint unhealthy."""
    rise: int = 2
    """So many passed checks in a row make it healthy again."""
    jitter: float = 0.1
    """Part of `every_s` by which a check may come earlier or later."""
    port: int | None = None
    """Port to check; None: the endpoint's own."""


@dataclass(frozen=True, slots=True)
class OutlierRule:
    """When an endpoint that fails connections is left out for a while."""

    consecutive_failures: int = 5
    """Failed connects, or resets before the first byte, in a row."""
    eject_for_s: float = 30.0
    """Length of the first ejection; the next ones are 2, 3, ... times as long."""
    eject_for_most_s: float = 300.0
    max_ejected: float = 0.1
    """Share of the endpoints that may be ejected at once; one always may, the last never."""


@dataclass(frozen=True, slots=True)
class QueueRule:
    """How many connections wait for a slot of a full upstream, and how long."""

    size: int
    """Over all workers, each of which takes its part, rounded up."""
    timeout_s: float


@dataclass(frozen=True, slots=True)
class TlsRule:
    """TLS to the endpoints of an upstream."""

    server_name: str | None = None
    """Name for SNI and verification; None: the endpoint's own, as the document or DNS names it."""
    ca_file: str | None = None
    """PEM of the authorities to trust; None: those of the system."""
    cert_file: str | None = None
    """PEM of our certificate, if the endpoint asks for one."""
    key_file: str | None = None
    """PEM of its key; None: it stands in `cert_file`."""
    verify: bool = True
    """False: trust whoever answers."""


@dataclass(frozen=True, slots=True)
class UpstreamSpec:
    """A named group of endpoints: listed, or found by `discovery`."""

    tenant: str
    name: str
    endpoints: tuple[EndpointSpec, ...] = ()
    balance: Balance = "round_robin"
    connect_timeout_s: float = 5.0
    """Longest time one connection attempt may take, TLS included, in seconds.

    Five: Linux repeats a lost SYN after 1, 3 and 7 seconds, so this forgives
    two losses and does not wait for the third repeat.
    """
    connect_tries: int = 3
    """Attempts a client connection, each on another endpoint."""
    retry_budget: float = 0.2
    """Second attempts under way may be this share of the upstream's live connections (three always
    may; others wait for their turn), so that retries cannot double an outage."""
    first_byte_timeout_s: float | None = None
    """Longest wait for the upstream's first byte, from connected; None: no limit."""
    discovery: Discovery | None = None
    slow_start_s: float = 0.0
    """Time in which an endpoint that comes (back) goes from a tenth of its weight to all of it."""
    panic_below: float = 0.5
    """With a smaller share of usable endpoints than this, all of them are used; 0: never."""
    health: HealthRule | None = None
    outlier: OutlierRule | None = OutlierRule()
    max_connections: int | None = None
    """Over all listeners and workers."""
    queue: QueueRule | None = None
    """Who waits when `max_connections` are there; None: nobody, they are refused."""
    warm: int = 0
    """Spare connections kept ready for each endpoint, spread over the workers."""
    send_proxy: ProxyProtocol | None = None
    """Header of the PROXY protocol that tells the endpoint who the client is."""
    tls: TlsRule | None = None

    @property
    def key(self) -> UpstreamKey:
        return UpstreamKey(self.tenant, self.name)


@dataclass(frozen=True, slots=True)
class IdleRule:
    """What to do with a port that carried nothing for `after_s` seconds."""

    after_s: float
    then: IdleAction


@dataclass(frozen=True, slots=True)
class WakeRule:
    """How a sleeping port wakes."""

    hold: int = 10_000
    """Connections that may wait in each worker while the port wakes; more are refused."""
    timeout_s: float = 30.0
    """Longest time a connection waits for the port and its upstream."""
    after_first_bytes: bool = False
    """Wake only for clients that send something: a port scanner wakes nothing."""


DEFAULT_WAKE = WakeRule()


@dataclass(frozen=True, slots=True)
class SplitMember:
    """One upstream of a split; `weight` is relative to the others, 0 takes no traffic."""

    upstream: str
    weight: int


@dataclass(frozen=True, slots=True)
class ListenerSpec:
    """One port of one tenant."""

    tenant: str
    name: str
    split: tuple[SplitMember, ...]
    port: int | None = None
    """None: one of `port_range`, kept for this listener."""
    open: OpenMode = "on_demand"
    idle: IdleRule | None = None
    """None: what the policies say."""
    idle_timeout_s: float = 3600.0
    """Longest silence of one connection, in seconds, before it is cut."""
    wake: WakeRule = DEFAULT_WAKE
    drain_s: float = 600.0
    """Window over which connections are cut when the listener closes."""
    sticky: Sticky | None = None
    """What of a client decides which upstream of the split it gets; None: nothing."""
    fallback: bool = False
    """An upstream without a usable endpoint gives its share of the split to the others."""
    rollout: RolloutSpec | None = None
    """A plan that moves the split from one upstream to another."""
    salt: str = ""
    """Derived, of a rollout on its way: lets its sticky clients fall otherwise than any before."""
    preview_of: str | None = None
    """Derived: this is the preview port of that listener's rollout. No document names it."""

    @property
    def key(self) -> ListenerKey:
        return ListenerKey(self.tenant, self.name)


@dataclass(frozen=True, slots=True)
class TenantSpec:
    """The owner of listeners and upstreams."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    upstreams: Mapping[str, UpstreamSpec] = field(default_factory=dict)
    listeners: Mapping[str, ListenerSpec] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AdminSpec:
    """Where the admin API listens."""

    address: str = "127.0.0.1"
    port: int = 9900
    token_file: str | None = None


@dataclass(frozen=True, slots=True)
class MetricsSpec:
    """Where `/metrics` is served."""

    address: str = "0.0.0.0"  # noqa: S104 - a scraper is on another host by nature
    port: int = 9901


@dataclass(frozen=True, slots=True)
class ShutdownSpec:
    """How the daemon goes down on SIGTERM."""

    keep_accepting_s: float = 5.0
    """Time for load balancers to see `/readyz` fail before new clients are refused."""
    drain_s: float = 30.0
    """Time that live connections get before they are cut."""


@dataclass(frozen=True, slots=True)
class DnsSpec:
    """How names are looked up."""

    servers: tuple[str, ...] = ()
    """`address` or `address:port` of name servers; empty: those of /etc/resolv.conf."""
    timeout_s: float = 5.0
    """Longest time that one look-up may take, repeats included."""


@dataclass(frozen=True, slots=True)
class ProxySpec:
    """How the daemon runs: read once, at start, but for `policies` and `relay`."""

    workers: int | None = None
    """None: as many as CPUs are granted by affinity and cgroup."""
    listen_address: str = "0.0.0.0"  # noqa: S104 - tenants' ports face the network by purpose
    port_range: tuple[int, int] = (20_000, 29_999)
    """First and last number, both included."""
    accept: AcceptMode = "shared"
    relay: RelayMode = "pump"
    admin: AdminSpec = AdminSpec()
    metrics: MetricsSpec = MetricsSpec()
    dns: DnsSpec = DnsSpec()
    rollout_commands: bool = False
    """Rollouts may run programs as judges. Who can change a document could run anything then."""
    policies: tuple[str, ...] = ("policies/",)
    shutdown: ShutdownSpec = ShutdownSpec()


@dataclass(frozen=True, slots=True)
class PolicyMatch:
    """Which listeners a policy is about; names are globs, labels must all be equal."""

    tenants: tuple[str, ...] = ("*",)
    listeners: tuple[str, ...] = ("*",)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """One policy document of kind `idle`."""

    name: str
    kind: Literal["idle"]
    after_s: float
    then: IdleAction
    match: PolicyMatch = PolicyMatch()
    dry_run: bool = False
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A whole, validated document."""

    proxy: ProxySpec
    tenants: Mapping[str, TenantSpec]
