"""Packing of orders about upstreams."""

from tenantproxy.control.upstreams import Upstream, _messages
from tenantproxy.dataplane.messages import MAX_BYTES, encode
from tests.control.support import upstream


def known(name, count):
    one = Upstream(upstream(name, *range(1, count + 1)))
    one.block = 0
    return one


def test_many_upstreams_fit_into_messages_that_are_short_enough():
    many = [known(f"u{n}" * 20, 7) for n in range(1000)]
    messages = _messages(many)
    assert len(messages) > 1
    assert all(len(encode(message)) <= MAX_BYTES for message in messages)
    assert [order.id for m in messages for order in m.upstreams] == [one.id for one in many]


def test_names_not_resolved_are_not_sent():
    one = Upstream(upstream("v1", 80, host="example.invalid"))
    one.block = 0
    [message] = _messages([one])
    assert message.upstreams[0].endpoints == ()
    assert one.endpoints()[0].reason == "not resolved yet"


def test_no_upstream_is_no_message():
    assert _messages([]) == []
