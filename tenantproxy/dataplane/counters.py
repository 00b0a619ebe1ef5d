"""Counters in shared memory: one file for each worker slot, blocks of 64-bit integers.

The control process makes the file (a memfd), hands out block numbers, and
reads; only the worker of that slot writes. A number is added to in place, by
one aligned 8-byte store, so a reader never sees half of one. The file
outlives the worker: its successor in the slot goes on adding to it, and what
the dead one left open is closed by `settle`. Untouched blocks cost no memory
(the file is sparse).

Layout: a header page, then listener blocks, route blocks (a route is one
listener's member of a split), upstream blocks, endpoint blocks, signal blocks (a route that a
rollout looks at). Block 0 of each kind is valid.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from tenantproxy.model.sides import BYTE_BOUNDS, TIME_BOUNDS_S, Side

CLOSED_REASONS = (
    "done",  # both sides said FIN
    "client_reset",
    "upstream_reset",
    "idle_timeout",
    "drained",  # cut at its turn in a drain window
    "killed",
    "shutdown",
    "worker_died",
    "internal",  # a fault of ours
    "first_byte_timeout",  # the upstream said nothing within `connect.first_byte`
    "rebalanced",  # drained so that long connections follow the weights of a rollout
)
REJECTED_REASONS = (
    "no_endpoint",  # the picked upstream has no usable endpoint
    "connect_failed",  # no endpoint could be reached
    "wake_timeout",  # held while waking, and the time ran out
    "hold_full",  # more connections than `wake.hold` came while waking
    "client_gone",  # the client left before the upstream was connected
    "overload",  # a socket could not be had in spite of the fd reserve
    "shutdown",  # killed, drained or shut down before the upstream was connected
    "worker_died",
    "internal",  # a fault of ours
    "upstream_full",  # `max_connections` of the upstream are there, and nobody else may wait
    "queue_timeout",  # waited for a slot of the upstream, and the time ran out
)
CONNECT_ERRORS = (
    "refused",
    "timeout",
    "unreachable",
    "reset",
    "self_connect",
    "other",
    "tls",  # the handshake failed: a certificate, a protocol, or no TLS at the other end
    "early_reset",  # connected, and reset before the first byte
)

BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of both histograms, in seconds; one more bucket takes the rest."""
_N = len(BUCKETS_S) + 1

TIMES = len(TIME_BOUNDS_S) + 1
"""Words of a histogram of times in a signal block."""
SIZES = len(BYTE_BOUNDS) + 1
"""Words of a histogram of sizes in a signal block."""

WORD = 8
HEADER_WORDS = 512
LISTENER_WORDS = 32
ROUTE_WORDS = 8
UPSTREAM_WORDS = 64
ENDPOINT_WORDS = 4
SIGNAL_WORDS = 512


class Header(IntEnum):
    """Words of the header: gauges of the worker."""

    LOOP_LAG_US = 0
    CONNECTIONS = 1
    """Flows alive, in every state."""
    FDS_FREE = 2
    """File descriptors left before accepting pauses."""
    ACCEPT_PAUSES = 3
    """Times that accepting paused at the fd reserve."""
    HEARTBEAT_MS = 4
    """CLOCK_MONOTONIC of the last loop-lag measurement."""
    RELAY_KERNEL = 5
    """Flows of `CONNECTIONS` whose bytes the kernel moves."""


class Listener(IntEnum):
    """Words of a listener block."""

    ACCEPTED = 0
    """Every connection accepted or adopted; each ends in one CLOSED or REJECTED."""
    LAST_MS = 1
    """CLOCK_MONOTONIC of the last accept or end."""
    CLOSED = 2
    """First of `CLOSED_REASONS`."""
    REJECTED = 2 + len(CLOSED_REASONS)
    """First of `REJECTED_REASONS`."""


class Route(IntEnum):
    """Words of a route block. Each direction is two neighbours: bytes, then time."""

    OPENED = 0
    """Upstream connections established."""
    CLOSED = 1
    BYTES_IN = 2
    LAST_IN_MS = 3
    BYTES_OUT = 4
    LAST_OUT_MS = 5


class Upstream(IntEnum):
    """Words of an upstream block."""

    ERRORS = 0
    """First of `CONNECT_ERRORS`."""
    CONNECT = 8
    """First bucket of the connect time; the bucket after the last holds microseconds."""
    FIRST_BYTE = 8 + 24
    """First bucket of the time from connected to the upstream's first byte; then microseconds."""
    SLOTS = 48
    """Gauge: slots of `max_connections` taken; counted only while there is a limit."""
    WAITING = 49
    """Gauge: connections that wait for a slot."""
    SPARES = 50
    """Gauge: spare connections that are ready."""
    RETRIES = 51
    """Attempts that followed a failed one."""
    RETRIES_DENIED = 52
    """Attempts that were not made because the retry budget was used up until they were late."""


UPSTREAM_GAUGES = (Upstream.SLOTS, Upstream.WAITING, Upstream.SPARES)
"""Words that end with the worker that wrote them."""


class Endpoint(IntEnum):
    """Words of an endpoint block."""

    OPENED = 0
    """Connections established, those of spares when they are used."""
    CLOSED = 1
    FAILED = 2
    """Connects that failed, and resets before the first byte."""


class Signal(IntEnum):
    """Words of a signal block, see `model.sides.Side`; histograms have no sums."""

    OPENED = 0
    FAILED = 1
    ENDED = 2
    RESETS = 3
    SILENT = 4
    CONNECT_TIME = 8
    """First of `TIMES` buckets, as are the next three."""
    FIRST_BYTE = 8 + TIMES
    DURATION = 8 + 2 * TIMES
    CLOSED_AGE = 8 + 3 * TIMES
    BYTES_IN = 8 + 4 * TIMES
    """First of `SIZES` buckets, as is the next."""
    BYTES_OUT = 8 + 4 * TIMES + SIZES


HISTOGRAM_WORDS = _N + 1
"""Buckets, then the sum in microseconds."""

_HEADER = struct.Struct("6Q")
_LISTENER = struct.Struct(f"{2 + len(CLOSED_REASONS) + len(REJECTED_REASONS)}Q")
_ROUTE = struct.Struct("6Q")
_UPSTREAM = struct.Struct(f"{UPSTREAM_WORDS}Q")
_ENDPOINT = struct.Struct("3Q")
_SIGNALS = struct.Struct(f"{SIGNAL_WORDS}Q")


def side_of(words: Sequence[int]) -> Side:
    """Return a signal block, or the sum of several, by the names that judges use."""

    def times(first: Signal) -> tuple[int, ...]:
        return tuple(words[first : first + TIMES])

    def sizes(first: Signal) -> tuple[int, ...]:
        return tuple(words[first : first + SIZES])

    return Side(
        opened=words[Signal.OPENED],
        failed=words[Signal.FAILED],
        ended=words[Signal.ENDED],
        resets=words[Signal.RESETS],
        silent=words[Signal.SILENT],
        connect_time=times(Signal.CONNECT_TIME),
        first_byte=times(Signal.FIRST_BYTE),
        duration=times(Signal.DURATION),
        closed_age=times(Signal.CLOSED_AGE),
        bytes_in=sizes(Signal.BYTES_IN),
        bytes_out=sizes(Signal.BYTES_OUT),
    )


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many blocks of each kind a file has room for."""

    listeners: int = 65_536
    routes: int = 262_144
    upstreams: int = 65_536
    endpoints: int = 262_144
    signals: int = 8_192

    @property
    def first_route(self) -> int:
        """Word index of route block 0."""
        return HEADER_WORDS + self.listeners * LISTENER_WORDS

    @property
    def first_upstream(self) -> int:
        """Word index of upstream block 0."""
        return self.first_route + self.routes * ROUTE_WORDS

    @property
    def first_endpoint(self) -> int:
        """Word index of endpoint block 0."""
        return self.first_upstream + self.upstreams * UPSTREAM_WORDS

    @property
    def first_signal(self) -> int:
        """Word index of signal block 0."""
        return self.first_endpoint + self.endpoints * ENDPOINT_WORDS

    @property
    def words(self) -> int:
        """Length of the file in words."""
        return self.first_signal + self.signals * SIGNAL_WORDS


CAPACITY = Capacity()


class CounterFile:
    """The counters of one worker slot, mapped.

    `words` is the writer's view: `words[index] += n`. Make one with `create`
    in the control process; a worker maps the same file by its fd.
    """

    def __init__(self, fd: int, capacity: Capacity = CAPACITY) -> None:
        """Map the file; the caller's `fd` stays its own and is not closed."""
        self.capacity = capacity
        self._map = mmap.mmap(fd, capacity.words * WORD)
        self.words = memoryview(self._map).cast("Q")

    @classmethod
    def create(cls, name: str, capacity: Capacity = CAPACITY) -> tuple[CounterFile, int]:
        """Return a zeroed file and its fd, which the caller closes."""
        fd = os.memfd_create(f"tenantproxy-{name}", os.MFD_CLOEXEC)
        os.ftruncate(fd, capacity.words * WORD)
        return cls(fd, capacity), fd

    def close(self) -> None:
        """Unmap; every view taken of `words` must be gone."""
        self.words.release()
        self._map.close()

    # Where blocks are ---------------------------------------------------

    def listener_at(self, block: int) -> int:
        """Return the index of the first word of a listener block."""
        return HEADER_WORDS + block * LISTENER_WORDS

    def route_at(self, block: int) -> int:
        """Return the index of the first word of a route block."""
        return self.capacity.first_route + block * ROUTE_WORDS

    def upstream_at(self, block: int) -> int:
        """Return the index of the first word of an upstream block."""
        return self.capacity.first_upstream + block * UPSTREAM_WORDS

    def endpoint_at(self, block: int) -> int:
        """Return the index of the first word of an endpoint block."""
        return self.capacity.first_endpoint + block * ENDPOINT_WORDS

    def signals_at(self, block: int) -> int:
        """Return the index of the first word of a signal block."""
        return self.capacity.first_signal + block * SIGNAL_WORDS

    # Reading: one call and one tuple for each block -----------------------

    def header(self) -> tuple[int, ...]:
        """Return the words named by `Header`."""
        return _HEADER.unpack_from(self._map, 0)

    def listener(self, block: int) -> tuple[int, ...]:
        """Return the words of a listener block, in the order of `Listener`."""
        return _LISTENER.unpack_from(self._map, self.listener_at(block) * WORD)

    def route(self, block: int) -> tuple[int, ...]:
        """Return the words of a route block, in the order of `Route`."""
        return _ROUTE.unpack_from(self._map, self.route_at(block) * WORD)

    def upstream(self, block: int) -> tuple[int, ...]:
        """Return the words of an upstream block, in the order of `Upstream`."""
        return _UPSTREAM.unpack_from(self._map, self.upstream_at(block) * WORD)

    def endpoint(self, block: int) -> tuple[int, ...]:
        """Return the words of an endpoint block, in the order of `Endpoint`."""
        return _ENDPOINT.unpack_from(self._map, self.endpoint_at(block) * WORD)

    def signals(self, block: int) -> tuple[int, ...]:
        """Return the words of a signal block, in the order of `Signal`."""
        return _SIGNALS.unpack_from(self._map, self.signals_at(block) * WORD)

    # Keeping the books; the control process only, while no worker writes the block

    def clear_listener(self, block: int) -> None:
        """Set a listener block to zero, so that it can be used again."""
        self._clear(self.listener_at(block), LISTENER_WORDS)

    def clear_route(self, block: int) -> None:
        """Set a route block to zero."""
        self._clear(self.route_at(block), ROUTE_WORDS)

    def clear_upstream(self, block: int) -> None:
        """Set an upstream block to zero."""
        self._clear(self.upstream_at(block), UPSTREAM_WORDS)

    def clear_endpoint(self, block: int) -> None:
        """Set an endpoint block to zero."""
        self._clear(self.endpoint_at(block), ENDPOINT_WORDS)

    def clear_signals(self, block: int) -> None:
        """Set a signal block to zero."""
        self._clear(self.signals_at(block), SIGNAL_WORDS)

    def settle(
        self,
        listeners: list[int],
        routes: list[int],
        now_ms: int,
        upstreams: Sequence[int] = (),
        endpoints: Sequence[int] = (),
        signals: Sequence[int] = (),
    ) -> None:
        """Close in the books what a dead worker left open in these blocks."""
        words = self.words
        died = CLOSED_REASONS.index("worker_died")
        for block in listeners:
            at = self.listener_at(block)
            got = self.listener(block)
            alive = got[Listener.ACCEPTED] - sum(got[Listener.CLOSED :])
            if alive > 0:
                words[at + Listener.CLOSED + died] += alive
                words[at + Listener.LAST_MS] = now_ms
        for block in routes:
            at = self.route_at(block)
            words[at + Route.CLOSED] = words[at + Route.OPENED]
        for block in upstreams:
            at = self.upstream_at(block)
            for gauge in UPSTREAM_GAUGES:
                words[at + gauge] = 0
        for block in endpoints:
            at = self.endpoint_at(block)
            words[at + Endpoint.CLOSED] = words[at + Endpoint.OPENED]
        for block in signals:
            at = self.signals_at(block)
            words[at + Signal.ENDED] = words[at + Signal.OPENED]
        words[Header.CONNECTIONS] = words[Header.RELAY_KERNEL] = 0

    def _clear(self, at: int, length: int) -> None:
        for index in range(at, at + length):
            self.words[index] = 0
