"""What the control process and a worker say to each other: frozen values, one small protocol.

Every message is one SOCK_SEQPACKET datagram: a msgpack map with a `type`.
File descriptors travel beside it (SCM_RIGHTS) in the order that the message
names. The first message of a worker is `Ready` with the protocol's version;
a control process that reads another version stops that worker.

Orders are carried out in the order of sending, so an order may lean on an
earlier one. Upstream and listener ids are numbers that control never reuses.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from tenantproxy.model.spec import Balance, ProxyProtocol, RelayMode

VERSION = 4
MAX_FDS = 200
"""File descriptors in one message; the kernel's limit is 253 (SCM_MAX_FD)."""
MAX_BYTES = 100_000
"""Longest message; below the default SO_SNDBUF of a UNIX socket (212,992)."""


class EndpointOrder(msgspec.Struct, frozen=True, array_like=True):
    """A resolved address to connect to."""

    id: int
    """A number that control never gives to another endpoint; `Outcomes` names it."""
    block: int
    """Its endpoint block in the counters."""
    host: str
    """An IP address, never a name."""
    port: int
    weight: int
    """Relative to the other endpoints, slow start included; any scale."""
    server_name: str = ""
    """For TLS: the name under which the endpoint is known; empty: its address."""


class TlsOrder(msgspec.Struct, frozen=True):
    """TLS to the endpoints. The worker reads the files by itself: no key travels."""

    server_name: str
    """Empty: that of the endpoint."""
    ca_file: str | None
    cert_file: str | None
    key_file: str | None
    verify: bool
    version: int
    """Another one when what is in the files has changed."""


class UpstreamOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a worker needs to know of an upstream."""

    id: int
    block: int
    """Its upstream block in the counters."""
    name: str
    """`tenant/upstream`, for notices only."""
    endpoints: tuple[EndpointOrder, ...]
    """Those to be used now; empty: connections to it are refused (or held while waking)."""
    healthy: int = 1
    """How many of them are usable for their own sake; 0 with endpoints: panic, all are tried."""
    balance: Balance
    connect_timeout_s: float
    connect_tries: int
    retry_budget: float = 0.2
    first_byte_timeout_s: float = 0.0
    """0: no limit."""
    report: bool = False
    """Control wants to hear of endpoints that fail, see `Outcomes`."""
    max_connections: int = 0
    """Over all workers; 0: no limit."""
    queue_size: int = 0
    """Connections that may wait for a slot, in each worker."""
    queue_timeout_s: float = 0.0
    warm: int = 0
    """Spare connections to keep for each endpoint, in this worker."""
    send_proxy: ProxyProtocol | None = None
    tls: TlsOrder | None = None


class RouteOrder(msgspec.Struct, frozen=True, array_like=True):
    """One member of a split."""

    upstream: int
    weight: int
    block: int
    """The route block of (listener, upstream) in the counters."""
    signals: int = -1
    """The signal block to count into as well; -1: no rollout wants to know."""


class ListenerOrder(msgspec.Struct, frozen=True):
    """Everything a worker needs to know of a listener."""

    id: int
    block: int
    """Its listener block in the counters."""
    name: str
    """`tenant/listener`, for notices only."""
    routes: tuple[RouteOrder, ...]
    idle_timeout_s: float
    hold: int
    """Connections that may wait for an upstream while the listener wakes."""
    hold_s: float
    """How long they may wait, from the moment the listener opened."""
    sticky: bool = False
    """The client's address decides which route it gets."""
    salt: str = ""
    """Mixed with it, so that no two listeners (or rollouts) pick the same clients first."""
    fallback: bool = False
    """A route whose upstream is not healthy gives its share to the others."""


class SetUpstreams(msgspec.Struct, frozen=True, tag="set_upstreams"):
    """Add or replace upstreams; live connections stay."""

    upstreams: tuple[UpstreamOrder, ...]


class DropUpstreams(msgspec.Struct, frozen=True, tag="drop_upstreams"):
    """Forget upstreams that no listener names any more; live connections stay."""

    ids: tuple[int, ...]


class OpenListeners(msgspec.Struct, frozen=True, tag="open_listeners"):
    """Begin to accept; one fd for each listener, in order. Answered by `Opened`.

    A listener that is known and stopped begins again with the new order.
    """

    listeners: tuple[ListenerOrder, ...]


class UpdateListeners(msgspec.Struct, frozen=True, tag="update_listeners"):
    """Swap split and timeouts of listeners; sockets and connections stay."""

    listeners: tuple[ListenerOrder, ...]


class StopListeners(msgspec.Struct, frozen=True, tag="stop_listeners"):
    """Accept no more and close our duplicate of the socket. Answered by `Stopped`.

    With `sweep`, what waits in the accept queue is accepted first: nothing
    queued is reset when control closes the socket afterwards.
    """

    ids: tuple[int, ...]
    sweep: bool


class EndConnections(msgspec.Struct, frozen=True, tag="end_connections"):
    """End the live connections of stopped listeners.

    `keep`: leave them. `kill`: cut now. `drain`: those left are cut one by
    one, the longest silent first, spread over `window_s`. With `forget` the
    listener is dropped when the last one has ended. Answered by `Drained`
    when none is left.
    """

    ids: tuple[int, ...]
    mode: Literal["keep", "drain", "kill"]
    window_s: float
    forget: bool


class EndRoute(msgspec.Struct, frozen=True, tag="end_route"):
    """End live connections of one listener to one upstream; the listener goes on.

    `kill`: cut now, with RST. `drain`: one by one, the longest silent first, spread over
    `window_s`. `rebalance`: as drain, but the oldest connections. Nothing is answered. Another
    order for the same route takes the place of one that is under way.
    """

    listener: int
    upstream: int
    """`UpstreamOrder.id`."""
    mode: Literal["drain", "kill", "rebalance"]
    window_s: float = 0.0
    most: int = 0
    """So many at most; 0: all that it has now."""


class Adopt(msgspec.Struct, frozen=True, tag="adopt"):
    """Serve connections that control accepted; one fd for each, all of one listener."""

    listener: int
    count: int


class SetRelay(msgspec.Struct, frozen=True, tag="set_relay"):
    """Move the bytes of new connections this way. Answered by `Relay`.

    `kernel` and `auto` are the same to a worker: the kernel where it can,
    else the pump. A connection never fails over it.
    """

    mode: RelayMode
    workers: int
    """How many share what of the memory is for linked pairs."""


class Quit(msgspec.Struct, frozen=True, tag="quit"):
    """Cut what is left and exit 0."""


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The worker runs and knows nothing yet."""

    version: int
    pid: int


class Opened(msgspec.Struct, frozen=True, tag="opened"):
    """These listeners are being accepted from."""

    ids: tuple[int, ...]


class Stopped(msgspec.Struct, frozen=True, tag="stopped"):
    """These listeners are no longer accepted from."""

    ids: tuple[int, ...]


class Drained(msgspec.Struct, frozen=True, tag="drained"):
    """These listeners, told to end their connections, have none left."""

    ids: tuple[int, ...]


class Relay(msgspec.Struct, frozen=True, tag="relay"):
    """How this worker moves the bytes of new connections."""

    mode: Literal["pump", "kernel"]
    reason: str
    """For people: `asked for the pump`, `no CAP_BPF: Operation not permitted`, ..."""


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """How connections to one endpoint end, as one worker sees it."""

    endpoint: int
    """`EndpointOrder.id`."""
    failures: int
    """Failed connects, or resets before the first byte, in a row; 0: one went well again."""
    reason: str
    """Of the last failure: one of `counters.CONNECT_ERRORS`."""


class Outcomes(msgspec.Struct, frozen=True, tag="outcomes"):
    """Endpoints of which the number of failures in a row has changed since the last report.

    Sent within 20 ms, and only for upstreams with `report`. A success is told only where
    failures were told before, so an endpoint that is well costs nothing.
    """

    outcomes: tuple[Outcome, ...]


class Notice(msgspec.Struct, frozen=True, tag="notice"):
    """Something people should know; at most one a second of each kind and subject."""

    kind: Literal["fd_limit", "fd_limit_over", "upstream_unreachable", "upstream_tls", "internal"]
    subject: str
    """`tenant/upstream`, `tenant/listener` or empty."""
    detail: str
    count: int
    """How many times since the last notice of the same kind and subject."""


Order = (
    SetUpstreams
    | DropUpstreams
    | OpenListeners
    | UpdateListeners
    | StopListeners
    | EndConnections
    | EndRoute
    | Adopt
    | SetRelay
    | Quit
)
Report = Ready | Opened | Stopped | Drained | Relay | Outcomes | Notice
Message = Order | Report

_encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """Return the datagram of a message."""
    return _encode(message)


def decode(datagram: bytes | memoryview) -> Message:
    """Return the message of a datagram.

    Raises:
        msgspec.ValidationError: it is not one of ours.
    """
    return _decoder.decode(datagram)
