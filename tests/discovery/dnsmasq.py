"""A real dnsmasq on loopback, whose records can be changed while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.message

from tests.e2e import ports
from tests.e2e.programs import need

Hosts = Mapping[str, Iterable[str]]
"""Addresses of each name; a name below `.test` that is not here does not exist."""


class Dnsmasq:
    """The name server of `.test`: authoritative for it, refuses the rest."""

    def __init__(self, folder: Path) -> None:
        self.port = _free_port()
        self._hosts_file = folder / f"dns-{self.port}.hosts"
        self._log = folder / f"dns-{self.port}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._hosts: dict[str, tuple[str, ...]] = {}
        self._ttl_s = 0
        self._options: tuple[str, ...] = ()
        self._serial = 0

    @property
    def address(self) -> str:
        """What `proxy.dns.servers` takes."""
        return f"127.0.0.1:{self.port}"

    async def change(self, hosts: Hosts) -> None:
        """Let names have other addresses, or none; the server answers so when this returns."""
        self._hosts.update({name: tuple(ips) for name, ips in hosts.items()})
        self._write()
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)
        await self._answers()

    async def start(
        self,
        hosts: Hosts | None = None,
        *,
        ttl_s: int | None = None,
        services: Iterable[str] | None = None,
        options: Iterable[str] = (),
    ) -> None:
        """Start, or start again, on the same port with what is given changed.

        Args:
            hosts: as of `change`.
            ttl_s: TTL of everything; 0 at first.
            services: SRV records as `name,target,port,priority,weight`.
            options: more of dnsmasq's command line.
        """
        await self.stop()
        self._hosts.update({name: tuple(ips) for name, ips in (hosts or {}).items()})
        self._ttl_s = self._ttl_s if ttl_s is None else ttl_s
        if services is not None or options:
            self._options = (*(f"--srv-host={one}" for one in services or ()), *options)
        self._write()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(need("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null"),
                    *("--user=", "--pid-file=", "--no-resolv", "--no-hosts", "--local=/test/"),
                    *("--listen-address=127.0.0.1", "--bind-interfaces", f"--port={self.port}"),
                    *(f"--addn-hosts={self._hosts_file}", f"--local-ttl={self._ttl_s}"),
                    *self._options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        await self._answers()

    async def stop(self) -> None:
        """End it: nobody answers on the port."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, 15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _write(self) -> None:
        self._serial += 1
        lines = [f"127.0.0.1 serial-{self._serial}.test"]
        lines += [f"{ip} {name}" for name, ips in self._hosts.items() for ip in ips]
        self._hosts_file.write_text("\n".join(lines) + "\n")

    async def _answers(self) -> None:
        question = dns.message.make_query(f"serial-{self._serial}.test", "A")
        for _ in range(300):
            assert self._process is not None
            assert self._process.poll() is None, self._log.read_text()
            # ours is rebound for each question: nothing old is in its queue
            with contextlib.suppress(OSError, dns.exception.DNSException):
                answer = await dns.asyncquery.udp(question, "127.0.0.1", 0.3, self.port)
                if answer.answer:
                    return
            await asyncio.sleep(0.02)
        raise AssertionError(f"dnsmasq does not answer: {self._log.read_text()}")


@contextlib.asynccontextmanager
async def dnsmasq(
    folder: Path, hosts: Hosts | None = None, *, ttl_s: int = 0, services: Iterable[str] = ()
) -> AsyncIterator[Dnsmasq]:
    """Run it with these records; without dnsmasq the test is skipped (or fails, with CI=true)."""
    server = Dnsmasq(folder)
    try:
        await server.start(hosts, ttl_s=ttl_s, services=services)
        yield server
    finally:
        await server.stop()


def _free_port() -> int:
    while True:
        port = ports.block(1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
