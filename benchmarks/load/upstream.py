"""The web server behind every proxy: nginx, one process, one port of 127.0.0.1 and of 127.0.0.2."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.load import open_loop
from benchmarks.peers.base import OPEN_FILES, answers, find
from tests.e2e import ports
from tests.e2e.daemon import until

LARGE_BYTES = 16 * 1024
SMALL, LARGE, WHO = "/", "/large", "/who"
"""Paths: a few bytes, 16 KiB, and which of the two addresses was asked."""

_CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{user}
worker_processes 1;
worker_rlimit_nofile {files};
events {{ worker_connections {files}; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    keepalive_timeout 1h;
    open_file_cache max=8;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        listen 127.0.0.2:{port} backlog=4096;
        location = / {{ return 200 "hello\\n"; }}
        location = /who {{ return 200 "$server_addr\\n"; }}
        location = /large {{ alias {folder}/large; }}
    }}
    server {{
        listen 127.0.0.1:{status_port};
        location / {{ stub_status; }}
    }}
}}
"""


@contextlib.asynccontextmanager
async def web(folder: Path) -> AsyncIterator[tuple[int, int]]:
    """Run it; give its port, and the one for `requests_so_far`."""
    port, status_port = ports.block(1), ports.block(1)
    folder = folder / "web"
    folder.mkdir(parents=True)
    (folder / "large").write_bytes(b"x" * LARGE_BYTES)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        _CONFIGURATION.format(
            folder=folder, user=user, files=OPEN_FILES, port=port, status_port=status_port
        )
    )
    program = find("nginx")
    if program is None:
        raise SystemExit("error: nginx is not installed; it is what the proxies stand before")
    process = subprocess.Popen(
        [program, "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"],
        stdin=subprocess.DEVNULL,
    )
    try:
        await until(lambda: answers(port))
        yield port, status_port
    finally:
        process.terminate()
        process.wait()


def requests_so_far(status_port: int) -> int:
    """Return how many requests it has answered, this one included."""
    answer = open_loop.ask_once(status_port, "/").decode()
    found = re.search(r"requests\s+\d+ \d+ (\d+)", answer)
    assert found is not None, answer
    return int(found[1])
