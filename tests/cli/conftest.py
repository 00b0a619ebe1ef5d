"""The commands, and a real daemon for those that talk to one."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from tenantproxy import clock
from tenantproxy.admin.app import make_app
from tenantproxy.admin.views import whole_upstream
from tenantproxy.cli.main import root
from tenantproxy.metrics.site import start_site
from tenantproxy.model.spec import Discovery, UpstreamKey, UpstreamSpec
from tenantproxy.model.views import EndpointView, Totals
from tests.e2e import ports
from tests.support_control import WEB, MemoryControl, memory_control
from tests.support_rollouts import running

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


class Remote:
    """The admin API over a control side without sockets, on the loop of a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.control, self._runner, self.url = self._wait(self._start())

    def do(self, work: Callable[[], Any]) -> Any:
        """Do it where the control side lives."""

        async def call() -> Any:
            return work()

        return self._wait(call())

    def roll(self, **fields: Any) -> None:
        """Let acme/web be in the middle of a rollout; fields may be others."""
        made = running(WEB, clock.wall_s(), **fields)

        async def put() -> None:
            await self.control.put_rollout(WEB, made.spec)
            self.control.rolling.views[WEB] = made

        self._wait(put())

    def tell(self, event: str, reason: str, **fields: Any) -> None:
        """Let it move on, with an event; to be called in the loop's thread."""
        if fields:
            self.control.rolling.set(WEB, reason=reason, **fields)
        self.control.log.add(event, reason, tenant="acme", about="listener/web")

    def script(self, *steps: Callable[[], Any]) -> Future[None]:
        """Do one after the other, each when somebody watches and has looked since the last."""

        async def run() -> None:
            looked = self.control.looked
            for step in steps:
                while not self.control.log._followers or self.control.looked == looked:
                    await asyncio.sleep(0.01)
                looked = self.control.looked
                step()

        return asyncio.run_coroutine_threadsafe(run(), self._loop)

    def stop(self) -> None:
        self.do(self.control.end)
        self._wait(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> tuple[MemoryControl, Any, str]:
        control = memory_control()
        runner, port = await start_site(make_app(control, token=None), "127.0.0.1", 0, "admin")
        return control, runner, f"http://127.0.0.1:{port}"

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)


@pytest.fixture
def remote() -> Iterator[Remote]:
    with capture_logs():  # a log on standard output would be taken for a command's
        made = Remote()
        yield made
        made.stop()


@pytest.fixture
def there(remote, command) -> Callable[..., Result]:
    """Run a command that finds the remote."""
    return lambda *args: command("--server", remote.url, *args)


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
