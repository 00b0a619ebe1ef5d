"""What `describe listener` tells of the upstreams of its split, and what happened of late."""

import pytest

from tenantproxy.admin.views import show_upstream, whole_listener
from tenantproxy.cli.told import recent, told
from tenantproxy.model.rollout import Phase
from tenantproxy.model.spec import UpstreamKey
from tests.support_control import WEB, memory_control


@pytest.fixture
def control():
    made = memory_control()
    yield made
    made.end()


def sections(control, **spec):
    item = whole_listener(control.listener(WEB))
    item["spec"] |= spec
    upstreams = [show_upstream(view) for view in control.upstreams("acme")]
    return {section.title: section.rows for section in told("listeners", item, upstreams, 0.0)}


def test_a_member_of_the_split_says_what_is_wrong_with_it(control):
    control.traffic.seen[UpstreamKey("acme", "web-v2")] = {"awake": True, "endpoints": ()}
    control.traffic.seen[UpstreamKey("acme", "web-v1")] = {"awake": True}
    assert sections(control)["Split"] == [
        ("web-v1", 95, "95.0%", "2 of 2 endpoints usable"),
        ("web-v2", 5, "5.0%", "0 of 0 endpoints usable: no endpoints"),
    ]


def test_a_member_that_is_not_defined_says_so(control):
    item = whole_listener(control.listener(WEB))
    split = next(s for s in told("listeners", item, [], 0.0) if s.title == "Split")
    assert split.rows[0][3] == "not defined"


def test_sticky_and_fallback_are_told_where_they_are_set(control):
    head = dict(sections(control)[""])
    assert not {"Sticky:", "Fallback:"} & set(head)
    head = dict(sections(control, sticky="source_ip", fallback=True)[""])
    assert head["Sticky:"] == "source_ip decides which upstream of the split"
    assert head["Fallback:"] == "an upstream without endpoints gives its share to the others"


def test_a_rollout_and_what_a_listener_is_the_preview_of_are_told_where_there_are_such(control):
    assert not {"Rollout:", "Preview of:"} & set(dict(sections(control)[""]))
    item = whole_listener(control.listener(WEB), Phase.RUNNING) | {"preview_of": "shop"}
    head = dict(told("listeners", item, [], 0.0)[0].rows)
    assert head["Rollout:"] == "running; `describe rollout` tells more"
    assert head["Preview of:"] == "acme/shop"


def test_what_happened_of_late_says_to_which_endpoint():
    event = {
        "at": "1970-01-01T00:01:00.000Z",
        "event": "endpoint_ejected",
        "tenant": "acme",
        "object": "upstream/web-v1",
        "reason": "5 failures in a row",
        "details": {"endpoint": "10.0.0.1:80"},
    }
    section = recent([event], 65.0)
    assert section.title == "Recent events"
    assert section.rows == [
        ("5s", "endpoint_ejected", "upstream acme/web-v1", "10.0.0.1:80: 5 failures in a row")
    ]
