"""HAProxy in TCP mode with one thread, as a peer in the same run."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

from tests.e2e import ports, programs
from tests.e2e.daemon import until


@contextlib.asynccontextmanager
async def haproxy(folder: Path, upstream: int) -> AsyncIterator[tuple[int, int]]:
    """Run it in front of a port of 127.0.0.1; give its port and pid."""
    port = ports.block(1)
    config = folder / "haproxy.cfg"
    config.write_text(
        "global\n  nbthread 1\n  maxconn 9500\n"
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n"
        f"listen all\n  bind 127.0.0.1:{port} backlog 4096\n  server up 127.0.0.1:{upstream}\n"
    )
    command = [programs.need("haproxy"), "-db", "-f", str(config)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await until(lambda: not ports.is_free(port))
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()
