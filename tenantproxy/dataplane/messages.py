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

from tenantproxy.model.spec import RelayMode

VERSION = 2
MAX_FDS = 200
"""File descriptors in one message; the kernel's limit is 253 (SCM_MAX_FD)."""
MAX_BYTES = 100_000
"""Longest message; below the default SO_SNDBUF of a UNIX socket (212,992)."""


class EndpointOrder(msgspec.Struct, frozen=True, array_like=True):
    """A resolved address to connect to."""

    host: str
    """An IP address, never a name."""
    port: int
    weight: int


class UpstreamOrder(msgspec.Struct, frozen=True):
    """Everything a worker needs to know of an upstream."""

    id: int
    block: int
    """Its upstream block in the counters."""
    name: str
    """`tenant/upstream`, for notices only."""
    endpoints: tuple[EndpointOrder, ...]
    """Usable ones; empty: connections to it are refused (or held while waking)."""
    balance: Literal["round_robin", "least_connections"]
    connect_timeout_s: float
    connect_tries: int


class RouteOrder(msgspec.Struct, frozen=True, array_like=True):
    """One member of a split."""

    upstream: int
    weight: int
    block: int
    """The route block of (listener, upstream) in the counters."""


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


class Notice(msgspec.Struct, frozen=True, tag="notice"):
    """Something people should know; at most one a second of each kind and subject."""

    kind: Literal["fd_limit", "fd_limit_over", "upstream_unreachable", "internal"]
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
    | Adopt
    | SetRelay
    | Quit
)
Report = Ready | Opened | Stopped | Drained | Relay | Notice
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
