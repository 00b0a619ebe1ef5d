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

Balance = Literal["round_robin", "least_connections"]
Connections = Literal["drain", "keep", "kill"]
"""What happens to live connections when a listener closes."""
OpenMode = Literal["on_demand", "always"]
IdleAction = Literal["sleep", "close", "never"]
AcceptMode = Literal["shared", "reuseport"]
RelayMode = Literal["pump", "kernel", "auto"]
"""What moves the bytes; `auto`: the kernel where it can. The pump serves wherever it cannot."""


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
class UpstreamSpec:
    """A named group of endpoints."""

    tenant: str
    name: str
    endpoints: tuple[EndpointSpec, ...]
    balance: Balance = "round_robin"
    connect_timeout_s: float = 5.0
    """Longest time one connection attempt may take, in seconds.

    Five: Linux repeats a lost SYN after 1, 3 and 7 seconds, so this forgives
    two losses and does not wait for the third repeat.
    """
    connect_tries: int = 3
    """Attempts a client connection, each on another endpoint."""

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
