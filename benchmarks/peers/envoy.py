"""Envoy's tcp_proxy: one worker thread; listeners and clusters come from files that it watches."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from benchmarks.peers.base import Listener, Peer, find, output_of, render


class Envoy(Peer):
    """Weighted clusters in each listener, which is how traffic is split between services."""

    key = "envoy"
    title = "Envoy"
    program = "envoy"
    opens_by = "LDS from a watched file"
    reweighs_by = "LDS from a watched file: the listener's filter chain is replaced"
    drain_s: ClassVar[int] = 600
    """Its default for `--drain-time-s`."""

    @classmethod
    def version(cls) -> str:
        found = re.search(r"/(\d+\.\d+\.\d+)/", output_of(find(cls.program) or "", "--version"))
        return found[1] if found else "?"

    def configure(self) -> None:
        upstreams = sorted({one.upstream for one in self.listeners})
        clusters = [
            render("envoy-cluster.json", name=f"{name}{port}", address=address, port=port)
            for port in upstreams
            for name, address in (("a", "127.0.0.1"), ("b", "127.0.0.2"))
        ]
        self._resources("clusters.json", clusters)
        self._resources(
            "listeners.json",
            [render("envoy-listener.json", **one.values()) for one in self.listeners],
        )
        (self.folder / "envoy.json").write_text(render("envoy.json", folder=self.folder))

    def _resources(self, name: str, resources: list[str]) -> None:
        beside = Path(f"{self.folder / name}.new")
        beside.write_text('{"resources": [' + ",".join(resources) + "]}")
        beside.replace(
            self.folder / name
        )  # Envoy looks when a file is moved, not when it is written

    def command(self) -> list[str]:
        return [
            *(find(self.program) or "", "-c", str(self.folder / "envoy.json")),
            *("--concurrency", str(self.workers), "--drain-time-s", str(self.drain_s)),
            *("--disable-hot-restart", "-l", "error"),
        ]

    async def set_listeners(self, listeners: Sequence[Listener]) -> None:
        self.listeners = list(listeners)
        self._resources(
            "listeners.json",
            [render("envoy-listener.json", **one.values()) for one in self.listeners],
        )

    async def reweigh(self, listener: Listener) -> None:
        await self.set_listeners(
            [listener if one.port == listener.port else one for one in self.listeners]
        )


class EnvoyThatDrainsSoon(Envoy):
    """Connections of a replaced filter chain end after two seconds instead of ten minutes."""

    drain_s = 2
