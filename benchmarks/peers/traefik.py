"""traefik's TCP routers: one CPU for its Go scheduler, weighted services from a watched file."""

from __future__ import annotations

import os
import re

from benchmarks.peers.base import Listener, Peer, find, output_of, render


class Traefik(Peer):
    """Entry points are static: a new port needs a restart, so `opens_by` is None."""

    key = "traefik"
    title = "traefik"
    program = "traefik"
    reweighs_by = "file provider"

    @classmethod
    def version(cls) -> str:
        found = re.search(r"Version:\s+(\S+)", output_of(find(cls.program) or "", "version"))
        return found[1] if found else "?"

    def configure(self) -> None:
        entries = [f"  e{one.port}: {{address: 127.0.0.1:{one.port}}}" for one in self.listeners]
        (self.folder / "traefik.yaml").write_text(
            render("traefik.yaml", folder=self.folder, entry_points="\n".join(entries))
        )
        (self.folder / "dynamic").mkdir(exist_ok=True)
        self._write_dynamic()

    def _write_dynamic(self) -> None:
        values = [one.values() for one in self.listeners]
        text = render(
            "traefik-dynamic.yaml",
            routers="\n".join(render("traefik-router.yaml", **one) for one in values),
            services="\n".join(render("traefik-service.yaml", **one) for one in values),
        )
        beside = self.folder / "dynamic.new"
        beside.write_text(text)
        beside.replace(self.folder / "dynamic" / "tcp.yaml")

    def command(self) -> list[str]:
        return [find(self.program) or "", f"--configFile={self.folder / 'traefik.yaml'}"]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "GOMAXPROCS": str(self.workers)}

    async def reweigh(self, listener: Listener) -> None:
        self.listeners = [listener if one.port == listener.port else one for one in self.listeners]
        self._write_dynamic()
