"""Run a coroutine function, or a server, in a process of its own.

Load made in the test's own process would share its interpreter lock with the
other side of the connection. Arguments and results are pickled over stdin and
stdout; the loop there is uvloop.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import struct
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, BinaryIO

import uvloop

ROOT = Path(__file__).parents[2]


async def _spawn(prefix: tuple[str, ...] = ()) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *prefix,
        sys.executable,
        "-m",
        "tests.e2e.apart",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await process.wait()
    # asyncio closes the pipes a turn after the process is reaped
    await asyncio.sleep(0)


def _frame(value: object) -> bytes:
    body = pickle.dumps(value)
    return struct.pack("!Q", len(body)) + body


async def _read(process: asyncio.subprocess.Process) -> Any:
    assert process.stdout is not None
    head = await process.stdout.readexactly(8)
    return pickle.loads(await process.stdout.readexactly(struct.unpack("!Q", head)[0]))


async def apart(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Return the result of a module-level coroutine function run in another process."""
    process = await _spawn()
    try:
        process.stdin.write(_frame(("call", function, args, options)))
        await process.stdin.drain()
        return await _read(process)
    finally:
        await _end(process)


class ServerApart:
    """A server that runs in another process; `port` is known from the start."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port
        self.pid = process.pid

    async def state(self) -> dict[str, Any]:
        """Return `accepted`, `live`, `errors`, and the `records` since the last call."""
        self._process.stdin.write(_frame("state"))
        await self._process.stdin.drain()
        return await _read(self._process)


@contextlib.asynccontextmanager
async def serving_apart(
    behaviour: Callable[..., Any],
    *args: Any,
    host: str = "127.0.0.1",
    prefix: tuple[str, ...] = (),
) -> AsyncIterator[ServerApart]:
    """Run a server in another process, which the command `prefix` starts as its own.

    `behaviour` is a behaviour of `upstreams`, or with `args` the function that makes one.
    """
    process = await _spawn(prefix)
    try:
        process.stdin.write(_frame(("serve", behaviour, args, {"host": host})))
        await process.stdin.drain()
        yield ServerApart(process, await _read(process))
    finally:
        await _end(process)


# The other process ----------------------------------------------------------


def _take(stream: BinaryIO) -> Any:
    head = stream.read(8)
    return pickle.loads(stream.read(struct.unpack("!Q", head)[0])) if len(head) == 8 else None


def _give(value: object) -> None:
    sys.stdout.buffer.write(_frame(value))
    sys.stdout.buffer.flush()


async def _serve(behaviour: Callable[..., Any], args: tuple[Any, ...], host: str) -> None:
    from tests.e2e.upstreams import serving  # noqa: PLC0415 - only the server needs it

    async with serving(behaviour(*args) if args else behaviour, host=host) as server:
        _give(server.port)
        while await asyncio.to_thread(_take, sys.stdin.buffer) == "state":
            records, server.records = server.records, []
            _give(
                {
                    "accepted": server.accepted,
                    "live": server.live,
                    "errors": dict(server.errors),
                    "records": records,
                }
            )


async def _main() -> None:
    what, function, args, options = _take(sys.stdin.buffer)
    if what == "serve":
        await _serve(function, args, **options)
    else:
        _give(await function(*args, **options))


if __name__ == "__main__":
    uvloop.run(_main())
