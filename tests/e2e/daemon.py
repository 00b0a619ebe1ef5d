"""The real daemon as a subprocess, with a document of its own, and questions to it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml

from tests.e2e import ports, procfs
from tests.e2e.apart import ROOT

Tenants = dict[str, Any]


def document(tenants: Tenants, *, room: int = 20, **proxy: Any) -> dict[str, Any]:
    """Return a document on free ports; `room` is how many tenants' ports it may give.

    The first port of the range is `range_of(document)[0]`; admin and metrics
    ports lie just above the range.
    """
    first = ports.block(room + 2)
    settings = {
        "workers": 2,
        "listen_address": "127.0.0.1",
        "port_range": f"{first}-{first + room - 1}",
        "admin": {"address": "127.0.0.1", "port": first + room},
        "metrics": {"address": "127.0.0.1", "port": first + room + 1},
        "shutdown": {"keep_accepting": "0s", "drain": "1s"},
    }
    return {"version": 1, "proxy": settings | proxy, "tenants": copy.deepcopy(tenants)}


def range_of(doc: dict[str, Any]) -> range:
    """Return the numbers that tenants' ports may have."""
    first, last = doc["proxy"]["port_range"].split("-")
    return range(int(first), int(last) + 1)


def tenant(upstreams: dict[str, int | list[str]], **listeners: dict[str, Any]) -> dict[str, Any]:
    """Return a tenant; an upstream given as a number is a port of 127.0.0.1.

    `_` in a listener's name stands for `-`.
    """
    return {
        "upstreams": {
            name: {"endpoints": [f"127.0.0.1:{to}"] if isinstance(to, int) else to}
            for name, to in upstreams.items()
        },
        "listeners": {name.replace("_", "-"): spec for name, spec in listeners.items()},
    }


async def until(
    question: Callable[[], Any],
    *,
    within_s: float = 10.0,
    every_s: float = 0.02,
    say: Callable[[], object] | None = None,
) -> Any:
    """Ask until the answer is true, and return it; `say` explains a failure."""
    deadline = time.monotonic() + within_s
    while True:
        answer = question()
        if isinstance(answer, Awaitable):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {within_s} s: {say() if say else question}"
        await asyncio.sleep(every_s)


class Refused(Exception):
    """The API said no."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body}")
        self.status, self.body = status, body
        self.code = body.get("code") if isinstance(body, dict) else None
        problems = body.get("problems", ()) if isinstance(body, dict) else ()
        self.codes = {self.code, *(problem["code"] for problem in problems)}


class Daemon:
    """`python -m tenantproxy run -c FILE`; use with `async with`, which also stops it."""

    def __init__(
        self,
        folder: Path,
        doc: dict[str, Any],
        *,
        fd_limit: int | None = None,
        fails_to_stop: bool = False,
        ready_within_s: float = 20.0,
        environment: dict[str, str] | None = None,
        prefix: tuple[str, ...] = (),
    ) -> None:
        self.file = folder / "tenantproxy.yaml"
        self.log_file = folder / "daemon.log"
        self.document = doc
        self.fd_limit = fd_limit
        self.fails_to_stop = fails_to_stop
        """The test ends the daemon by its own means; leaving only cleans up."""
        self.ready_within_s = ready_within_s
        self.environment = environment or {}
        """Added to ours."""
        self.prefix = prefix
        """A command that runs the daemon as its own."""
        self.ready_after_s = 0.0
        """From the start of the process to the first 200 of `/readyz`."""
        self.process: subprocess.Popen[bytes] | None = None
        self._launched_s = 0.0
        self._session: aiohttp.ClientSession | None = None
        self._known: set[int] = set()

    # Life -----------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            self.launch()
            await self.wait_ready(self.ready_within_s)
        except BaseException:
            await self._clean_up()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and not self.fails_to_stop:
                assert await self.stop() == 0, self.log()[-3000:]
                assert "Traceback" not in self.log(), self.log()[-6000:]
        finally:
            await self._clean_up()

    def write(self, doc: dict[str, Any] | str | None = None) -> None:
        """Replace the document's file in one step, as editors and ConfigMaps do."""
        if isinstance(doc, dict):
            self.document = doc
        text = doc if isinstance(doc, str) else yaml.safe_dump(self.document, sort_keys=False)
        beside = self.file.with_suffix(".new")
        beside.write_text(text)
        beside.replace(self.file)

    def command(self) -> list[str]:
        """Return what is started."""
        return [*self.prefix, sys.executable, "-m", "tenantproxy", "run", "-c", str(self.file)]

    def launch(self, *, write: bool = True) -> None:
        """Start the process; it may not be ready yet."""
        if write:
            self.write()
        command = self.command()
        if self.fd_limit is not None:
            command = ["sh", "-c", f'ulimit -n {self.fd_limit}; exec "$@"', "sh", *command]
        self._launched_s = time.monotonic()
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self.environment,
            )

    async def wait_ready(self, within_s: float = 20.0) -> None:
        """Wait until `/readyz` answers 200."""

        async def ready() -> bool:
            assert self.process.poll() is None, f"it ended: {self.log()[-3000:]}"
            try:
                return await self.readyz() == 200
            except aiohttp.ClientError:
                return False

        await until(ready, within_s=within_s, every_s=0.005)
        self.ready_after_s = time.monotonic() - self._launched_s
        self._known.update(self.processes())

    async def wait_end(self, within_s: float = 15.0) -> int:
        """Return the exit code; none of its processes is left."""
        self._known.update(self.processes())
        await until(lambda: self.process.poll() is not None, within_s=within_s)
        await until(lambda: not any(procfs.is_alive(pid) for pid in self._known), within_s=3)
        return self.process.returncode

    async def stop(self, within_s: float = 15.0) -> int:
        """SIGTERM, and return the exit code."""
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
        return await self.wait_end(within_s)

    async def _clean_up(self) -> None:
        if self._session is not None:
            await self._session.close()
        if self.process is None:
            return
        if self.process.poll() is None:
            self._known.update(self.processes())
            self.process.kill()
        self.process.wait()
        for pid in self._known:
            if procfs.is_alive(pid) and "tenantproxy" in " ".join(procfs.command(pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    # Processes --------------------------------------------------------------

    @property
    def pid(self) -> int:
        return self.process.pid

    def workers(self) -> list[int]:
        """Return the pids of the worker processes that run."""
        return [
            pid
            for pid in procfs.descendants(self.pid)
            if "tenantproxy.dataplane.worker" in procfs.command(pid) and procfs.is_alive(pid)
        ]

    def processes(self) -> list[int]:
        if self.process.poll() is not None:
            return []
        return [self.pid, *procfs.descendants(self.pid)]

    def fds(self) -> dict[int, int]:
        """Return the number of file descriptors of the daemon and of each worker."""
        return {pid: procfs.fds(pid) for pid in [self.pid, *self.workers()]}

    # Log ----------------------------------------------------------------------

    def log(self) -> str:
        return self.log_file.read_text()

    def log_events(self) -> list[dict[str, Any]]:
        """Return the lines of the log; each must be JSON, for it is not a terminal."""
        return [json.loads(line) for line in self.log().splitlines()]

    # API ------------------------------------------------------------------------

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.document['proxy']['admin']['port']}"

    @property
    def metrics_url(self) -> str:
        return f"http://127.0.0.1:{self.document['proxy']['metrics']['port']}/metrics"

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        return self._session

    async def readyz(self) -> int:
        async with self.session.get(f"{self.admin_url}/readyz") as answer:
            return answer.status

    async def api(self, method: str, route: str, body: Any = None, **query: str) -> Any:
        """Ask `/api/v1/ROUTE`; return the JSON.

        Raises:
            Refused: the status is 400 or above.
        """
        async with self.session.request(
            method, f"{self.admin_url}/api/v1/{route}", json=body, params=query
        ) as answer:
            text = await answer.text()
            try:
                value = json.loads(text) if text else None
            except ValueError:
                value = text
            if answer.status >= 400:
                raise Refused(answer.status, value)
            return value

    async def listener(self, name: str) -> dict[str, Any]:
        """Return the listener `tenant/listener`."""
        owner, listener = name.split("/")
        return await self.api("GET", f"tenants/{owner}/listeners/{listener}")

    async def act(self, name: str, verb: str, **query: str) -> dict[str, Any]:
        """POST `open`, `sleep` or `close` of `tenant/listener`."""
        owner, listener = name.split("/")
        return await self.api("POST", f"tenants/{owner}/listeners/{listener}/{verb}", **query)

    async def set_split(self, name: str, **weights: int) -> None:
        """PUT the split; `_` in an upstream's name stands for `-`."""
        owner, listener = name.split("/")
        body = {upstream.replace("_", "-"): weight for upstream, weight in weights.items()}
        await self.api("PUT", f"tenants/{owner}/listeners/{listener}/split", body)

    async def port(self, name: str) -> int:
        return (await self.listener(name))["port"]

    async def wait_state(self, name: str, *states: str, within_s: float = 10.0) -> dict[str, Any]:
        """Wait until the listener is in one of the states."""

        async def look() -> dict[str, Any] | None:
            view = await self.listener(name)
            return view if view["state"] in states else None

        return await until(look, within_s=within_s)

    async def generation(self) -> int:
        """Return the number of the generation that runs."""
        made = await self.items("generations")
        return max(g["number"] for g in made if g["result"] == "applied")

    async def items(self, route: str, **query: str) -> list[dict[str, Any]]:
        """Return a list route, with or without an `items` wrapper."""
        got = await self.api("GET", route, **query)
        return got["items"] if isinstance(got, dict) else got

    # Metrics ------------------------------------------------------------------------

    async def metrics(self) -> dict[str, float]:
        """Return every sample: `name{labels}` -> value."""
        async with self.session.get(self.metrics_url) as answer:
            assert answer.status == 200
            text = await answer.text()
        found = re.findall(r"^([a-zA-Z_:]\w*(?:\{.*?\})?) (\S+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in found}


def totals(samples: dict[str, float]) -> dict[str, float]:
    """Return those samples that may never go down."""
    return {
        name: value
        for name, value in samples.items()
        if re.search(r"_(total|count|sum|bucket)(\{|$)", name) and name.startswith("tenantproxy_")
    }
