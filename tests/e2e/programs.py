"""Real servers on free ports: Redis, PostgreSQL, nginx, HAProxy."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.e2e import ports
from tests.e2e.daemon import until


def need(program: str) -> str:
    """Return the program's path; without it skip, or fail where all programs must be there."""
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if path is None and program in ("initdb", "postgres", "pgbench"):
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
        path = str(found[-1]) if found else None
    if path is None:
        reason = f"{program} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


async def run(*command: str, timeout_s: float = 120, **options: object) -> str:
    """Run a program to its end and return its output; it must exit with 0."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        **options,
    )
    try:
        async with asyncio.timeout(timeout_s):
            output = (await process.communicate())[0].decode(errors="replace")
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, f"{command[0]} exited with {process.returncode}: {output}"
    return output


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.asynccontextmanager
async def _server(command: list[str], port: int, log: Path) -> AsyncIterator[int]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        await until(lambda: _answers(port) or process.poll() is not None, within_s=30)
        assert process.poll() is None, log.read_text()
        yield port
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, 15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.asynccontextmanager
async def redis(folder: Path) -> AsyncIterator[int]:
    """Run a redis-server that keeps nothing on disk; give its port."""
    port = ports.block(1)
    command = [need("redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--save", "", "--appendonly", "no", "--dir", str(folder)]
    async with _server(command, port, folder / "redis.log") as given:
        yield given


@contextlib.asynccontextmanager
async def nginx(folder: Path, files: Path | None = None) -> AsyncIterator[int]:
    """Run an nginx that answers `hello` at `/` and serves `files`; give its port."""
    root = f"location /files/ {{ alias {files}/; }}" if files else ""
    server = f"""
        listen 127.0.0.1:PORT backlog=4096;
        location / {{ return 200 "hello\\n"; }}
        {root}
    """
    async with nginx_server(folder, server) as port:
        yield port


@contextlib.asynccontextmanager
async def nginx_server(folder: Path, server: str) -> AsyncIterator[int]:
    """Run an nginx with this `server` block, in which PORT stands for its port; give the port."""
    port = ports.block(1)
    (folder / "nginx.conf").write_text(
        f"""
        daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;
        worker_processes 1; {"user root;" if os.geteuid() == 0 else ""}
        events {{ worker_connections 8192; }}
        http {{
            access_log off; keepalive_requests 1000000; client_max_body_size 64m;
            client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
            scgi_temp_path {folder}/scgi;
            server {{ {server.replace("PORT", str(port))} }}
        }}
        """
    )
    # -e: nginx opens its built-in error log before it reads where ours is
    command = [need("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    command += ["-e", str(folder / "nginx-error.log")]
    async with _server(command, port, folder / "nginx.log") as given:
        yield given


@contextlib.asynccontextmanager
async def haproxy(folder: Path, upstream: int) -> AsyncIterator[int]:
    """Run a HAProxy that forwards TCP to a port, with splice(2); give its own port."""
    port = ports.block(1)
    (folder / "haproxy.cfg").write_text(
        f"""
        global
            maxconn 4000
        defaults
            mode tcp
            option splice-auto
            timeout connect 5s
            timeout client 1h
            timeout server 1h
        listen relay
            bind 127.0.0.1:{port} backlog 4096
            server up 127.0.0.1:{upstream}
        """.rstrip(" ")  # the last line must end where the file does
    )
    command = [need("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]
    async with _server(command, port, folder / "haproxy.log") as given:
        yield given


@contextlib.contextmanager
def _folder_of(user: str | None) -> Iterator[Path]:
    # Not in tmp_path: that is closed to other users, and PostgreSQL refuses to run as root.
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as name:
        if user is not None:
            entry = pwd.getpwnam(user)
            os.chown(name, entry.pw_uid, entry.pw_gid)
        yield Path(name)


@contextlib.asynccontextmanager
async def postgres(folder: Path) -> AsyncIterator[int]:
    """Run a fresh PostgreSQL cluster with the user `bench`; give its port."""
    initdb, server = need("initdb"), need("postgres")
    user = "postgres" if os.geteuid() == 0 else None
    prefix = (
        [need("setpriv"), f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
    )
    port = ports.block(1)
    with _folder_of(user) as home:
        data = str(home / "data")
        await run(
            *prefix, initdb, "-D", data, "-U", "bench", "--auth=trust", "--no-sync", cwd=str(home)
        )
        command = [*prefix, server, "-D", data, "-p", str(port), "-k", str(home), "-h", "127.0.0.1"]
        command += ["-c", "fsync=off", "-c", "max_connections=50"]
        async with _server(command, port, folder / "postgres.log") as given:
            yield given


@contextlib.asynccontextmanager
async def prometheus(folder: Path, target: int) -> AsyncIterator[int]:
    """Run a Prometheus that scrapes a port of 127.0.0.1 five times a second; give its port.

    It has scraped twice when it is given, so that rates have something to go by.
    """
    port = ports.block(1)
    (folder / "prometheus.yml").write_text(
        f"""
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: service
    static_configs: [{{targets: ["127.0.0.1:{target}"]}}]
"""
    )
    command = [need("prometheus"), f"--config.file={folder}/prometheus.yml"]
    command += [f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
    async with _server(command, port, folder / "prometheus.log") as given:
        await asyncio.sleep(1.5)
        yield given
