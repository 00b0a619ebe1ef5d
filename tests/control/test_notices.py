"""Notices become events, thinned out."""

from tenantproxy.control.events import Events
from tenantproxy.control.notices import QUIET_S, Notices
from tenantproxy.dataplane.messages import Notice


def test_a_flood_becomes_one_event_that_later_says_how_much_it_was():
    events = Events()
    notices = Notices(events)
    for second in range(5):
        for worker in range(2):
            notices.add(worker, Notice("fd_limit", "", "accepting pauses", 10), float(second))
    assert [event.details["count"] for event in events.after(0, 100)] == [10]
    notices.add(0, Notice("fd_limit", "", "accepting pauses", 10), QUIET_S)
    assert [event.details["count"] for event in events.after(0, 100)] == [10, 100]


def test_subjects_do_not_silence_each_other():
    events = Events()
    notices = Notices(events)
    for name in ("acme/v1", "acme/v2", "other/v1"):
        notices.add(0, Notice("upstream_unreachable", name, "refused", 1), 0.0)
    found = [(event.tenant, event.object) for event in events.after(0, 100)]
    assert found == [("acme", "upstream/v1"), ("acme", "upstream/v2"), ("other", "upstream/v1")]


def test_notices_of_tls_are_about_the_upstream():
    events = Events()
    Notices(events).add(0, Notice("upstream_tls", "acme/v1", "certificate has expired", 1), 0.0)
    assert [event.object for event in events.after(0, 100)] == ["upstream/v1"]
