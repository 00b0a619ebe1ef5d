"""`rollout`: the commands, `status` in every form, and waiting for the end."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
import yaml

from tenantproxy.errors import Conflict
from tenantproxy.model.rollout import Phase
from tests.cli.conftest import ROOT
from tests.support_control import WEB

NAME = "acme/web"


def rows(result):
    assert result.exit_code == 0, result.output
    return [re.split(r"  +", line.strip()) for line in result.stdout.splitlines()]


@pytest.fixture
def rolling(remote):
    remote.roll()
    return remote


def test_a_command_answers_with_the_row_of_the_rollout(there, rolling):
    titles, row = rows(there("rollout", "pause", NAME))
    shown = dict(zip(titles, row, strict=True))
    assert (shown["NAME"], shown["STATE"], shown["STEP"]) == (NAME, "paused", "2/4")
    assert (shown["WEIGHT"], shown["SEEN"], shown["WHY"]) == ("25%", "24.6%", "asked to pause")
    assert rolling.control.rollout(WEB).phase is Phase.PAUSED


@pytest.mark.parametrize(
    ("verb", "before", "after"),
    [
        ("start", Phase.WAITING, Phase.RUNNING),
        ("pause", Phase.RUNNING, Phase.PAUSED),
        ("resume", Phase.PAUSED, Phase.RUNNING),
        ("promote", Phase.RUNNING, Phase.PROMOTING),
        ("abort", Phase.RUNNING, Phase.ROLLING_BACK),
        ("rollback", Phase.SUCCEEDED, Phase.ROLLING_BACK),
    ],
)
def test_each_command_does_what_it_is_called(there, rolling, verb, before, after):
    rolling.control.rolling.set(WEB, phase=before)
    result = there("rollout", verb, NAME, "-o", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["state"] == after
    assert rolling.control.rollout(WEB).phase is after


def test_a_command_that_does_not_fit_is_refused_with_the_way_out(there, rolling):
    result = there("rollout", "resume", NAME)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == ("error: the rollout of acme/web is running\nhint: no time to resume\n")


def test_a_dry_run_says_what_it_is_about_and_does_nothing(there, rolling):
    before = rolling.control.rollout(WEB)
    result = there("rollout", "promote", NAME, "--dry-run")
    assert result.exit_code == 0
    assert result.stdout == "~ rollout acme/web: running, step 2 of 4, 25% -> promote\n"
    assert result.stderr == "dry run: nothing was changed\n"
    said = json.loads(there("rollout", "promote", NAME, "--dry-run", "-o", "json").stdout)
    assert said["dry_run"] is True
    assert there("rollout", "resume", NAME, "--dry-run").exit_code == 1
    assert rolling.control.rollout(WEB) is before


def test_without_a_rollout_there_is_nothing_to_command(there):
    for command in ("start", "status"):
        result = there("rollout", command, NAME)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "has no rollout" in result.stderr


def test_status_is_a_page_with_what_happened_of_late(there, rolling):
    rolling.do(lambda: rolling.tell("rollout_step", "step 2 of 4: 25% for 5m"))
    rolling.do(lambda: rolling.tell("opened", "a connection came"))
    result = there("rollout", "status", NAME)
    assert result.exit_code == 0
    text = result.stdout
    assert text.splitlines()[0] == (
        "acme/web   web-v1 -> web-v2   running   step 2 of 4: 25% for 5m"
    )
    assert re.search(r"Next: +in 1m(39|40)s at the earliest", text)
    assert re.search(r"0s   rollout_step   acme/web   step 2 of 4", text)
    assert "a connection came" not in text
    assert "\x1b" not in text
    assert result.stderr == ""


def test_describe_tells_the_same(there, rolling):
    described = there("describe", "rollout", NAME).stdout
    assert re.sub(r"\d+s", "", described) == re.sub(
        r"\d+s", "", there("rollout", "status", NAME).stdout
    )
    wrong = there("describe", "rollout", "acme")
    assert wrong.exit_code == 2
    assert "TENANT/NAME" in wrong.stderr


def test_status_as_data_is_what_the_api_says(there, rolling):
    shown = json.loads(there("rollout", "status", NAME, "-o", "json").stdout)
    assert (shown["state"], shown["spec"]["to"]) == ("running", "web-v2")
    assert yaml.safe_load(there("rollout", "status", NAME, "-o", "yaml").stdout) == shown
    assert there("rollout", "status", NAME, "-o", "name").stdout == "rollout/acme/web\n"


def test_rollouts_are_listed_in_every_form(there, rolling):
    assert [row[:4] for row in rows(there("get", "rollouts"))] == [
        ["NAME", "FROM", "TO", "STATE"],
        [NAME, "web-v1", "web-v2", "running"],
    ]
    titles, row = rows(there("get", "ro", NAME, "-o", "wide"))
    wide = dict(zip(titles, row, strict=True))
    assert (wide["PORT"], wide["PREVIEW"]) == ("21000", "21005")
    assert wide["CHECKS"] == "1 failed, 1 no_data"
    assert wide["WAITS-FOR"] == "samples for first_byte_p99"
    assert wide["DRY-RUN"] == "no"
    assert there("get", "rollout", "acme", "-o", "name").stdout == "rollout/acme/web\n"
    assert there("get", "rollouts", "umbrella").stderr == "no rollouts\n"
    assert len(json.loads(there("get", "rollouts", "-o", "json").stdout)["items"]) == 1


def test_a_step_that_may_end_is_due_and_one_without_a_time_has_none(there, rolling):
    rolling.control.rolling.set(WEB, step_until_s=1.0)
    titles, row = rows(there("get", "rollouts"))
    assert dict(zip(titles, row, strict=True))["NEXT"] == "due"
    rolling.control.rolling.set(WEB, step_until_s=None)
    titles, row = rows(there("get", "rollouts"))
    assert dict(zip(titles, row, strict=True))["NEXT"] == "-"


def test_a_listener_says_that_it_has_a_rollout(there, rolling):
    text = there("describe", "listener", NAME).stdout
    assert re.search("Rollout: +running; `describe rollout` tells more", text)
    titles, row, *_ = rows(there("get", "li", "acme", "-o", "wide"))
    assert dict(zip(titles, row, strict=True))["ROLLOUT"] == "running"


def test_a_split_that_a_rollout_owns_is_refused_with_the_way_out(there, rolling, monkeypatch):
    class Owned(Conflict):
        code = "rollout_owns_split"

    async def owned(key, split, *, dry_run):
        raise Owned(
            "the rollout of acme/web is running and owns its split",
            hint="let it end, or end it: `tenantproxy rollout abort acme/web`",
        )

    monkeypatch.setattr(rolling.control, "set_split", owned)
    result = there("set", "split", NAME, "web-v1=1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "error: the rollout of acme/web is running and owns its split\n"
        "hint: let it end, or end it: `tenantproxy rollout abort acme/web`\n"
    )


# Waiting ------------------------------------------------------------------------


def step(remote, event, phase, number):
    return lambda: remote.tell(event, f"so it is {phase}", phase=phase, step=number)


def test_waiting_ends_with_success_and_tells_on_standard_error_what_happened(there, rolling):
    script = rolling.script(
        step(rolling, "rollout_step", Phase.RUNNING, 4),
        step(rolling, "rollout_promoting", Phase.PROMOTING, 4),
        step(rolling, "rollout_succeeded", Phase.SUCCEEDED, 4),
    )
    result = there("rollout", "status", NAME, "--wait", "--timeout", "1m")
    script.result(30)
    assert result.exit_code == 0
    titles, row = rows(result)
    assert dict(zip(titles, row, strict=True))["STATE"] == "succeeded"
    said = [line.split("   ") for line in result.stderr.splitlines()]
    assert said[0] == [NAME, "web-v1 -> web-v2", "running", "step 2 of 4: 25% for 5m"]
    assert [line[1] for line in said[1:]] == [
        "rollout_step",
        "rollout_promoting",
        "rollout_succeeded",
    ]


@pytest.mark.parametrize(
    ("phase", "code"),
    [
        (Phase.ROLLED_BACK, 1),
        (Phase.FAILED, 1),
        (Phase.ABORTED, 1),
        (Phase.PAUSED, 3),
        (Phase.SUCCEEDED, 0),
    ],
)
def test_the_exit_code_tells_how_it_ended_and_the_data_does_too(there, rolling, phase, code):
    script = rolling.script(step(rolling, f"rollout_{phase}", phase, 2))
    result = there("rollout", "status", NAME, "--wait", "-o", "json")
    script.result(30)
    assert result.exit_code == code
    assert json.loads(result.stdout)["state"] == phase


def test_one_that_has_ended_is_not_waited_for(there, rolling):
    rolling.control.rolling.set(WEB, phase=Phase.ROLLED_BACK)
    assert there("rollout", "status", NAME, "--wait").exit_code == 1


def test_a_command_may_wait_too(there, rolling):
    rolling.control.rolling.set(WEB, phase=Phase.WAITING, step=0)
    script = rolling.script(step(rolling, "rollout_succeeded", Phase.SUCCEEDED, 4))
    result = there("rollout", "start", NAME, "--wait")
    script.result(30)
    assert result.exit_code == 0
    assert "succeeded" in result.stdout
    rolling.control.rolling.set(WEB, phase=Phase.RUNNING)
    script = rolling.script(step(rolling, "rollout_aborted", Phase.ABORTED, 2))
    result = there("rollout", "abort", NAME, "--wait")
    script.result(30)
    assert result.exit_code == 0  # that is what was asked for


def test_a_wait_that_is_too_long_fails_and_says_how_far_it_is(there, rolling):
    result = there("rollout", "status", NAME, "--wait", "--timeout", "300ms")
    assert (result.exit_code, result.stdout) == (1, "")
    error = result.stderr.splitlines()[-2:]
    assert error[0].startswith("error: the rollout of acme/web has not ended in ")
    assert error[0].endswith("it is running: step 2 of 4: 25% for 5m")
    assert error[1].startswith("hint: it goes on")


def test_a_daemon_that_goes_away_ends_the_wait_with_an_error(there, rolling):
    script = rolling.script(rolling.control.end)
    result = there("rollout", "status", NAME, "--wait")
    script.result(30)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "ended the stream of events" in result.stderr


def test_a_rollout_that_is_taken_away_ends_the_wait_with_an_error(there, rolling):
    def gone():
        rolling.control.rolling.follow(WEB, None)
        rolling.tell("rollout_aborted", "its listener has none any more")

    script = rolling.script(gone)
    result = there("rollout", "status", NAME, "--wait")
    script.result(30)
    assert result.exit_code == 1
    assert "has no rollout" in result.stderr


def test_a_timeout_without_wait_and_one_that_is_no_time_are_wrong_usage(there):
    for arguments in (["--timeout", "5s"], ["--wait", "--timeout", "5"]):
        for command in ("status", "start"):
            result = there("rollout", command, NAME, *arguments)
            assert result.exit_code == 2
    assert "5s for seconds" in result.stderr


def test_a_real_daemon_takes_a_rollout_and_its_commands(online, daemon):
    document = daemon.document()
    document["tenants"]["acme"]["listeners"]["web"]["rollout"] = {
        "from": "v1",
        "to": "v2",
        "start": "manual",
        "steps": [{"weight": 20, "hold": "1h"}],
    }
    assert online("apply", "-f", daemon.write("rollout.yaml", document)).exit_code == 0
    assert "before step 1 of 1" in online("rollout", "status", NAME).stdout
    assert "-> start" in online("rollout", "start", NAME, "--dry-run").stdout
    assert "running" in online("rollout", "start", NAME).stdout
    split = daemon.ask("/api/v1/tenants/acme/listeners/web/split")
    assert split["v2"] * 4 == split["v1"]
    refused = online("set", "split", NAME, "v1=1")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: ")
    assert "rollout abort" in refused.stderr
    status = online("rollout", "status", NAME).stdout
    assert status.splitlines()[0] == "acme/web   v1 -> v2   running   step 1 of 1: 20% for 1h"
    assert "rollout_started" in status
    assert online("rollout", "pause", NAME, "--wait").exit_code == 3
    assert online("rollout", "resume", NAME).exit_code == 0
    ended = online("rollout", "abort", NAME, "--wait", "--timeout", "1m", "-o", "json")
    assert ended.exit_code == 0, ended.stderr
    assert json.loads(ended.stdout)["state"] == "aborted"
    assert online("rollout", "status", NAME, "--wait").exit_code == 1
    assert online("apply", "-f", daemon.file).exit_code == 0
    assert online("rollout", "status", NAME).exit_code == 1


# Watching -----------------------------------------------------------------------


class Watching:
    """A command in a process of its own, read line by line."""

    def __init__(self, remote, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tenantproxy", "--server", remote.url, *arguments],
            cwd=ROOT,
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self):
        return self.process.stdout.readline().rstrip("\n")

    def end(self, number=None):
        if number is not None:
            self.process.send_signal(number)
        rest, self.error = self.process.communicate(timeout=30)
        assert rest == ""
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def test_away_from_a_terminal_a_watch_is_a_line_for_each_event_and_ctrl_c_ends_it(rolling):
    with Watching(rolling, "rollout", "status", NAME, "--watch") as watching:
        assert watching.line() == "acme/web   web-v1 -> web-v2   running   step 2 of 4: 25% for 5m"
        rolling.do(step(rolling, "rollout_paused", Phase.PAUSED, 3))
        assert watching.line().split("   ")[1:] == ["rollout_paused", "so it is paused"]
        assert watching.end(signal.SIGINT) == 0
        assert watching.error == ""


def test_as_json_a_watch_is_an_object_for_each_change(rolling):
    with Watching(rolling, "rollout", "status", NAME, "--watch", "-o", "json") as watching:
        assert json.loads(watching.line())["state"] == "running"
        rolling.do(lambda: rolling.tell("rollout_inconclusive", "nothing moved"))
        rolling.do(step(rolling, "rollout_paused", Phase.PAUSED, 3))
        assert json.loads(watching.line())["step"] == 3
        assert watching.end(signal.SIGINT) == 0
        assert watching.error == ""


def test_a_watch_that_waits_shows_it_and_ends_with_it(rolling):
    with Watching(rolling, "rollout", "status", NAME, "--watch", "--wait") as watching:
        watching.line()
        rolling.do(step(rolling, "rollout_rolled_back", Phase.ROLLED_BACK, 2))
        assert "rollout_rolled_back" in watching.line()
        assert watching.end() == 1
        assert watching.error == ""


def test_a_list_of_rollouts_can_be_watched(rolling):
    with Watching(rolling, "get", "rollouts", "--watch", "-o", "json") as watching:
        assert json.loads(watching.line())["state"] == "running"
        rolling.do(step(rolling, "rollout_paused", Phase.PAUSED, 3))
        assert json.loads(watching.line())["state"] == "paused"

        def gone():
            rolling.control.rolling.follow(WEB, None)
            rolling.tell("rollout_aborted", "its listener has none any more")

        rolling.do(gone)
        assert json.loads(watching.line()) == {"removed": "rollout/acme/web"}
        assert watching.end(signal.SIGINT) == 0
