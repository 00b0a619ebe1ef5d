"""Shapes whose edges the routes do not show."""

from dataclasses import replace
from typing import get_args

import pytest

from tenantproxy.admin import views
from tenantproxy.model.lifecycle import State
from tenantproxy.model.rollout import Phase
from tenantproxy.model.spec import Discovery, UpstreamKey, UpstreamSpec
from tenantproxy.model.views import EndpointState, EndpointView
from tests.admin.conftest import hold
from tests.support_control import WEB

V1 = UpstreamKey("acme", "web-v1")


def test_times_are_rfc_3339_in_utc_with_milliseconds():
    assert views.show_time(0) == "1970-01-01T00:00:00.000Z"
    assert views.show_time(1_700_000_000.9876) == "2023-11-14T22:13:20.987Z"
    assert views.show_time(None) is None


def test_every_state_has_its_word_in_the_shape(control):
    for state in State:
        control._ports[WEB].state = state
        hold(views.whole_listener(control.listener(WEB)), "Listener")


def test_every_state_of_an_endpoint_has_its_word_in_the_shape(control):
    states = get_args(EndpointState)
    control.traffic.seen[V1] = {
        "endpoints": tuple(EndpointView("e:1", None, state=state) for state in states)
    }
    shown = views.whole_upstream(control.upstream(V1))
    hold(shown, "Upstream")
    assert [one["state"] for one in shown["endpoints"]] == list(states)


def test_discovery_is_shown_as_it_stands_in_the_document(control):
    spec = UpstreamSpec("acme", "web-v1", discovery=Discovery("dns", "web.acme.svc", 8080))
    control.traffic.seen[V1] = {"spec": spec}
    shown = views.show_upstream(control.upstream(V1))
    hold({"items": [shown]}, "UpstreamList")
    assert shown["discovery"] == {"dns": "web.acme.svc:8080"}


def test_an_endpoint_that_never_changed_has_no_time_of_change(control):
    control.traffic.seen[V1] = {"endpoints": (EndpointView("e:1", None),)}
    assert views.show_upstream(control.upstream(V1))["endpoints"][0]["since"] is None


def test_a_preview_names_the_listener_that_it_is_of(control):
    seen = control.listener(WEB)
    assert views.show_listener(seen)["preview_of"] is None
    preview = replace(seen, spec=replace(seen.spec, name="web.preview", preview_of="web"))
    shown = views.whole_listener(preview)
    hold(shown, "Listener")
    assert (shown["preview_of"], shown["rollout"]) == ("web", None)


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_of_a_rollout_has_its_word_in_the_shape_of_a_listener(control, phase):
    shown = views.whole_listener(control.listener(WEB), phase)
    hold(shown, "Listener")
    assert shown["rollout"] == phase


def test_a_port_that_is_not_there_is_null(control):
    control._ports[WEB].number = None
    assert views.show_listener(control.listener(WEB))["port"] is None
