"""Lines and records of a rollout that is followed."""

import json
from dataclasses import replace

import pytest
import yaml

from tenantproxy.admin.rollout_views import whole_rollout
from tenantproxy.cli.rollout_follow import Look
from tenantproxy.cli.rollout_shows import Lines, Records
from tenantproxy.model.rollout import Phase
from tests.support_control import WEB
from tests.support_rollouts import running


def item(**fields):
    return whole_rollout(running(WEB, 1000.0, **fields))


def event(name, reason):
    return {"at": "2026-01-31T12:00:00.000Z", "event": name, "reason": reason}


def test_lines_begin_with_where_it_is_and_go_on_with_its_events():
    lines = []
    show = Lines(lines.append)
    show.update(Look(item(), past=()))
    show.update(Look(item(looks=21)))
    show.update(Look(item(step=3), event("rollout_step", "step 3 of 4:\npause")))
    show.update(Look(item(step=3, looks=1)))
    assert lines == [
        "acme/web   web-v1 -> web-v2   running   step 2 of 4: 25% for 5m",
        "2026-01-31T12:00:00.000Z   rollout_step   step 3 of 4: pause",
    ]


def test_a_move_whose_event_never_came_has_a_line_too():
    lines = []
    show = Lines(lines.append)
    show.update(Look(item()))
    show.update(Look(item(phase=Phase.PAUSED, step=3)))
    assert lines[1:] == ["acme/web   web-v1 -> web-v2   paused   step 3 of 4: pause until resumed"]


def test_records_are_written_when_something_but_counters_changed(capsys):
    show = Records("json")
    show.update(Look(item()))
    busy = running(WEB, 1000.0)
    busy = replace(busy, canary=replace(busy.canary, opened=9999, seen=0.5))
    show.update(Look(whole_rollout(busy)))
    show.update(Look(whole_rollout(replace(busy, since_s=busy.since_s + 0.001))))
    show.update(Look(item(looks=21)))
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == item()
    assert second["looks"] == 21


@pytest.mark.parametrize("output", ["yaml", "name"])
def test_records_come_in_the_form_that_is_asked_for(capsys, output):
    show = Records(output)
    show.update(Look(item()))
    show.update(Look(item(step=3)))
    text = capsys.readouterr().out
    if output == "name":
        assert text == "rollout/acme/web\n" * 2
    else:
        assert [one["step"] for one in yaml.safe_load_all(text)] == [2, 3]
