"""Names of items and of what events are about."""

import pytest

from tenantproxy.cli.columns import full_name, name_of, object_of, same_object

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


def test_names():
    assert name_of(LISTENER, "listeners") == "acme/web"
    assert full_name({"tenant": "acme", "upstream": "v1"}, "upstreams") == "upstream/acme/v1"
    assert full_name({"number": 3}, "events") == "event/3"
