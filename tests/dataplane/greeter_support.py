"""Programs behind a port, for what endpoints are told before the client's first byte."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.dataplane.support import listener


def open_port(rig, *orders, **changes) -> int:
    rig.upstreams(*orders)
    return rig.open(listener(1, {1: 1}, **changes))


def needs(program: str) -> str:
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        pytest.skip(f"{program} is not here")
    return path


@contextmanager
def running(*command: str, fds: tuple[int, ...] = (), **env: str) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=fds,
        env=os.environ | env,
    )
    try:
        yield process
    finally:
        process.terminate()  # nginx has a worker to end
        process.communicate(timeout=10)
