"""What tests of signals share: a judged listener, and a side read as people would say it."""

from __future__ import annotations

import socket

import pytest

from tenantproxy.model.sides import BYTE_BOUNDS, TIME_BOUNDS_S, Side
from tests.dataplane.support import listener, receive_all, upstream

BOTH = pytest.mark.both_movers
ON_TRIAL = pytest.mark.parametrize("mover", ["pump", "trial"], indirect=True)
"""Where the kernel moves bytes from the first one on, nobody knows when that came."""

JUDGED = {1: 1}
"""Upstream 1 of listener 1 counts into signal block 1."""


def open_port(rig, *ports, **changes) -> int:
    """Open listener 1 to upstream 1 with these servers; it is no longer waking."""
    rig.upstreams(upstream(1, *ports, **changes))
    return rig.open(listener(1, {1: 1}, signals=JUDGED))


def live(rig, block=1) -> int:
    """Return how many connections live that count into the block."""
    flows = [flow for one in rig.engine._listeners.values() for flow in one.flows]
    signals = [flow.sample._signals for flow in flows if flow.sample is not None]
    at = rig.books.counters.signals_at(block)
    mine = rig.books.counters.words[at : at + 1]
    before, mine[0] = mine[0], 2**60  # is it this block that it writes to?
    found = sum(one.cells[0] == 2**60 for one in signals)
    mine[0] = before
    return found


def adds_up(side: Side, alive: int) -> bool:
    """Say whether the parts are those of the whole, at any moment."""
    *times, closed_age, bytes_in, bytes_out = map(sum, side.histograms)
    connect_time, first_byte, duration = times
    assert side.opened == side.ended + alive == connect_time
    assert side.ended == duration == bytes_in == bytes_out
    assert side.resets <= side.ended
    assert side.silent + closed_age <= side.ended
    assert first_byte <= side.opened
    return True


def bytes_of(counts) -> list[int]:
    """Return the upper bounds of the buckets that have something in them."""
    return [BYTE_BOUNDS[i] for i, count in enumerate(counts) if count]


def times_of(counts) -> list[float]:
    return [TIME_BOUNDS_S[i] for i, count in enumerate(counts) if count]


async def goodbye(client, end) -> None:
    """The client says FIN first, then the server; when this returns the proxy has passed both."""
    client.shutdown(socket.SHUT_WR)
    await receive_all(end)
    end.close()
    await receive_all(client)
    client.close()


async def ended(rig, **expected: int) -> Side:
    """Return the side when all has ended; `expected` are its single counts but `ended`."""
    await rig.quiet()
    side = rig.books.side()
    assert adds_up(side, 0)
    counts = {name: getattr(side, name) for name in ("opened", "failed", "resets", "silent")}
    assert {name: count for name, count in counts.items() if count} == expected
    return side
