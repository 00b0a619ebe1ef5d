"""`demo`: the daemon with two small upstreams of its own, and what to try with it."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import uvloop

from tenantproxy.cli.demo_upstream import serving
from tenantproxy.cli.output import talk
from tenantproxy.cli.settings import DEFAULT_SERVER
from tenantproxy.daemon import log
from tenantproxy.daemon.run import serve

_HOST = "127.0.0.1"
_ADMIN, _METRICS, _FIRST = 9900, 9901, 20_000
_LAST_TRIED = 29_990


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one demo."""

    admin: int
    metrics: int
    web: int
    nap: int

    @property
    def server(self) -> str:
        return f"http://{_HOST}:{self.admin}"


@click.command()
@click.option("--for", "for_s", type=click.FloatRange(min=0), hidden=True, metavar="SECONDS")
@click.pass_context
def demo(ctx: click.Context, for_s: float | None) -> None:
    """Run the daemon with two small upstreams of its own, and print what to try.

    Nothing is kept: the document lives in a temporary folder. Ctrl-C ends it.
    """
    log.configure()
    ctx.exit(uvloop.run(_demo(for_s)))


async def _demo(for_s: float | None) -> int:
    async with serving("v1") as v1, serving("v2") as v2:
        with TemporaryDirectory(prefix="tenantproxy-demo-") as folder:
            ports = free_ports()
            path = Path(folder) / "tenantproxy.yaml"
            path.write_text(document(ports, v1.port, v2.port), encoding="utf-8")
            return await serve(path, on_ready=lambda _: _ready(ports, path, for_s))


def _ready(ports: Ports, path: Path, for_s: float | None) -> None:
    talk(f"\nThe demo runs; its document is {path}. Try, in another terminal:\n")
    click.echo("\n".join(suggestions(ports, program())))
    talk("\nCtrl-C ends it. What the proxy decides follows here.\n")
    if for_s is not None:
        asyncio.get_running_loop().call_later(for_s, os.kill, os.getpid(), signal.SIGTERM)


def document(ports: Ports, v1: int, v2: int) -> str:
    """Return the demo's document; `v1` and `v2` are the ports of its upstreams."""
    return f"""\
version: 1
proxy:
  workers: 2
  listen_address: {_HOST}
  port_range: {ports.web}-{max(ports.web + 99, ports.nap)}
  admin: {{address: {_HOST}, port: {ports.admin}}}
  metrics: {{address: {_HOST}, port: {ports.metrics}}}
  shutdown: {{keep_accepting: 0s, drain: 1s}}
tenants:
  demo:
    upstreams:
      v1: {{endpoints: ["{_HOST}:{v1}"]}}
      v2: {{endpoints: ["{_HOST}:{v2}"]}}
    listeners:
      web:
        port: {ports.web}
        split: {{v1: 90, v2: 10}}
      nap:
        port: {ports.nap}
        split: {{v1: 1, v2: 1}}
        idle: {{after: 10s, then: sleep}}
"""


def suggestions(ports: Ports, tenantproxy: str) -> Iterator[str]:
    """Yield lines that can be pasted into a shell; the first is the shortest way to an answer."""
    web, nap = (f"http://{_HOST}:{port}/" for port in (ports.web, ports.nap))
    if ports.server != DEFAULT_SERVER:
        tenantproxy = f"{tenantproxy} --server {ports.server}"
    yield f"curl {web}"
    yield "# of 100 connections, 90 go to v1 and 10 to v2"
    yield f"for i in $(seq 100); do curl -s {web}; done | cut -d' ' -f1 | sort | uniq -c"
    yield "# turn it round; connections that live stay where they are"
    yield f"{tenantproxy} set split demo/web v1=10 v2=90"
    yield f"for i in $(seq 100); do curl -s {web}; done | cut -d' ' -f1 | sort | uniq -c"
    yield "# ports and what went through them, for people and for Prometheus"
    yield f"{tenantproxy} get listeners -o wide"
    yield f"curl -s http://{_HOST}:{ports.metrics}/metrics | grep '^tenantproxy_listener'"
    yield "# demo/nap is asleep; the first connection wakes it, 10 seconds of silence end that"
    yield f"{tenantproxy} get listeners demo/nap"
    yield f"curl {nap}"
    yield f"{tenantproxy} describe listener demo/nap"
    yield "# put a port to sleep, close it, open it again"
    yield f"{tenantproxy} sleep demo/web"
    yield f"{tenantproxy} close demo/web"
    yield f"{tenantproxy} open demo/web"
    yield f"{tenantproxy} get events"


def program() -> str:
    """Return what a shell in any folder calls this program by."""
    called = Path(sys.argv[0])
    if called.name != "tenantproxy" or not called.exists():
        return f"{shlex.quote(sys.executable)} -m tenantproxy"
    found = shutil.which("tenantproxy")
    if found is not None and Path(found).samefile(called):
        return "tenantproxy"
    return shlex.quote(str(called.absolute()))


def free_ports() -> Ports:
    """Return the usual numbers where they are free, and others where not."""
    taken: set[int] = set()

    def first_free(wanted: Iterator[int] | range) -> int:
        found = next((port for port in wanted if port not in taken and _free(port)), None)
        number = _any_port() if found is None else found
        taken.add(number)
        return number

    admin = first_free(range(_ADMIN, _ADMIN + 1))
    metrics = first_free(range(_METRICS, _METRICS + 1))
    web = first_free(range(_FIRST, _LAST_TRIED))
    nap = first_free(range(web + 1, _LAST_TRIED + 1))
    return Ports(admin, metrics, web, nap)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
        return True


def _any_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
