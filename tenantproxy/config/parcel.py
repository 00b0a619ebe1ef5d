"""How a loaded document travels from the child process: frames of MessagePack.

Each frame is a length of 4 bytes, big-endian, and a message. The first has
the proxy and the policies, or all problems; then come tenants by the hundred;
the last says that it was all. A message is decoded straight into values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import msgspec

from tenantproxy.errors import Problem
from tenantproxy.model.spec import Document, PolicySpec, ProxySpec, TenantSpec

LISTENERS_A_FRAME = 250
"""About 1 ms to decode."""


class Frame(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message."""

    problems: tuple[Problem, ...] = ()
    proxy: ProxySpec | None = None
    policies: tuple[PolicySpec, ...] = ()
    tenants: tuple[TenantSpec, ...] = ()
    last: bool = False


@dataclass(slots=True)
class Parcel:
    """What has come so far; `whole` when the last frame has."""

    problems: list[Problem] = field(default_factory=list)
    proxy: ProxySpec | None = None
    policies: list[PolicySpec] = field(default_factory=list)
    tenants: dict[str, TenantSpec] = field(default_factory=dict)
    whole: bool = False


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Frame)


def pack(document: Document, policies: tuple[PolicySpec, ...]) -> Iterator[bytes]:
    """Yield the frames of a sound document."""
    yield _frame(Frame(proxy=document.proxy, policies=policies))
    for batch in _batches(document.tenants.values()):
        yield _frame(Frame(tenants=batch))
    yield _frame(Frame(last=True))


def pack_problems(problems: Iterable[Problem]) -> Iterator[bytes]:
    """Yield the frames of a refused document."""
    rest = iter(problems)
    while batch := tuple(islice(rest, LISTENERS_A_FRAME)):
        yield _frame(Frame(problems=batch))
    yield _frame(Frame(last=True))


def unpack(message: bytes, parcel: Parcel) -> None:
    """Add one message, without its length, to the parcel."""
    frame = _decoder.decode(message)
    parcel.problems += frame.problems
    parcel.policies += frame.policies
    parcel.proxy = frame.proxy or parcel.proxy
    parcel.tenants |= {tenant.name: tenant for tenant in frame.tenants}
    parcel.whole = parcel.whole or frame.last


def _frame(frame: Frame) -> bytes:
    message = _encoder.encode(frame)
    return len(message).to_bytes(4) + message


def _batches(tenants: Iterable[TenantSpec]) -> Iterator[tuple[TenantSpec, ...]]:
    batch: list[TenantSpec] = []
    listeners = 0
    for tenant in tenants:
        batch.append(tenant)
        listeners += 1 + len(tenant.listeners)
        if listeners >= LISTENERS_A_FRAME:
            yield tuple(batch)
            batch, listeners = [], 0
    if batch:
        yield tuple(batch)
