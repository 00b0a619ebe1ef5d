"""wrk, and what its report says."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.e2e import programs


@dataclass(frozen=True, slots=True)
class Report:
    """One run."""

    per_second: float
    requests: int
    p99_ms: float
    errors: str


async def wrk(
    port: int, *, seconds: int, connections: int = 64, threads: int = 1, close: bool = False
) -> Report:
    """Run wrk against `/` of a port of 127.0.0.1; with `close`, one request a connection."""
    command = [programs.need("wrk"), f"-t{threads}", f"-c{connections}", f"-d{seconds}s"]
    command += ["--latency", *(["-H", "Connection: close"] if close else [])]
    text = await programs.run(*command, f"http://127.0.0.1:{port}/")
    found = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    assert found is not None, text
    unit = {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]
    errors = re.search(r"Socket errors.*|Non-2xx.*", text)
    return Report(
        float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
        int(re.search(r"(\d+) requests in", text)[1]),
        float(found[1]) * unit,
        errors[0] if errors else "",
    )
