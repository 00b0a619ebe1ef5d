"""Packing of orders about upstreams."""

import os

import pytest

from tenantproxy.control.books import Books
from tenantproxy.control.upstreams import Upstream, _messages
from tenantproxy.dataplane.counters import Capacity, CounterFile
from tenantproxy.dataplane.messages import MAX_BYTES, encode
from tests.control.support import upstream


@pytest.fixture
def books():
    file, fd = CounterFile.create("test", Capacity(8, 8, 8, 10_000))
    os.close(fd)
    yield Books([file])
    file.close()


def known(name, count):
    one = Upstream(upstream(name, *range(1, count + 1)))
    one.block = 0
    return one


def test_many_upstreams_fit_into_messages_that_are_short_enough(books):
    many = [known(f"u{n}" * 20, 7) for n in range(1000)]
    messages = _messages(many, books)
    assert len(messages) > 1
    assert all(len(encode(message)) <= MAX_BYTES for message in messages)
    assert [order.id for m in messages for order in m.upstreams] == [one.id for one in many]


def test_names_not_resolved_are_not_sent(books):
    one = Upstream(upstream("v1", 80, host="example.invalid"))
    one.block = 0
    [message] = _messages([one], books)
    assert message.upstreams[0].endpoints == ()
    assert one.endpoints()[0].reason == "not resolved yet"


def test_no_upstream_is_no_message(books):
    assert _messages([], books) == []


def test_what_was_resolved_stays_resolved_when_something_else_changes():
    one = Upstream(upstream("v1", 80, host="example.invalid"))
    one.addresses, one.reasons = ["192.0.2.1"], [""]
    one.replace(upstream("v1", 80, 81, host="example.invalid", connect_timeout_s=1.0))
    assert one.addresses == ["192.0.2.1", "192.0.2.1"]
    one.replace(upstream("v1", 80, host="other.invalid"))
    assert one.addresses == [None]


def test_an_address_of_an_interface_that_is_not_there_is_not_sent(books):
    one = Upstream(upstream("v1", 80, host="fe80::1%nosuch0"))
    one.block = 0
    assert _messages([one], books)[0].upstreams[0].endpoints == ()
