"""Orders say what the spec says, and are packed into messages that are short enough."""

import pytest

from tenantproxy.control.upstream import Endpoint, Upstream
from tenantproxy.control.upstream_orders import UpstreamOrders
from tenantproxy.dataplane.messages import MAX_BYTES, TlsOrder, encode
from tenantproxy.discovery.source import Address
from tenantproxy.model.endpoints import EndpointHealth
from tenantproxy.model.spec import QueueRule, TlsRule
from tests.control.support import upstream


class NoCertificates:
    def order(self, spec):
        rule = spec.tls
        return rule and TlsOrder(rule.server_name or "", rule.ca_file, None, None, True, 7)


@pytest.fixture
def orders():
    return UpstreamOrders(NoCertificates(), 3, Upstream.shorten)


def used(spec, addresses=None):
    one = Upstream(spec)
    one.block, one.sent, one.users = 4, True, 1
    for block, address in enumerate(addresses or one.places().values()):
        endpoint = Endpoint(address, block, EndpointHealth())
        one.endpoints[endpoint.place] = endpoint
    one.choice = one.choose()
    return one


def test_an_order_says_what_the_spec_says(orders):
    spec = upstream(
        "v1",
        80,
        balance="source_hash",
        connect_timeout_s=1.5,
        connect_tries=2,
        retry_budget=0.1,
        first_byte_timeout_s=9.0,
        max_connections=100,
        queue=QueueRule(10, 2.5),
        send_proxy="v2",
    )
    order = orders.order(used(spec), 0.0)
    assert (order.block, order.name, order.balance) == (4, "acme/v1", "source_hash")
    assert (order.connect_timeout_s, order.connect_tries) == (1.5, 2)
    assert (order.retry_budget, order.first_byte_timeout_s) == (0.1, 9.0)
    assert (order.max_connections, order.queue_size, order.queue_timeout_s) == (100, 4, 2.5)
    assert order.send_proxy == "v2"
    assert order.report
    assert order.healthy == 1
    assert order.tls is None


def test_what_the_spec_leaves_out_is_off(orders):
    order = orders.order(used(upstream("v1", 80, outlier=None)), 0.0)
    assert (order.max_connections, order.queue_size, order.first_byte_timeout_s) == (0, 0, 0.0)
    assert not order.report


@pytest.mark.parametrize(("warm", "each"), [(0, 0), (1, 1), (3, 1), (4, 2)])
def test_spares_are_spread_over_the_workers_while_it_is_awake(orders, warm, each):
    one = used(upstream("v1", 80, warm=warm))
    assert orders.order(one, 0.0).warm == each
    one.users = 0
    assert orders.order(one, 0.0).warm == 0


@pytest.mark.parametrize(("size", "each"), [(1, 1), (3, 1), (100, 34)])
def test_those_who_may_wait_are_spread_over_the_workers(orders, size, each):
    one = used(upstream("v1", 80, max_connections=1, queue=QueueRule(size, 1.0)))
    assert orders.order(one, 0.0).queue_size == each


def test_names_for_tls_are_sent_where_the_rule_gives_none(orders):
    two = [Address("192.0.2.1", 80, name="web"), Address("192.0.2.2", 80)]
    for rule, name in ((TlsRule(), "web"), (TlsRule(server_name="x"), ""), (None, "")):
        order = orders.order(used(upstream("v1", 80, host="web", tls=rule), two), 0.0)
        assert [one.server_name for one in order.endpoints] == [name, ""]


def test_a_name_that_all_have_is_sent_once(orders):
    two = [Address(f"192.0.2.{n}", 80, name="web") for n in (1, 2)]
    order = orders.order(used(upstream("v1", 80, host="web", tls=TlsRule()), two), 0.0)
    assert order.tls.server_name == "web"
    assert [one.server_name for one in order.endpoints] == ["", ""]


def test_as_many_endpoints_of_one_name_as_there_may_be_fit_into_a_message(orders):
    name = ".".join(["a" * 62] * 4)
    many = [Address(f"2001:db8:1111:2222:3333:4444:5555:{n:x}", 65_535, name=name)
            for n in range(60_000, 61_024)]  # fmt: skip
    one = used(upstream("v1", 80, host="web", tls=TlsRule()), many)
    [message] = orders.messages([one], 0.0)
    assert len(encode(message)) <= MAX_BYTES
    assert len(message.upstreams[0].endpoints) == 1024
    assert one.short == {}


def test_weights_are_scaled_while_one_starts_slowly(orders):
    one = used(upstream("v1", 80, 81, slow_start_s=10.0))
    _, second = one.endpoints.values()
    second.health = EndpointHealth.arrived(100.0, among_others=True)
    assert [e.weight for e in orders.order(one, 100.0).endpoints] == [100, 10]
    assert [e.weight for e in orders.order(one, 105.0).endpoints] == [100, 55]
    assert [e.weight for e in orders.order(one, 111.0).endpoints] == [1, 1]


def test_many_upstreams_fit_into_messages_that_are_short_enough(orders):
    many = [used(upstream(f"u{n}" * 20, *range(1, 8))) for n in range(1000)]
    messages = orders.messages(many, 0.0)
    assert len(messages) > 1
    assert all(len(encode(message)) <= MAX_BYTES for message in messages)
    assert [order.id for m in messages for order in m.upstreams] == [one.id for one in many]


def test_small_upstreams_are_sent_by_the_hundred(orders):
    many = [used(upstream(f"u{n}", 80)) for n in range(400)]
    assert len(orders.messages(many, 0.0)) <= 3


def test_of_too_many_endpoints_as_many_are_used_as_fit_into_a_message(orders):
    names = [Address(f"2001:db8::{n:x}", 80, name=f"w{n}" * 30) for n in range(1, 5000)]
    spec = upstream("v1", 80, host="web", tls=TlsRule(ca_file="/x" * 500))
    one = used(spec, names)
    [message] = orders.messages([one], 0.0)
    assert len(encode(message)) <= MAX_BYTES
    [order] = message.upstreams
    assert 100 < len(order.endpoints) == order.healthy
    some = len(order.endpoints)
    assert one.short == {"order": f"{some} of 4999 endpoints fit into an order to workers"}


def test_no_upstream_is_no_message(orders):
    assert orders.messages([], 0.0) == []
