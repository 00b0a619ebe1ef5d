"""The scene: upstreams good and bad, a daemon, clients, and a Prometheus that watches.

Everything that a metric can tell happens here within seconds: ports sleep,
wake and fail, a document is refused, a rollout goes through its steps and is
taken back, a worker is killed, and of upstreams endpoints fall ill and get
well, are ejected, tried again, and full.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tenantproxy.cli.demo_upstream import serving
from tools.observe import traffic
from tools.observe.traffic import HOST, ask, leave_at_once, repeatedly, stay

RULES = Path(__file__).parents[2] / "grafana" / "rules" / "tenantproxy.yaml"
SCRAPE_S = 1
_READY_WITHIN_S = 20.0
_END_WITHIN_S = 20.0


class NoPrometheus(Exception):
    """There is no `prometheus` on PATH."""


@dataclass
class Scene:
    """What runs, and where."""

    admin: int
    metrics: int
    prometheus: int
    ports: dict[str, int]
    moody: tuple[int, ...]
    """Ports of the endpoints that come and go."""
    document: Path
    http: aiohttp.ClientSession

    @property
    def prometheus_url(self) -> str:
        return f"http://{HOST}:{self.prometheus}"

    async def api(self, method: str, route: str, body: Any = None) -> Any:
        """Ask the daemon's API and return the JSON of a good answer, else None."""
        url = f"http://{HOST}:{self.admin}/api/v1/{route}"
        async with self.http.request(method, url, json=body) as answer:
            return await answer.json() if answer.ok else None

    async def query(self, expr: str) -> list[Any]:
        """Return what Prometheus answers now.

        Raises:
            ValueError: it refuses the query.
        """
        url = f"{self.prometheus_url}/api/v1/query"
        async with self.http.post(url, data={"query": expr}) as answer:
            said = await answer.json()
        if said["status"] != "success":
            raise ValueError(said["error"])
        found: list[Any] = said["data"]["result"]
        return found


@contextlib.asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Run the scene in an empty folder; leaving ends every process of it.

    Raises:
        NoPrometheus: it is not installed.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise NoPrometheus("prometheus is not installed (Debian: apt-get install prometheus)")
    async with contextlib.AsyncExitStack() as stack:
        stable = await stack.enter_async_context(serving("stable"))
        canary = await stack.enter_async_context(serving("canary"))
        deaf = await stack.enter_async_context(traffic.deaf())
        admin, metrics, prometheus = _free_ports(3)
        first = _free_range()
        ports = {name: first + at for at, name in enumerate(LISTENERS)}
        path = folder / "tenantproxy.yaml"
        moody = tuple(range(first + _RANGE - _MOODY, first + _RANGE))
        servers = (stable.port, canary.port, deaf, *moody)
        path.write_text(_document(admin, metrics, prometheus, ports, servers))
        (folder / "idle.yaml").write_text(_POLICY)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        await stack.enter_async_context(
            _running(folder / "daemon.log", sys.executable, "-m", "tenantproxy", "run", "-c", path)
        )
        made = Scene(admin, metrics, prometheus, ports, moody, path, http)
        await _until_ready(made, f"http://{HOST}:{admin}/readyz")
        config = folder / "prometheus.yaml"
        config.write_text(_prometheus_config(metrics))
        await stack.enter_async_context(
            _running(
                folder / "prometheus.log",
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={HOST}:{made.prometheus}",
            )
        )
        await _until_ready(made, f"{made.prometheus_url}/-/ready")
        acting = asyncio.ensure_future(_act(made))
        try:
            yield made
        finally:
            acting.cancel()
            await asyncio.gather(acting, return_exceptions=True)


_RANGE, _MOODY = 20, 2
"""Ports in a row that are the scene's, and how many of them, the last, are moody endpoints'."""
LISTENERS = ("web", "api", "flaky", "ailing", "narrow", "nap", "stuck", "taken")

_POLICY = """\
name: scene-naps
kind: idle
match: {tenants: [lab], listeners: [nap]}
after: 2s
then: sleep
"""


def _document(
    admin: int, metrics: int, prometheus: int, ports: dict[str, int], servers: tuple[int, ...]
) -> str:
    stable, canary, deaf, *moody = (f"{HOST}:{port}" for port in servers)
    refusing = f"{HOST}:{traffic.refusing()}"
    first = min(ports.values())
    doc = {
        "version": 1,
        "proxy": {
            "workers": 2,
            "listen_address": HOST,
            "port_range": f"{first}-{first + _RANGE - _MOODY - 1}",
            "admin": {"address": HOST, "port": admin},
            "metrics": {"address": HOST, "port": metrics},
            "policies": ["idle.yaml"],
            "shutdown": {"keep_accepting": "0s", "drain": "0s"},
        },
        "tenants": {
            "shop": {
                "upstreams": {
                    "stable": {"endpoints": [stable]},
                    "canary": {"endpoints": [canary]},
                    "broken": {"endpoints": [refusing]},
                    **_ailing(stable, canary, deaf, refusing, moody),
                },
                "listeners": {
                    "web": {
                        "port": ports["web"],
                        "split": {"stable": 90, "canary": 10},
                        "rollout": _rollout(f"http://{HOST}:{prometheus}"),
                    },
                    "api": {"port": ports["api"], "split": {"stable": 1}, "open": "always"},
                    "flaky": {"port": ports["flaky"], "split": {"stable": 7, "broken": 3}},
                    "ailing": {
                        "port": ports["ailing"],
                        "split": {"moody": 1, "jumpy": 1, "swamped": 1},
                    },
                    "narrow": {"port": ports["narrow"], "split": {"narrow": 1}},
                },
            },
            "lab": {
                "upstreams": {
                    "main": {"endpoints": [stable]},
                    "deaf": {"endpoints": [deaf]},
                    "lost": {"endpoints": ["no-such-host.invalid:80"]},
                },
                "listeners": {
                    "nap": {"port": ports["nap"], "split": {"main": 1}},
                    "stuck": {
                        "port": ports["stuck"],
                        "split": {"deaf": 1, "lost": 1},
                        "wake": {"hold": 1},
                    },
                    "taken": {"port": ports["taken"], "split": {"main": 1}},
                },
            },
        },
    }
    return yaml.safe_dump(doc, sort_keys=False)


def _rollout(prometheus: str) -> dict[str, Any]:
    """Return a rollout with a pause, judged by what the proxy sees and by this Prometheus."""
    query = (
        'sum(rate(tenantproxy_upstream_connect_errors_total{tenant="{{tenant}}",'
        ' upstream="{{canary}}"}[1m])) or vector(0)'
    )
    return {
        "from": "stable",
        "to": "canary",
        "start": "manual",
        "steps": [
            {"weight": 10, "hold": "5s"},
            {"weight": 25, "hold": "5s"},
            {"pause": True},
            {"weight": 50, "hold": "5s"},
        ],
        "analysis": {
            "every": "1s",
            "checks": [
                {"signal": "connect_failures", "max": "50%"},
                {"signal": "resets", "over_stable": "50%"},
                {"prometheus": {"url": prometheus, "query": query, "max": 1}},
            ],
        },
    }


def _ailing(
    stable: str, canary: str, deaf: str, refusing: str, moody: list[str]
) -> dict[str, dict[str, Any]]:
    """Return the upstreams with which something is wrong now and then."""
    return {
        # Checked: one endpoint falls ill, then two of three do, which is panic.
        "moody": {
            "endpoints": [stable, *moody],
            "health": {"tcp": {}, "every": "500ms", "timeout": "500ms", "fall": 2, "rise": 1},
            "warm": 2,
        },
        # Not checked: the one that refuses is ejected, comes back, and is ejected again.
        "jumpy": {
            "endpoints": [stable, canary, refusing],
            "outlier": {"consecutive_failures": 2, "eject_for": "2s", "eject_for_most": "4s"},
        },
        # Second attempts hang, so that there are soon more of them than the budget allows.
        "swamped": {
            "endpoints": [refusing, deaf],
            "connect": {"timeout": "2s", "tries": 2},
            "outlier": None,
        },
        "narrow": {
            "endpoints": [stable],
            "max_connections": 3,
            "queue": {"size": 2, "timeout": "1s"},
        },
    }


def _prometheus_config(metrics: int) -> str:
    return yaml.safe_dump(
        {
            "global": {
                "scrape_interval": f"{SCRAPE_S}s",
                "evaluation_interval": f"{SCRAPE_S}s",
            },
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {
                    "job_name": "tenantproxy",
                    "static_configs": [{"targets": [f"{HOST}:{metrics}"]}],
                }
            ],
        }
    )


async def _act(scene: Scene) -> None:
    """Let everything happen, over and over, until cancelled."""
    ports = scene.ports
    async with asyncio.TaskGroup() as group:
        for every_s, what, args in (
            (0.02, ask, (ports["web"],)),
            (0.1, ask, (ports["api"],)),
            (1.0, stay, (ports["api"], 10.0)),
            (0.5, stay, (ports["web"], 10.0)),
            (0.1, ask, (ports["flaky"],)),
            (0.05, ask, (ports["ailing"],)),
            (0.5, stay, (ports["narrow"], 4.0)),
            (6.0, ask, (ports["nap"],)),
            (0.2, leave_at_once, (ports["stuck"], 0.05)),
        ):
            group.create_task(repeatedly(every_s, what, *args))
        for number, port in enumerate(scene.moody, start=1):
            up_s = 6 * number * SCRAPE_S
            group.create_task(traffic.moods(port, up_s, down_s=6 * SCRAPE_S))
        group.create_task(_roll_out(scene))
        group.create_task(_rewrite(scene))
        group.create_task(_crowd(scene))
        group.create_task(_take_a_port(scene))
        group.create_task(_kill_a_worker(scene))


async def _roll_out(scene: Scene) -> None:
    """Let the rollout go to its end and take it back, as a person would, over and over."""
    route = "tenants/shop/listeners/web/rollout"
    while True:
        # A command, and the state in which it fits. Each state lasts long enough to be asked about.
        for command, state in (("start", None), ("resume", "paused"), ("rollback", "succeeded")):
            while state is not None and (await scene.api("GET", route) or {}).get("state") != state:
                await asyncio.sleep(SCRAPE_S)
            await asyncio.sleep(6 * SCRAPE_S)
            await scene.api("POST", f"{route}/{command}")


async def _rewrite(scene: Scene) -> None:
    """Break the document and mend it again."""
    good = scene.document.read_text()
    while True:
        await asyncio.sleep(3 * SCRAPE_S)
        scene.document.write_text(good.replace("split:", "splt:", 1))
        await asyncio.sleep(5 * SCRAPE_S)
        scene.document.write_text(good)
        await asyncio.sleep(20 * SCRAPE_S)


async def _crowd(scene: Scene) -> None:
    """Put the port with room for one to sleep, and come in numbers."""
    while True:
        await scene.api("POST", "tenants/lab/listeners/stuck/sleep?connections=kill")
        leave = (leave_at_once(scene.ports["stuck"], 0.2) for _ in range(60))
        await asyncio.gather(*leave)
        await asyncio.sleep(2 * SCRAPE_S)


async def _take_a_port(scene: Scene) -> None:
    """Close a port, take its number, and have it opened: it fails, and is tried again."""
    route = "tenants/lab/listeners/taken"
    await scene.api("POST", f"{route}/close?connections=kill")
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while True:
            with contextlib.suppress(OSError):
                thief.bind((HOST, scene.ports["taken"]))
                break
            await asyncio.sleep(0.1)
        thief.listen()
        await scene.api("POST", f"{route}/open")
        await asyncio.Event().wait()


async def _kill_a_worker(scene: Scene) -> None:
    await asyncio.sleep(5 * SCRAPE_S)
    while True:
        workers = (await scene.api("GET", "status"))["workers"]
        with contextlib.suppress(ProcessLookupError):
            os.kill(workers[-1]["pid"], signal.SIGKILL)
        await asyncio.sleep(30 * SCRAPE_S)


@contextlib.asynccontextmanager
async def _running(log: Path, *command: object) -> AsyncIterator[None]:
    """Run a program; leaving ends it, by force if it does not end in time."""
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *map(str, command), stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _END_WITHIN_S)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _until_ready(scene: Scene, url: str) -> None:
    async with asyncio.timeout(_READY_WITHIN_S):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with scene.http.get(url) as answer:
                    if answer.ok:
                        return
            await asyncio.sleep(0.1)


def _free_range() -> int:
    """Return the first of `_RANGE` ports in a row that are free, below those of clients."""
    for first in range(20_000, 32_000, _RANGE):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + _RANGE):
                stack.enter_context(socket.socket()).bind((HOST, port))
            return first
    raise RuntimeError("no range of ports is free")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
