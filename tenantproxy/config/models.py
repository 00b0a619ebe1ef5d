"""The shape of the document, as pydantic models: the one place where it is written down.

Values leave through `to_spec`; from there inwards only `model.spec` travels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, cast

from pydantic import AfterValidator, BeforeValidator, Field

from tenantproxy.config.endpoints import parse_endpoint
from tenantproxy.config.fields import (
    ENDPOINT_PATTERN,
    ChoiceRule,
    Duration,
    DurationOrZero,
    Name,
    Port,
    Rule,
    Schema,
    Switch,
    TextRule,
    VersionRule,
    WholeRule,
    fault,
    shown,
)
from tenantproxy.config.proxy_models import ProxyDoc
from tenantproxy.config.strict import Later, Strict
from tenantproxy.model.spec import (
    DEFAULT_WAKE,
    Document,
    EndpointSpec,
    IdleRule,
    ListenerSpec,
    ProxySpec,
    SplitMember,
    TenantSpec,
    UpstreamSpec,
    WakeRule,
)
from tenantproxy.model.split import MAX_MEMBERS, MAX_WEIGHT

MAX_ENDPOINTS = 1024
MAX_LABELS = 64

_LISTENER = ListenerSpec("", "", ())
_UPSTREAM = UpstreamSpec("", "", ())


class EndpointRule(Rule):
    """`host:port` as an `EndpointSpec` of weight 1."""

    def check(self, value: Any) -> EndpointSpec:
        if not isinstance(value, str):
            raise fault(f"an endpoint is text, not {shown(value)}", 'write "10.0.0.1:8080"')
        try:
            return EndpointSpec(*parse_endpoint(value))
        except ValueError as error:
            message, _, hint = str(error).rpartition(", write ")
            raise fault(message, f"write {hint}") from None

    def schema(self) -> Schema:
        return {"type": "string", "pattern": ENDPOINT_PATTERN, "examples": ["10.0.0.1:8080"]}


EndpointText = Annotated[EndpointSpec, EndpointRule()]


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


class ConnectDoc(Strict):
    """How a connection to an endpoint is tried."""

    timeout: Duration = _UPSTREAM.connect_timeout_s
    """Longest time one attempt may take."""
    tries: Annotated[int, WholeRule(1, 16)] = _UPSTREAM.connect_tries
    """Attempts for each client connection, each on another endpoint."""


class UpstreamDoc(Strict):
    """A named group of endpoints."""

    later: ClassVar[Later] = {
        "discovery": ("finding endpoints by DNS or Kubernetes", ()),
        "health": ("active health checks", ()),
        "outlier": ("ejecting failing endpoints", ()),
        "max_connections": ("a limit of connections to an upstream", ()),
        "warm": ("spare connections", (0,)),
        "send_proxy": ("sending the PROXY protocol", ()),
        "tls": ("TLS to upstreams", ()),
    }
    endpoints: Annotated[
        list[
            Annotated[
                EndpointDoc,
                BeforeValidator(_endpoint, json_schema_input_type=EndpointText | EndpointDoc),
            ]
        ],
        AfterValidator(_endpoints),
    ] = Field(
        examples=["[10.0.0.1:8080]"],
        json_schema_extra={"minItems": 1, "maxItems": MAX_ENDPOINTS},
    )
    """`host:port` texts, or mappings of `address` and `weight`."""
    balance: Annotated[
        str, ChoiceRule(("round_robin", "least_connections"), ("random", "source_hash"))
    ] = _UPSTREAM.balance
    """How a connection finds its endpoint."""
    connect: ConnectDoc = ConnectDoc()
    """How a connection to an endpoint is tried."""

    def to_spec(self, tenant: str, name: str) -> UpstreamSpec:
        return UpstreamSpec(
            tenant=tenant,
            name=name,
            endpoints=tuple(one.to_spec() for one in self.endpoints),
            balance=cast(Any, self.balance),
            connect_timeout_s=self.connect.timeout,
            connect_tries=self.connect.tries,
        )


class IdleDoc(Strict):
    """What to do with a port that carried nothing for a while."""

    after: Duration = Field(examples=["15m"])
    """Time without a byte and without an open connection."""
    then: Annotated[str, ChoiceRule(("sleep", "close", "never"))] = Field(examples=["sleep"])
    """`never` protects the port from every policy."""


class WakeDoc(Strict):
    """How a sleeping port wakes."""

    hold: Annotated[int, WholeRule(1, 1_000_000)] = DEFAULT_WAKE.hold
    """Connections that may wait in each worker while the port wakes; more are refused."""
    timeout: Duration = DEFAULT_WAKE.timeout_s
    """Longest time a connection waits for the port and its upstream."""
    after_first_bytes: Switch = DEFAULT_WAKE.after_first_bytes
    """Wake only for clients that send something."""

    def to_spec(self) -> WakeRule:
        """Return the one default object for defaults: it is kept by the thousand."""
        rule = WakeRule(self.hold, self.timeout, self.after_first_bytes)
        return DEFAULT_WAKE if rule == DEFAULT_WAKE else rule


def _split(value: dict[str, int]) -> dict[str, int]:
    if len(value) > MAX_MEMBERS:
        raise fault(f"a split has at most {MAX_MEMBERS} members, not {len(value)}")
    if not any(value.values()):
        raise fault("a split needs a weight above 0", "write for example {web: 100}")
    return value


SplitDoc = Annotated[
    dict[Name, Annotated[int, WholeRule(0, MAX_WEIGHT)]],
    AfterValidator(_split),
]


def split_members(split: Mapping[str, int]) -> tuple[SplitMember, ...]:
    """Return the members in the order in which they are written."""
    return tuple(SplitMember(upstream, weight) for upstream, weight in split.items())


class ListenerDoc(Strict):
    """One port of one tenant."""

    later: ClassVar[Later] = {
        "sticky": ("keeping a client on one upstream", ()),
        "canary_match": ("choosing the canary by header or cookie", ()),
        "mirror": ("mirrored traffic", ()),
        "limits": ("limits of a listener", ()),
        "accept_proxy": ("the PROXY protocol from clients", ()),
        "tls": ("TLS from clients", ()),
        "rollout": ("rollouts", ()),
        "fallback": ("another member for one without a usable endpoint", (False,)),
    }
    port: Port | None = None
    """Left out: one of `port_range`, kept for this listener."""
    protocol: Annotated[
        str, ChoiceRule(("tcp",), ("http", "websocket_to_tcp", "tcp_to_websocket"))
    ] = "tcp"
    """What is spoken on the port."""
    open: Annotated[str, ChoiceRule(("on_demand", "always"))] = _LISTENER.open
    """`on_demand`: asleep until the first connection."""
    split: SplitDoc = Field(
        examples=["{web: 100}"],
        json_schema_extra={"minProperties": 1, "maxProperties": MAX_MEMBERS},
    )
    """Upstream -> weight; relative, 0 keeps the name without traffic."""
    idle: IdleDoc | None = None
    """Left out: what the policies say."""
    idle_timeout: Duration = _LISTENER.idle_timeout_s
    """Longest silence of one connection."""
    wake: WakeDoc = WakeDoc()
    """How the port wakes when it is asleep."""
    drain: DurationOrZero = _LISTENER.drain_s
    """Window over which connections are cut when the listener closes."""

    def to_spec(self, tenant: str, name: str) -> ListenerSpec:
        idle = self.idle
        return ListenerSpec(
            tenant=tenant,
            name=name,
            split=split_members(self.split),
            port=self.port,
            open=cast(Any, self.open),
            idle=None if idle is None else IdleRule(idle.after, cast(Any, idle.then)),
            idle_timeout_s=self.idle_timeout,
            wake=self.wake.to_spec(),
            drain_s=self.drain,
        )


def _labels(value: dict[str, str]) -> dict[str, str]:
    if len(value) > MAX_LABELS:
        raise fault(f"at most {MAX_LABELS} labels, not {len(value)}")
    return value


LabelsDoc = Annotated[
    dict[
        Annotated[str, TextRule(63, "the key of a label", "team")],
        Annotated[str, TextRule(256, "the value of a label", "payments", empty=True)],
    ],
    AfterValidator(_labels),
]


class TenantDoc(Strict):
    """The owner of listeners and upstreams."""

    later: ClassVar[Later] = {"limits": ("limits of a tenant", ())}
    labels: LabelsDoc | None = None
    """Free pairs of text, for policies to match."""
    upstreams: dict[Name, UpstreamDoc] | None = None
    """Where connections go."""
    listeners: dict[Name, ListenerDoc] | None = None
    """Where connections come from."""

    def to_spec(self, name: str) -> TenantSpec:
        upstreams, listeners = self.upstreams or {}, self.listeners or {}
        return TenantSpec(
            name=name,
            labels=self.labels or {},
            upstreams={key: one.to_spec(name, key) for key, one in upstreams.items()},
            listeners={key: one.to_spec(name, key) for key, one in listeners.items()},
        )


class DocumentDoc(Strict):
    """The document of tenantproxy."""

    version: Annotated[int, VersionRule()] = Field(examples=["1"])
    """The format of the document."""
    proxy: ProxyDoc | None = None
    """What is read once, at start."""
    tenants: dict[Name, TenantDoc | None] | None = None
    """The tenants by name; one without anything is allowed."""

    def to_spec(self) -> Document:
        """Leave pydantic behind: from here inwards, only model values travel."""
        tenants = self.tenants or {}
        return Document(
            proxy=ProxySpec() if self.proxy is None else self.proxy.to_spec(),
            tenants={
                name: TenantSpec(name) if tenant is None else tenant.to_spec(name)
                for name, tenant in tenants.items()
            },
        )
