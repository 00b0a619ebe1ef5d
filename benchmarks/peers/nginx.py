"""nginx with its stream module: one worker process, weighted upstream."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.base import OPEN_FILES, Listener, Peer, find, output_of, render

_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


class Nginx(Peer):
    """Master and worker."""

    key = "nginx"
    title = "nginx stream"
    program = "nginx"
    opens_by = "reload (SIGHUP: a new worker process)"
    reweighs_by = "reload (SIGHUP: a new worker process)"

    @classmethod
    def missing(cls) -> str | None:
        if (reason := super().missing()) is not None:
            return reason
        return None if _MODULE.exists() else "libnginx-mod-stream is not installed"

    @classmethod
    def version(cls) -> str:
        found = re.search(r"nginx/(\S+)", output_of(find(cls.program) or "", "-v"))
        return found[1] if found else "?"

    def configure(self) -> None:
        text = render(
            "nginx.conf",
            module=_MODULE,
            folder=self.folder,
            user="user root;" if os.geteuid() == 0 else "",
            workers=self.workers,
            open_files=OPEN_FILES,
            listeners="\n".join(
                render("nginx-listener.conf", **one.values()) for one in self.listeners
            ),
        )
        (self.folder / "nginx.conf").write_text(text)

    def command(self) -> list[str]:
        folder = str(self.folder)
        # -e: nginx opens its built-in error log before it reads where ours is
        return [
            *(find(self.program) or "", "-p", folder),
            *("-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log"),
        ]

    async def set_listeners(self, listeners: Sequence[Listener]) -> None:
        self.listeners = list(listeners)
        self.configure()
        os.kill(self.pid, signal.SIGHUP)

    async def reweigh(self, listener: Listener) -> None:
        await self.set_listeners(
            [listener if one.port == listener.port else one for one in self.listeners]
        )
