"""The shape of the `proxy` part of the document: how the daemon runs."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, cast

from pydantic import Field

from tenantproxy.config.fields import (
    Address,
    ChoiceRule,
    Duration,
    DurationOrZero,
    OwnPort,
    RangeRule,
    Switch,
    TextRule,
    WorkersRule,
)
from tenantproxy.config.network_fields import DnsServer
from tenantproxy.config.strict import Later, Strict
from tenantproxy.model.spec import AdminSpec, DnsSpec, MetricsSpec, ProxySpec, ShutdownSpec

_PROXY = ProxySpec()


class AdminDoc(Strict):
    """Where the admin API listens."""

    address: Address = _PROXY.admin.address
    """Without `token_file`: of the loopback only."""
    port: OwnPort = _PROXY.admin.port
    """0: one that the kernel chooses."""
    token_file: Annotated[str, TextRule(4096, "a path", "/etc/tenantproxy/token")] | None = None
    """File that holds the token which clients must send."""


class MetricsDoc(Strict):
    """Where `/metrics` is served."""

    address: Address = _PROXY.metrics.address
    """Address to bind."""
    port: OwnPort = _PROXY.metrics.port
    """0: one that the kernel chooses."""


class DnsDoc(Strict):
    """How names of endpoints are looked up."""

    servers: list[DnsServer] = Field(default=list(_PROXY.dns.servers))
    """`address` or `address:port` of name servers; none: those of /etc/resolv.conf."""
    timeout: Duration = _PROXY.dns.timeout_s
    """Longest time that one look-up may take, repeats included."""


class ShutdownDoc(Strict):
    """How the daemon goes down on SIGTERM."""

    keep_accepting: DurationOrZero = _PROXY.shutdown.keep_accepting_s
    """Time for load balancers to see `/readyz` fail before new clients are refused."""
    drain: DurationOrZero = _PROXY.shutdown.drain_s
    """Time that live connections get before they are cut."""


class ProxyDoc(Strict):
    """Read once, at start, but for `policies` and `relay`."""

    later: ClassVar[Later] = {"database": ("keeping state in a database", ())}
    workers: Annotated[int | None, WorkersRule()] = None
    """Processes that move bytes; `auto`: CPUs granted by affinity and cgroup."""
    listen_address: Address = _PROXY.listen_address
    """Address of the tenants' ports; `::` for IPv4 and IPv6."""
    port_range: Annotated[tuple[int, int], RangeRule()] = _PROXY.port_range
    """Ports that tenants may be given, first and last."""
    accept: Annotated[str, ChoiceRule(("shared", "reuseport"))] = _PROXY.accept
    """One socket for all workers, or one for each."""
    relay: Annotated[str, ChoiceRule(("pump", "kernel", "auto"))] = _PROXY.relay
    """What moves the bytes; `auto`: the kernel where it can, else the pump."""
    admin: AdminDoc = AdminDoc()
    """The admin API."""
    metrics: MetricsDoc = MetricsDoc()
    """The metrics for Prometheus."""
    dns: DnsDoc = DnsDoc()
    """How names of endpoints are looked up."""
    rollout_commands: Switch = _PROXY.rollout_commands
    """Rollouts may run programs as judges. Who can change a document, or a rollout by the API, can
    then run anything as the user of the daemon."""
    policies: list[Annotated[str, TextRule(4096, "a path", "policies/")]] = Field(
        default=list(_PROXY.policies)
    )
    """Files or folders of policies, relative to this document."""
    shutdown: ShutdownDoc = ShutdownDoc()
    """How the daemon goes down on SIGTERM."""

    def to_spec(self) -> ProxySpec:
        admin, metrics, shutdown = self.admin, self.metrics, self.shutdown
        return ProxySpec(
            workers=self.workers,
            listen_address=self.listen_address,
            port_range=self.port_range,
            accept=cast(Any, self.accept),
            relay=cast(Any, self.relay),
            admin=AdminSpec(admin.address, admin.port, admin.token_file),
            metrics=MetricsSpec(metrics.address, metrics.port),
            dns=DnsSpec(tuple(self.dns.servers), self.dns.timeout),
            rollout_commands=self.rollout_commands,
            policies=tuple(self.policies),
            shutdown=ShutdownSpec(shutdown.keep_accepting, shutdown.drain),
        )
