"""The shape of the document, as pydantic models: the one place where it is written down.

Values leave through `to_spec`; from there inwards only `model.spec` travels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, cast

from pydantic import AfterValidator, Field

from tenantproxy.config.fields import (
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
from tenantproxy.config.rollout_models import RolloutDoc
from tenantproxy.config.strict import Later, Strict
from tenantproxy.config.suggest import did_you_mean
from tenantproxy.config.upstream_models import UpstreamDoc
from tenantproxy.model.spec import (
    DEFAULT_WAKE,
    Document,
    IdleRule,
    ListenerSpec,
    ProxySpec,
    SplitMember,
    TenantSpec,
    WakeRule,
)
from tenantproxy.model.split import MAX_MEMBERS, MAX_WEIGHT

MAX_LABELS = 64

_LISTENER = ListenerSpec("", "", ())


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


@dataclass(frozen=True)
class StickyRule(Rule):
    """What of a client decides; cookies and headers wait for HTTP."""

    def check(self, value: Any) -> str:
        if isinstance(value, dict) and len(value) == 1 and value.keys() <= {"cookie", "header"}:
            (what,) = value
            raise fault(
                f"keeping a client by its {what} is not supported yet",
                "write source_ip, which needs no HTTP",
                code="not_supported_yet",
            )
        if value != "source_ip":
            raise fault(f"needs source_ip, not {shown(value)}", did_you_mean(value, ("source_ip",)))
        return "source_ip"

    def schema(self) -> Schema:
        return {"enum": ["source_ip"]}


class ListenerDoc(Strict):
    """One port of one tenant."""

    later: ClassVar[Later] = {
        "canary_match": ("choosing the canary by header or cookie", ()),
        "mirror": ("mirrored traffic", ()),
        "limits": ("limits of a listener", ()),
        "accept_proxy": ("the PROXY protocol from clients", ()),
        "tls": ("TLS from clients", ()),
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
    sticky: Annotated[str, StickyRule()] | None = None
    """`source_ip`: clients of one address go to one upstream; raising a weight moves few."""
    fallback: Switch | None = _LISTENER.fallback
    """An upstream without a usable endpoint gives its share of the split to the others."""
    idle: IdleDoc | None = None
    """Left out: what the policies say."""
    idle_timeout: Duration = _LISTENER.idle_timeout_s
    """Longest silence of one connection."""
    wake: WakeDoc = WakeDoc()
    """How the port wakes when it is asleep."""
    drain: DurationOrZero = _LISTENER.drain_s
    """Window over which connections are cut when the listener closes."""
    rollout: RolloutDoc | None = None
    """A plan that moves the split from one upstream to another, and judges it on the way."""

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
            sticky=cast(Any, self.sticky),
            fallback=bool(self.fallback),
            rollout=None if self.rollout is None else self.rollout.to_spec(),
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
