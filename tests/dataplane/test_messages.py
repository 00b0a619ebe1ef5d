"""Every message survives the wire; nothing else does."""

from __future__ import annotations

import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.dataplane import messages as m

kinds = typing.get_args(m.Message)
numbers = st.integers(0, 2**53)
floats = st.floats(0, 1e9)
names = st.text(max_size=30)
few = {"max_size": 4}


def tuples(of):
    return st.lists(of, **few).map(tuple)


ids = tuples(numbers)
endpoints = st.builds(m.EndpointOrder, numbers, numbers, names, numbers, numbers, names)
upstreams = st.builds(
    m.UpstreamOrder,
    id=numbers,
    block=numbers,
    name=names,
    endpoints=tuples(endpoints),
    balance=st.sampled_from(["round_robin", "least_connections"]),
    connect_timeout_s=floats,
    connect_tries=numbers,
)
listeners = st.builds(
    m.ListenerOrder,
    id=numbers,
    block=numbers,
    name=names,
    routes=tuples(st.builds(m.RouteOrder, numbers, numbers, numbers, st.integers(-1, 2**53))),
    idle_timeout_s=floats,
    hold=numbers,
    hold_s=floats,
)
messages = st.one_of(
    st.builds(m.SetUpstreams, tuples(upstreams)),
    st.builds(m.DropUpstreams, ids),
    st.builds(m.OpenListeners, tuples(listeners)),
    st.builds(m.UpdateListeners, tuples(listeners)),
    st.builds(m.StopListeners, ids, st.booleans()),
    st.builds(
        m.EndConnections, ids, st.sampled_from(["keep", "drain", "kill"]), floats, st.booleans()
    ),
    st.builds(
        m.EndRoute,
        numbers,
        numbers,
        st.sampled_from(["kill", "drain", "rebalance"]),
        floats,
        numbers,
    ),
    st.builds(m.Adopt, numbers, numbers),
    st.builds(m.SetRelay, st.sampled_from(["pump", "kernel", "auto"]), numbers),
    st.just(m.Quit()),
    st.builds(m.Ready, numbers, numbers),
    st.builds(m.Opened, ids),
    st.builds(m.Stopped, ids),
    st.builds(m.Drained, ids),
    st.builds(m.Relay, st.sampled_from(["pump", "kernel"]), names),
    st.builds(m.Outcomes, tuples(st.builds(m.Outcome, numbers, numbers, names))),
    st.builds(m.Notice, st.sampled_from(["fd_limit", "internal"]), names, names, numbers),
)


@given(messages)
def test_a_message_survives_the_wire(message):
    assert m.decode(m.encode(message)) == message


def test_every_kind_has_a_tag_of_its_own():
    tags = [kind.__struct_config__.tag for kind in kinds]
    assert len(set(tags)) == len(tags) == 17


@pytest.mark.parametrize("junk", [b"", b"\xc1", b"\x80", b"\x81\xa4type\xa6sesame"])
def test_junk_is_refused(junk):
    with pytest.raises(msgspec.DecodeError):
        m.decode(junk)


def test_the_longest_order_of_a_full_batch_of_listeners_fits():
    """Control may put `MAX_FDS` listeners with two routes each into one message."""
    routes = (m.RouteOrder(2**31, 1_000_000, 2**18, 8191),) * 2
    orders = tuple(
        m.ListenerOrder(2**31, 65_535, "t" * 63 + "/" + "l" * 63, routes, 3600.5, 10_000, 30.5)
        for _ in range(m.MAX_FDS)
    )
    assert len(m.encode(m.OpenListeners(orders))) < m.MAX_BYTES
