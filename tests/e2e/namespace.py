"""A network namespace with one server in it, and a firewall that makes it a black hole.

The host reaches it over a veth pair in TEST-NET-2 (RFC 5737). Everything goes when it is left.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.e2e.apart import serving_apart
from tests.e2e.programs import need
from tests.e2e.upstreams import name_and_close

_numbers = itertools.count()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Elsewhere:
    """A host of its own: `address` is reached from here, `swallow` makes it drop what comes."""

    def __init__(self, name: str, ours: str, theirs: str) -> None:
        self.name, self.ours, self.address = name, ours, theirs
        self.port = 0

    def swallow(self) -> None:
        """Drop every packet of the server's port, without a word: a black hole."""
        self._nft("add table inet hole")
        self._nft("add chain inet hole in { type filter hook input priority 0 ; }")
        self._nft(f"add rule inet hole in tcp dport {self.port} drop")

    def heal(self) -> None:
        """Let packets in again."""
        self._nft("delete table inet hole")

    def _nft(self, rule: str) -> None:
        _run("ip", "netns", "exec", self.name, need("nft"), rule)


@contextlib.contextmanager
def namespace() -> Iterator[Elsewhere]:
    """Make the namespace; needs root."""
    if os.geteuid():
        pytest.skip("needs root, for a network namespace")
    need("ip")
    number = next(_numbers)
    name = f"tp-{os.getpid()}-{number}"
    here, there = f"tp{os.getpid() % 100_000}h{number}", f"tp{os.getpid() % 100_000}t{number}"
    network = 4 * (os.getpid() % 60 + number % 4)
    ours, theirs = f"198.51.100.{network + 1}", f"198.51.100.{network + 2}"
    _run("ip", "netns", "add", name)
    try:
        _run("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        _run("ip", "address", "add", f"{ours}/30", "dev", here)
        _run("ip", "link", "set", here, "up")
        for command in (
            f"address add {theirs}/30 dev {there}",
            f"link set {there} up",
            "link set lo up",
        ):
            _run("ip", "-n", name, *command.split())
        yield Elsewhere(name, ours, theirs)
    finally:
        _run("ip", "netns", "del", name)


@contextlib.asynccontextmanager
async def server_elsewhere(name: str) -> AsyncIterator[Elsewhere]:
    """Run a server there that says its name to everybody."""
    with namespace() as elsewhere:
        prefix = ("ip", "netns", "exec", elsewhere.name)
        async with serving_apart(name_and_close, name, prefix=prefix, host="0.0.0.0") as server:
            elsewhere.port = server.port
            yield elsewhere
