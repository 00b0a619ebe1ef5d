"""Our daemon with one worker, moved by the pump or by the kernel relay."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import yaml

import tenantproxy
from benchmarks.load import open_loop
from benchmarks.peers.base import Listener, Peer, render
from tests.e2e import ports
from tests.e2e.apart import ROOT

PER_TENANT = 100
ADDED = "added"
"""The tenant whose listeners come and go at run time."""
CHATTY_ROUND_TRIPS = 200
"""More than the relay asks for before it takes a connection over."""


class Tenantproxy(Peer):
    """The pump: bytes pass through the worker."""

    key = "tenantproxy"
    title = "tenantproxy"
    program = "python3"
    opens_by = "API, one PUT of a tenant"
    reweighs_by = "API, PUT of the split"
    relay: ClassVar[str] = "pump"

    def __init__(self, folder: Path, listeners: Sequence[Listener], *, workers: int = 1) -> None:
        super().__init__(folder, listeners, workers=workers)
        taken = {one.port for one in listeners}
        admin = ports.block(2)
        while taken & {admin, admin + 1}:
            admin = ports.block(2)
        self._settings = {
            "workers": workers,
            "relay": self.relay,
            "admin_port": admin,
            "metrics_port": admin + 1,
        }
        self._owner: dict[int, str] = {
            one.port: f"t{number // PER_TENANT}" for number, one in enumerate(self.listeners)
        }

    @classmethod
    def version(cls) -> str:
        return tenantproxy.__version__

    def configure(self) -> None:
        tenants: dict[str, Any] = {}
        for first in range(0, len(self.listeners), PER_TENANT):
            some = self.listeners[first : first + PER_TENANT]
            tenants[self._owner[some[0].port]] = _tenant(some)
        head = render("tenantproxy.yaml", **self._settings)
        text = head + yaml.safe_dump({"tenants": tenants}, sort_keys=False)
        (self.folder / "tenantproxy.yaml").write_text(text)

    def command(self) -> list[str]:
        file = self.folder / "tenantproxy.yaml"
        return [sys.executable, "-m", "tenantproxy", "run", "-c", str(file)]

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PYTHONPATH": str(ROOT)}

    async def _serves(self) -> bool:
        # Every listener here is `open: always`, and `/readyz` waits for the workers.
        return await super()._serves() and await self._ask("GET", "/readyz") == 200

    async def set_listeners(self, listeners: Sequence[Listener]) -> None:
        wanted = [one for one in listeners if self._owner.get(one.port, ADDED) == ADDED]
        known = {port for port, owner in self._owner.items() if owner == ADDED}
        fresh = [one for one in wanted if one.port not in known]
        route = f"/api/v1/tenants/{ADDED}"
        if len(fresh) == 1 and len(wanted) == len(known) + 1:
            name, body = f"l{fresh[0].port}", _listener(fresh[0])
            status = await self._ask("PUT", f"{route}/listeners/{name}", body)
        elif wanted:
            status = await self._ask("PUT", route, _tenant(wanted))
        else:
            status = await self._ask("DELETE", route)
        assert status < 300, status
        self.listeners = list(listeners)
        for port in known:
            del self._owner[port]
        self._owner.update(dict.fromkeys((one.port for one in wanted), ADDED))

    async def reweigh(self, listener: Listener) -> None:
        first, second = listener.weights
        route = f"/api/v1/tenants/{self._owner[listener.port]}/listeners/l{listener.port}/split"
        names = _names(listener.upstream)
        assert await self._ask("PUT", route, dict(zip(names, (first, second), strict=True))) < 300

    async def _ask(self, method: str, path: str, body: Any = None) -> int:
        url = f"http://127.0.0.1:{self._settings['admin_port']}{path}"
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
                session.request(method, url, json=body) as answer,
            ):
                text = await answer.text()
                assert answer.status < 400 or path == "/readyz", text[:500]
                return answer.status
        except aiohttp.ClientConnectionError:
            return 503


class KernelRelay(Tenantproxy):
    """The kernel relay: bytes of chatty connections do not pass through the worker."""

    key = "kernel"
    title = "tenantproxy, kernel relay"
    relay = "kernel"

    @classmethod
    def missing(cls) -> str | None:
        """Ask the program whether it takes the document, for older ones refuse it."""
        with tempfile.TemporaryDirectory() as folder:
            peer = cls(Path(folder), [Listener(ports.block(1), 1)])
            peer.configure()
            file = str(peer.folder / "tenantproxy.yaml")
            command = [sys.executable, "-m", "tenantproxy", "check", file]
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        if done.returncode == 0:
            return None
        found = re.search(r"proxy\.relay.*", done.stdout + done.stderr)
        return f"this version refuses it: {found[0] if found else done.stderr.strip()[-200:]}"

    async def idle_reason(self) -> str | None:
        """Return why no connection is moved by the kernel; None if one is."""
        with socket.create_connection(("127.0.0.1", self.listeners[0].port), timeout=5) as sock:
            for number in range(CHATTY_ROUND_TRIPS):
                sock.sendall(open_loop.REQUEST)
                assert sock.recv(4096)
                await asyncio.sleep(0.005)  # counters are brought up to date every 100 ms
                if number % 20 == 19 and await self._moved():
                    return None
        return f"no connection was moved by the kernel: {self.log.read_text()[-300:]}"

    async def _moved(self) -> bool:
        url = f"http://127.0.0.1:{self._settings['metrics_port']}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            text = await answer.text()
        found = re.search(r'relay_connections\{mode="kernel"\} (\S+)', text)
        return found is not None and float(found[1]) > 0


def _names(upstream: int) -> tuple[str, str]:
    return f"a{upstream}", f"b{upstream}"


def _listener(listener: Listener) -> dict[str, Any]:
    split = dict(zip(_names(listener.upstream), listener.weights, strict=True))
    return {
        "port": listener.port,
        "open": "always",
        "split": split,
        "idle": {"after": "30d", "then": "never"},
    }


def _tenant(listeners: Sequence[Listener]) -> dict[str, Any]:
    upstreams = {}
    for port in sorted({one.upstream for one in listeners}):
        first, second = _names(port)
        upstreams[first] = {"endpoints": [f"127.0.0.1:{port}"]}
        upstreams[second] = {"endpoints": [f"127.0.0.2:{port}"]}
    found = {f"l{one.port}": _listener(one) for one in listeners}
    return {"upstreams": upstreams, "listeners": found}
