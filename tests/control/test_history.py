"""Generations and reloads are remembered."""

from tenantproxy.control.events import Events
from tenantproxy.control.history import History
from tenantproxy.model.delta import Change
from tenantproxy.model.layers import Unit

ADDED = [Change("add", "listener", "acme/web")]


def names(events):
    return [event.event for event in events.after(0, 100)]


def test_a_refused_version_has_the_number_it_would_have_got():
    history = History(Events())
    history.generation = 4
    history.applied(ADDED, "file")
    history.refused(("f.yaml:3:5: bad", "worse"), "file")
    newest, before = history.newest_first()
    assert (newest.number, newest.result, newest.problems[1]) == (5, "refused", "worse")
    assert (before.number, before.summary) == (4, "+1 listener")
    assert history.problems == ("f.yaml:3:5: bad", "worse")


def test_a_good_reload_clears_the_problems_and_tells_what_it_ended():
    events = Events()
    history = History(events)
    history.refused(("bad",), "file")
    history.reloaded(ADDED, [Unit("split", "acme", "web")], ["proxy.workers"])
    assert history.problems == ()
    assert history.last_success_s is not None
    assert history.restart_needed == ("proxy.workers",)
    assert names(events) == [
        "reload_refused",
        "api_change_ended",
        "restart_needed",
        "reloaded",
    ]
    history.reloaded([], [], [])
    assert history.reloads == {
        ("file", "refused"): 1,
        ("file", "applied"): 1,
        ("file", "unchanged"): 1,
    }
