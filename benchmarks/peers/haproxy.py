"""HAProxy in TCP mode: one thread, splice, weighted servers."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Sequence

from benchmarks.peers.base import OPEN_FILES, Listener, Peer, find, output_of, render


class HAProxy(Peer):
    """Master and worker, as its unit file runs it."""

    key = "haproxy"
    title = "HAProxy"
    program = "haproxy"
    opens_by = "reload (SIGUSR2 to the master: a new process takes the sockets over)"
    reweighs_by = "runtime API, `set server ... weight`"

    @classmethod
    def version(cls) -> str:
        found = re.search(r"version (\S+?)[-+]", output_of(find(cls.program) or "", "-v"))
        return found[1] if found else "?"

    def configure(self) -> None:
        parts = [render("haproxy-listener.cfg", **one.values()) for one in self.listeners]
        most = (OPEN_FILES - len(self.listeners) - 400) // 2
        text = render(
            "haproxy.cfg",
            folder=self.folder,
            threads=self.workers,
            max_connections=most,
            listeners="\n".join(parts),
        )
        (self.folder / "haproxy.cfg").write_text(text)

    def command(self) -> list[str]:
        return [find(self.program) or "", "-W", "-db", "-f", str(self.folder / "haproxy.cfg")]

    async def set_listeners(self, listeners: Sequence[Listener]) -> None:
        self.listeners = list(listeners)
        self.configure()
        os.kill(self.pid, signal.SIGUSR2)

    async def reweigh(self, listener: Listener) -> None:
        reader, writer = await asyncio.open_unix_connection(str(self.folder / "sock"))
        orders = [
            f"set server l{listener.port}/{server} weight {weight}"
            for server, weight in zip("ab", listener.weights, strict=True)
        ]
        writer.write((";".join(orders) + "\n").encode())
        said = (await reader.read(-1)).decode().strip()
        writer.close()
        await writer.wait_closed()
        assert not said, said
