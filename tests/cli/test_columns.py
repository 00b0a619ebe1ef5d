"""Names of items and of what events are about."""

import pytest

from tenantproxy.cli.columns import COLUMNS, full_name, name_of, object_of, same_object

LISTENER = {"tenant": "acme", "listener": "web"}
TENANT = {"tenant": "acme"}


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        ({"tenant": "acme", "object": "listener/web"}, "acme/web"),
        ({"tenant": "acme", "object": "upstream/v1"}, "upstream acme/v1"),
        ({"tenant": "acme", "object": None}, "acme"),
        ({"tenant": None, "object": "worker/0"}, "worker 0"),
        ({"tenant": None, "object": "document"}, "document"),
        ({"tenant": None, "object": None}, "-"),
    ],
)
def test_what_an_event_is_about(event, shown):
    assert object_of(event) == shown


def test_events_of_an_object_are_its_own_and_a_tenant_has_those_of_all_its_objects():
    own = {"tenant": "acme", "object": "listener/web"}
    other = {"tenant": "acme", "object": "listener/acme"}
    namesake = {"tenant": "acme", "object": "upstream/web"}
    foreign = {"tenant": "corp", "object": "listener/web"}
    assert [same_object(e, "listeners", LISTENER) for e in (own, other, namesake, foreign)] == [
        True,
        False,
        False,
        False,
    ]
    assert [same_object(e, "tenants", TENANT) for e in (own, namesake, foreign)] == [
        True,
        True,
        False,
    ]


def test_a_listener_may_be_called_as_its_tenant():
    item = {"tenant": "acme", "listener": "acme"}
    assert same_object({"tenant": "acme", "object": "listener/acme"}, "listeners", item)


def test_an_event_of_an_endpoint_says_which():
    event = {"number": 1, "at": None, "event": "endpoint_ejected", "reason": "5 failures in a row"}
    ejected = event | {"details": {"endpoint": "10.0.0.1:80"}}
    cell = next(c.cell for c in COLUMNS["events"] if c.title == "REASON")
    assert cell(ejected, 0.0) == "10.0.0.1:80: 5 failures in a row"
    assert cell(event | {"details": {}, "reason": ""}, 0.0) == "-"


def test_names():
    assert name_of(LISTENER, "listeners") == "acme/web"
    assert full_name({"tenant": "acme", "upstream": "v1"}, "upstreams") == "upstream/acme/v1"
    assert full_name({"number": 3}, "events") == "event/3"


def test_an_upstream_in_trouble_in_a_wide_table(troubled):
    cells = {column.title: column.cell(troubled(), 0.0) for column in COLUMNS["upstreams"]}
    assert cells["STATE"] == "2 unhealthy, 1 ejected, 1 unresolved, full, discovery fails"
    assert cells["USABLE"] == "5/9"
    assert cells["CONNS"] == "3"
    assert cells["ERRORS"] == "7"
    assert cells["EJECTED"] == "1"
    assert (cells["RETRIES"], cells["DENIED"]) == ("10", "11")
    assert (cells["SLOTS"], cells["WAITING"], cells["SPARES"]) == ("50/50", "8", "9")
    assert cells["DISCOVERY"] == "srv=_web._tcp.acme.svc"
    assert cells["ENDPOINTS"].startswith("10.0.0.1:80,10.0.0.2:80,")


def test_slots_are_told_without_a_limit_too(troubled):
    cells = {column.title: column.cell(troubled(), 0.0) for column in COLUMNS["upstreams"]}
    assert cells["SLOTS"] == "50/50"
    unlimited = troubled(limits={"max_connections": None, "slots": 50, "waiting": 0})
    cells = {column.title: column.cell(unlimited, 0.0) for column in COLUMNS["upstreams"]}
    assert cells["SLOTS"] == "50"


def test_an_upstream_that_found_nothing_has_a_dash_for_its_endpoints(troubled):
    cells = {
        column.title: column.cell(troubled(endpoints=[], usable_endpoints=0), 0.0)
        for column in COLUMNS["upstreams"]
    }
    assert cells["ENDPOINTS"] == "-"
    assert cells["USABLE"] == "0/0"
