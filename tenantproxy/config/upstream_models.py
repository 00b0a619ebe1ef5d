"""The shape of an upstream: how its endpoints are found, chosen, judged and spoken to."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self, cast

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from tenantproxy.config.fields import (
    ChoiceRule,
    Duration,
    DurationOrZero,
    Share,
    Switch,
    TextRule,
    WholeRule,
    fault,
    shown,
)
from tenantproxy.config.health_models import HealthDoc, OutlierDoc
from tenantproxy.config.network_fields import DnsText, EndpointText, ServerName, SrvText
from tenantproxy.config.strict import Later, Strict, needs, one_of
from tenantproxy.model.spec import (
    Discovery,
    EndpointSpec,
    QueueRule,
    TlsRule,
    UpstreamSpec,
)

MAX_ENDPOINTS = 1024

_UPSTREAM = UpstreamSpec("", "")


class EndpointDoc(Strict):
    """One endpoint with a weight."""

    address: EndpointText = Field(examples=["10.0.0.1:8080"])
    """`host:port` or `[v6]:port`."""
    weight: Annotated[int, WholeRule(1, 256)] = 1
    """Share of the upstream's connections, relative to its other endpoints."""

    def to_spec(self) -> EndpointSpec:
        return EndpointSpec(self.address.host, self.address.port, self.weight)


def _endpoint(value: Any) -> Any:
    if isinstance(value, int | float | bool | None):
        raise fault(f"an endpoint is text, not {shown(value)}", 'write "10.0.0.1:8080"')
    return {"address": value} if isinstance(value, str) else value


def _endpoints(value: list[EndpointDoc]) -> list[EndpointDoc]:
    if not 1 <= len(value) <= MAX_ENDPOINTS:
        raise fault(
            f"needs 1 to {MAX_ENDPOINTS} endpoints, not {len(value)}", "write [10.0.0.1:8080]"
        )
    seen: set[tuple[str, int]] = set()
    for one in value:
        address = (one.address.host, one.address.port)
        if address in seen:
            raise fault(
                f"the endpoint {one.address} is listed twice",
                f"list it once: {{address: {one.address}, weight: 2}}",
            )
        seen.add(address)
    return value


EndpointsDoc = Annotated[
    list[
        Annotated[
            EndpointDoc,
            BeforeValidator(_endpoint, json_schema_input_type=EndpointText | EndpointDoc),
        ]
    ],
    AfterValidator(_endpoints),
    Field(json_schema_extra={"minItems": 1, "maxItems": MAX_ENDPOINTS}),
]


class DiscoveryDoc(Strict):
    """Where endpoints are found, in place of a list of them."""

    model_config = ConfigDict(json_schema_extra=one_of("dns", "srv"))
    later: ClassVar[Later] = {"kubernetes": ("finding endpoints in Kubernetes", ())}
    dns: DnsText | None = None
    """`name:port`: every address of the name (A and AAAA) is an endpoint."""
    srv: SrvText | None = None
    """Name of SRV records: they say targets, ports, weights and priorities."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.dns is None and self.srv is None:
            raise fault(
                "needs dns or srv", "write {dns: web.acme.svc:8080} or {srv: _web._tcp.acme.svc}"
            )
        if self.dns is not None and self.srv is not None:
            raise fault("names are found by dns or by srv, not both", "remove one", key="srv")
        return self

    def to_spec(self) -> Discovery | None:
        return self.dns or self.srv


class ConnectDoc(Strict):
    """How a connection to an endpoint is tried."""

    timeout: Duration = _UPSTREAM.connect_timeout_s
    """Longest time one attempt may take, TLS included."""
    tries: Annotated[int, WholeRule(1, 16)] = _UPSTREAM.connect_tries
    """Attempts for each client connection, each on another endpoint."""
    first_byte: Duration | None = None
    """Longest wait for the endpoint's first byte, from connected; left out: no limit."""
    retry_budget: Share = _UPSTREAM.retry_budget
    """Second attempts under way, as a share of live connections; three always may."""


class QueueDoc(Strict):
    """Who waits for a slot of a full upstream."""

    size: Annotated[int, WholeRule(1, 1_000_000)] = Field(examples=["100"])
    """So many connections wait, over all workers; more are refused."""
    timeout: Duration = Field(examples=["5s"])
    """Longest time one of them waits before it is refused."""


class TlsDoc(Strict):
    """TLS to the endpoints; `{}`: on, with the authorities of the system."""

    model_config = ConfigDict(json_schema_extra=needs("key_file", "cert_file"))
    server_name: ServerName | None = None
    """Name for SNI and for the check; left out: the endpoint's own."""
    ca_file: Annotated[str, TextRule(4096, "a path", "/etc/tenantproxy/ca.pem")] | None = None
    """PEM of the authorities to trust, relative to the document; left out: the system's."""
    cert_file: Annotated[str, TextRule(4096, "a path", "/etc/tenantproxy/us.pem")] | None = None
    """PEM of our certificate, if the endpoint asks for one."""
    key_file: Annotated[str, TextRule(4096, "a path", "/etc/tenantproxy/us.key")] | None = None
    """PEM of its key; left out: it stands in `cert_file`."""
    verify: Switch = TlsRule().verify
    """`false` trusts whoever answers."""

    @model_validator(mode="after")
    def _key_of_a_certificate(self) -> Self:
        if self.key_file is not None and self.cert_file is None:
            raise fault(
                "a key without its certificate", "add cert_file, or remove key_file", key="key_file"
            )
        return self

    def to_spec(self) -> TlsRule:
        return TlsRule(self.server_name, self.ca_file, self.cert_file, self.key_file, self.verify)


class UpstreamDoc(Strict):
    """A named group of endpoints: listed, or found by `discovery`."""

    model_config = ConfigDict(
        json_schema_extra={
            **one_of("endpoints", "discovery"),
            **needs("queue", "max_connections"),
        }
    )
    endpoints: EndpointsDoc | None = None
    """`host:port` texts, or mappings of `address` and `weight`."""
    discovery: DiscoveryDoc | None = None
    """Where endpoints are found, in place of a list of them."""
    balance: Annotated[
        str, ChoiceRule(("round_robin", "least_connections", "random", "source_hash"))
    ] = _UPSTREAM.balance
    """How a connection finds its endpoint."""
    slow_start: DurationOrZero = _UPSTREAM.slow_start_s
    """Time in which an endpoint that comes (back) goes from a tenth of its weight to all of it."""
    panic: Share = _UPSTREAM.panic_below
    """With a smaller share of usable endpoints than this, all are used; `0%`: never."""
    connect: ConnectDoc = ConnectDoc()
    """How a connection to an endpoint is tried."""
    health: HealthDoc | None = None
    """Active checks; left out: none."""
    outlier: OutlierDoc | None = OutlierDoc()
    """When an endpoint that fails connections is left out for a while; `null`: never."""
    max_connections: Annotated[int, WholeRule(1, 1_000_000)] | None = None
    """Over all listeners and workers; left out: no limit."""
    queue: QueueDoc | None = None
    """Who waits when `max_connections` are there; left out: nobody, they are refused."""
    warm: Annotated[int, WholeRule(0, 1000)] | None = _UPSTREAM.warm
    """Spare connections kept ready for each endpoint, spread over the workers."""
    send_proxy: Annotated[str, ChoiceRule(("v1", "v2"))] | None = None
    """Version of the PROXY protocol that tells the endpoint who the client is."""
    tls: TlsDoc | None = None
    """TLS to the endpoints; `{}`: on, with the authorities of the system."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.endpoints is None and self.discovery is None:
            raise fault(
                "needs endpoints or discovery",
                "add for example `endpoints: [10.0.0.1:8080]`, "
                "or `discovery: {dns: web.acme.svc:8080}`",
            )
        if self.endpoints is not None and self.discovery is not None:
            raise fault(
                "endpoints are listed or discovered, not both",
                "remove `endpoints` or `discovery`; a name among the endpoints is looked up too",
                key="discovery",
            )
        return self

    @model_validator(mode="after")
    def _queue_of_a_limit(self) -> Self:
        if self.queue is not None and self.max_connections is None:
            raise fault(
                "without max_connections nobody ever waits",
                "add max_connections, or remove queue",
                key="queue",
            )
        return self

    def to_spec(self, tenant: str, name: str) -> UpstreamSpec:
        connect, queue = self.connect, self.queue
        return UpstreamSpec(
            tenant=tenant,
            name=name,
            endpoints=tuple(one.to_spec() for one in self.endpoints or ()),
            balance=cast(Any, self.balance),
            connect_timeout_s=connect.timeout,
            connect_tries=connect.tries,
            retry_budget=connect.retry_budget,
            first_byte_timeout_s=connect.first_byte,
            discovery=None if self.discovery is None else self.discovery.to_spec(),
            slow_start_s=self.slow_start,
            panic_below=self.panic,
            health=None if self.health is None else self.health.to_spec(),
            outlier=None if self.outlier is None else self.outlier.to_spec(),
            max_connections=self.max_connections,
            queue=None if queue is None else QueueRule(queue.size, queue.timeout),
            warm=self.warm or 0,
            send_proxy=cast(Any, self.send_proxy),
            tls=None if self.tls is None else self.tls.to_spec(),
        )
