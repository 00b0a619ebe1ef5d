"""iperf3: a server behind the proxies, a client before them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from tests.e2e import ports, programs
from tests.e2e.daemon import until


@dataclass(frozen=True, slots=True)
class Report:
    """One run."""

    gigabits_per_second: float
    """What the receiver got, summed over the streams."""
    gigabytes: float

    @classmethod
    def parse(cls, answer: dict[str, Any]) -> Report:
        """Read what `iperf3 --json` prints.

        Raises:
            ValueError: the run failed; the message is iperf3's.
        """
        if "error" in answer:
            raise ValueError(answer["error"])
        received = answer["end"]["sum_received"]
        return cls(received["bits_per_second"] / 1e9, received["bytes"] / 1e9)


@contextlib.asynccontextmanager
async def server() -> AsyncIterator[int]:
    """Run one on every address, for 127.0.0.1 and 127.0.0.2 must be one server; give its port."""
    port = ports.block(1)
    process = subprocess.Popen(
        [programs.need("iperf3"), "--server", "--port", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await until(lambda: not ports.is_free(port))
        yield port
    finally:
        process.terminate()
        process.wait()


async def iperf3(port: int, *, seconds: int, streams: int = 1, down: bool = True) -> Report:
    """Send through a port of 127.0.0.1; `down` is from the upstream to the client."""
    command = [programs.need("iperf3"), "--client", "127.0.0.1", "--port", str(port), "--json"]
    command += ["--time", str(seconds), "--parallel", str(streams)]
    command += ["--reverse"] if down else []
    for attempt in range(5):
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(seconds + 10):
                answer = json.loads((await process.communicate())[0])
        except TimeoutError as error:
            process.kill()
            await process.wait()
            raise ValueError(f"iperf3 did not end within {seconds + 10} s") from error
        # It serves one at a time, and a proxy may be slow to say that the last one went.
        if "busy" not in answer.get("error", "") or attempt == 4:
            break
        await asyncio.sleep(0.3)
    return Report.parse(answer)
