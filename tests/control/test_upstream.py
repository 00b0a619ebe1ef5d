"""What is known of one upstream when its source, or its document, says something else."""

from tenantproxy.control.upstream import Upstream, checked_as, shown
from tenantproxy.discovery.source import Address, Found
from tenantproxy.model.spec import Discovery, EndpointSpec, UpstreamSpec
from tests.control.support import upstream

DNS = UpstreamSpec("acme", "v1", discovery=Discovery("dns", "web", 80))


def hosts(one):
    return [address.host for address in one.addresses]


def of_name(host, listed="web:80", **more):
    return Address(host, 80, name="web", listed=listed, **more)


def test_addresses_of_the_document_are_there_at_once_and_nothing_is_to_be_found():
    one = Upstream(upstream("v1", 80, 81))
    assert hosts(one) == ["127.0.0.1", "127.0.0.1"]
    assert one.literal
    assert one.known


def test_a_name_has_no_address_until_it_is_found():
    one = Upstream(upstream("v1", 80, host="web"))
    assert not one.literal
    assert one.addresses == ()
    assert one.reasons == {"web:80": "not resolved yet"}
    one.take(Found((of_name("192.0.2.1"),)))
    assert hosts(one) == ["192.0.2.1"]
    assert one.reasons == {}


def test_an_address_of_an_interface_that_is_not_there_is_to_be_found():
    one = Upstream(upstream("v1", 80, host="fe80::1%nosuch0"))
    assert not one.literal
    assert one.addresses == ()


def test_what_was_found_stays_where_the_host_stays():
    one = Upstream(upstream("v1", 80, host="web"))
    one.take(Found((of_name("192.0.2.1"),)))
    one.respec(upstream("v1", 80, 81, host="web", connect_timeout_s=1.0))
    assert [(a.host, a.port) for a in one.addresses] == [("192.0.2.1", 80), ("192.0.2.1", 81)]
    one.respec(upstream("v1", 80, host="other"))
    assert one.addresses == ()


def test_a_name_that_fails_keeps_what_it_had_and_says_why():
    one = Upstream(upstream("v1", 80, host="web"))
    one.take(Found((of_name("192.0.2.1"),)))
    one.take(Found((), (("web:80", "no such name"),)))
    assert hosts(one) == ["192.0.2.1"]
    assert one.reasons == {"web:80": "no such name"}


def test_a_source_that_begins_anew_takes_nothing_away_before_it_has_asked():
    one = Upstream(upstream("v1", 80, host="web"))
    one.take(Found((of_name("192.0.2.1"),)))
    one.take(Found((), (("web:80", "not resolved yet"),)))
    assert hosts(one) == ["192.0.2.1"]
    assert one.reasons == {}


def test_a_place_that_is_there_twice_is_one_with_both_weights_however_often_it_is_found():
    one = Upstream(UpstreamSpec("acme", "v1", (EndpointSpec("a", 80, 2), EndpointSpec("b", 80, 3))))
    both = Found((of_name("192.0.2.1", "a:80", weight=2), of_name("192.0.2.1", "b:80", weight=3)))
    for _ in range(3):
        one.take(both)
        one.take(Found(both.addresses[1:], (("a:80", "no such name"),)))
    [address] = one.places().values()
    assert address.weight == 5


def test_another_discovery_replaces_what_was_found_when_it_has_found_something():
    one = Upstream(DNS)
    one.take(Found((Address("192.0.2.1", 80),)))
    one.respec(UpstreamSpec("acme", "v1", discovery=Discovery("dns", "other", 80)))
    assert hosts(one) == ["192.0.2.1"]
    assert not one.known
    one.take(Found((Address("192.0.2.9", 80),)))
    assert hosts(one) == ["192.0.2.9"]


def test_a_host_that_is_listed_on_two_ports_is_found_once_for_each():
    one = Upstream(upstream("v1", 80, 81, host="web"))
    addresses = [Address("192.0.2.1", n, name="web", listed=f"web:{n}") for n in (80, 81)]
    one.take(Found(tuple(addresses)))
    for _ in range(3):
        one.respec(upstream("v1", 80, 81, host="web", connect_timeout_s=1.0))
    assert [(a.port, a.weight) for a in one.places().values()] == [(80, 1), (81, 1)]
    assert len(one.addresses) == 2


def test_what_the_document_listed_stays_until_discovery_has_found_something():
    one = Upstream(upstream("v1", 80))
    one.respec(DNS)
    assert hosts(one) == ["127.0.0.1"]
    assert not one.literal
    one.take(Found((Address("192.0.2.9", 80),)))
    assert hosts(one) == ["192.0.2.9"]


def test_another_discovery_that_fails_ends_what_the_old_one_had_found():
    one = Upstream(DNS)
    one.take(Found((Address("192.0.2.1", 80),)))
    one.lack("no answer")
    assert hosts(one) == ["192.0.2.1"]
    one.respec(UpstreamSpec("acme", "v1", discovery=Discovery("dns", "other", 80)))
    one.lack("no such name")
    assert one.addresses == ()
    assert one.discovery_reason == "no such name"


def test_another_discovery_has_not_failed_yet():
    one = Upstream(DNS)
    one.lack("no answer")
    one.respec(UpstreamSpec("acme", "v1", discovery=DNS.discovery, connect_timeout_s=9.0))
    assert one.discovery_reason == "no answer"
    one.respec(UpstreamSpec("acme", "v1", discovery=Discovery("dns", "other", 80)))
    assert one.discovery_reason == ""


def test_endpoints_are_shown_as_people_know_them():
    listed, found = of_name("192.0.2.1"), Address("192.0.2.1", 80, name="web-0.acme")
    srv = UpstreamSpec("acme", "v1", discovery=Discovery("srv", "_web._tcp.acme"))
    assert shown(listed, upstream("v1", 80, host="web")) == "web:80"
    assert shown(found, DNS) == "192.0.2.1:80"
    assert shown(found, srv) == "web-0.acme:80"
    assert shown(Address("::1", 80), DNS) == "[::1]:80"
    assert checked_as(listed) == "web:80"
    assert checked_as(found) == "web-0.acme:80"
