"""`get --watch`: rows as they change."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading

import pytest

from tests.cli.conftest import ROOT


class Watching:
    """A `get --watch` in a process of its own, read line by line."""

    def __init__(self, daemon, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tenantproxy", "--server", daemon.url, "get", *arguments, "-w"],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))

    def line(self):
        return self._lines.get(timeout=10)

    def silent(self):
        return self._lines.empty()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)
        self._reader.join()
        self.process.stdout.close()
        self.error = self.process.stderr.read()
        self.process.stderr.close()


def test_a_row_is_printed_when_a_listener_changes_and_ctrl_c_ends_it(daemon, online):
    with Watching(daemon, "listeners", "acme") as watching:
        assert watching.line().startswith("NAME ")
        assert [watching.line().split()[0] for _ in range(2)] == ["acme/idle", "acme/web"]
        online("open", "corp/web")  # not asked for
        online("open", "acme/web")
        assert watching.line().split()[:3] == ["acme/web", str(daemon.first), "open"]
        online("sleep", "acme/web")
        assert watching.line().split()[2] == "asleep"
        assert watching.silent()
    assert watching.process.returncode == 0
    assert watching.error == ""


def test_json_is_one_object_a_line(daemon, online):
    with Watching(daemon, "listeners", "acme/web", "-o", "json") as watching:
        assert json.loads(watching.line())["state"] == "asleep"
        online("open", "acme/web")
        assert json.loads(watching.line())["state"] == "open"
        online("sleep", "acme/web")
        assert json.loads(watching.line())["state"] == "asleep"


def test_a_tenant_that_comes_and_goes_is_told(daemon, online):
    bigger = daemon.document()
    bigger["tenants"]["new"] = {}
    with Watching(daemon, "tenants") as watching:
        assert [watching.line().split()[0] for _ in range(3)] == ["NAME", "acme", "corp"]
        assert online("apply", "-f", daemon.write("bigger.yaml", bigger)).exit_code == 0
        assert watching.line().split()[0] == "new"
        assert online("apply", "-f", daemon.file).exit_code == 0
        assert watching.line().split() == ["new", "removed"]


def test_events_go_on(daemon, online):
    with Watching(daemon, "events", "corp/web", "-o", "json") as watching:
        online("sleep", "corp/web")
        online("open", "corp/web")
        online("sleep", "corp/web")
        seen = [json.loads(watching.line()) for _ in range(3)]
        while [event["event"] for event in seen[-3:]] != ["slept", "opened", "slept"]:
            seen.append(json.loads(watching.line()))
        numbers = [event["number"] for event in seen]
        assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("kind", ["generations", "policies"])
def test_kinds_without_a_tenant_can_be_watched(daemon, online, kind):
    with Watching(daemon, kind, "-o", "name") as watching:
        first = watching.line()
        assert first.startswith(("generation/", "policy/"))
        if kind == "generations":
            while first != "generation/1":
                first = watching.line()
            online("set", "split", "acme/web", "v1=1")
            assert int(watching.line().removeprefix("generation/")) > 1
            online("set", "split", "acme/web", "v1=90", "v2=10")
