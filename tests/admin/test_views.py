"""Shapes whose edges the routes do not show."""

from tenantproxy.admin import views
from tenantproxy.model.lifecycle import State
from tests.admin.conftest import hold
from tests.support_control import WEB


def test_times_are_rfc_3339_in_utc_with_milliseconds():
    assert views.show_time(0) == "1970-01-01T00:00:00.000Z"
    assert views.show_time(1_700_000_000.9876) == "2023-11-14T22:13:20.987Z"
    assert views.show_time(None) is None


def test_every_state_has_its_word_in_the_shape(control):
    for state in State:
        control._ports[WEB].state = state
        hold(views.whole_listener(control.listener(WEB)), "Listener")


def test_a_port_that_is_not_there_is_null(control):
    control._ports[WEB].number = None
    assert views.show_listener(control.listener(WEB))["port"] is None
