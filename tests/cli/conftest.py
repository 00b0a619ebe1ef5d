"""The commands, and a real daemon for those that talk to one."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from tenantproxy.admin.views import whole_upstream
from tenantproxy.cli.main import root
from tenantproxy.model.spec import Discovery, UpstreamKey, UpstreamSpec
from tenantproxy.model.views import EndpointView, Totals
from tests.e2e import ports
from tests.support_control import memory_control

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    for name in [name for name in os.environ if name.startswith("TENANTPROXY_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def command() -> Callable[..., Result]:
    """Run a command in this process; standard output and error are apart."""

    def run(*args: object) -> Result:
        return CliRunner().invoke(root, [str(arg) for arg in args], prog_name="tenantproxy")

    return run


@dataclass
class Daemon:
    """A daemon in a process of its own."""

    folder: Path
    first: int
    """acme/web; then acme/idle, admin, metrics."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.first + 10}"

    @property
    def file(self) -> Path:
        return self.folder / "tenantproxy.yaml"

    def document(self) -> dict:
        first = self.first
        return {
            "version": 1,
            "proxy": {
                "workers": 1,
                "listen_address": "127.0.0.1",
                "port_range": f"{first}-{first + 9}",
                "admin": {"port": first + 10},
                "metrics": {"address": "127.0.0.1", "port": first + 11},
                "shutdown": {"keep_accepting": "0s", "drain": "0s"},
            },
            "tenants": {
                "acme": {
                    "labels": {"team": "payments"},
                    "upstreams": {
                        "v1": {"endpoints": ["127.0.0.1:9"]},
                        "v2": {"endpoints": ["127.0.0.1:9"]},
                    },
                    "listeners": {
                        "web": {"port": first, "split": {"v1": 90, "v2": 10}},
                        "idle": {
                            "port": first + 1,
                            "split": {"v1": 1},
                            "idle": {"after": "1h", "then": "sleep"},
                        },
                    },
                },
                "corp": {
                    "upstreams": {"v1": {"endpoints": ["127.0.0.1:9"]}},
                    "listeners": {"web": {"port": first + 2, "split": {"v1": 1}}},
                },
            },
        }

    def write(self, name: str, document: dict) -> Path:
        file = self.folder / name
        file.write_text(yaml.safe_dump(document, sort_keys=False))
        return file

    def start(self) -> None:
        file = self.write("tenantproxy.yaml", self.document())
        policies = self.folder / "policies"
        policies.mkdir()
        (policies / "idle.yaml").write_text("{name: rest, kind: idle, after: 1h, then: sleep}\n")
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tenantproxy", "run", "-c", str(file)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        deadline = time.monotonic() + 20
        while not self._ready():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "not ready in time"
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        try:
            assert self.process.wait(10) == 0, (self.folder / "log").read_text()
        finally:
            self.process.kill()
            self.process.wait()

    def ask(self, path: str) -> dict:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=5) as answer:
            return json.load(answer)

    def _ready(self) -> bool:
        try:
            return self.ask("/readyz")["ready"]
        except (urllib.error.URLError, OSError):
            return False


@pytest.fixture(scope="module")
def daemon(tmp_path_factory) -> Iterator[Daemon]:
    """One daemon for the tests of a module; they leave it as they find it."""
    made = Daemon(tmp_path_factory.mktemp("daemon"), ports.block(12))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def online(daemon, command) -> Callable[..., Result]:
    """Run a command that finds the daemon."""
    return lambda *args: command("--server", daemon.url, *args)


@pytest.fixture
def troubled() -> Callable[..., dict]:
    """Make the answer of the API about an upstream with one of everything; fields may be others."""
    control = memory_control()
    key = UpstreamKey("acme", "web-v1")
    states = ("healthy", *("unchecked",) * 4, "unhealthy", "unhealthy", "ejected", "unresolved")
    endpoints = tuple(
        EndpointView(
            f"10.0.0.{number}:80",
            None if state == "unresolved" else f"10.0.0.{number}",
            reason="" if state in ("healthy", "unchecked") else f"why {number}",
            weight=number,
            state=state,
            since_s=1000.0 - 10 * number,
            connections=number,
            connections_total=10 * number,
            failures=20 * number,
            ejections=30 * number,
            ejected_until_s=1090.0 if state == "ejected" else None,
        )
        for number, state in enumerate(states, start=1)
    )
    control.traffic.upstreams[key] = Totals(3, 33, bytes_in=1024, bytes_out=0)
    control.traffic.errors[key] = {"refused": 4, "timeout": 3}
    control.traffic.seen[key] = {
        "spec": UpstreamSpec(
            "acme", "web-v1", discovery=Discovery("srv", "_web._tcp.acme.svc"), max_connections=50
        ),
        "endpoints": endpoints,
        "awake": True,
        "discovery_reason": "SERVFAIL",
        "slots": 50,
        "waiting": 8,
        "spares": 9,
        "retries": 10,
        "retries_denied": 11,
        "ejections": 12,
        "checks": {"passed": 13, "failed": 14},
    }
    shown = whole_upstream(control.upstream(key))
    control.end()
    shown["spec"] |= {"health": None, "warm": 2}
    return lambda **fields: copy.deepcopy(shown) | fields
