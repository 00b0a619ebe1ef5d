"""wrk, and what its report says."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.e2e import programs

_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True, slots=True)
class Report:
    """One run."""

    per_second: float
    requests: int
    p50_ms: float
    p99_ms: float
    errors: str
    """What went wrong, in wrk's words; empty if nothing did."""

    @classmethod
    def parse(cls, text: str) -> Report:
        """Read what `wrk --latency` prints.

        Raises:
            ValueError: it is no report.
        """
        latency = dict(re.findall(r"^\s+(50|99)%\s+(\S+)\s*$", text, re.MULTILINE))
        rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
        count = re.search(r"(\d+) requests in", text)
        if rate is None or count is None or len(latency) != 2:
            raise ValueError(f"not a report of wrk: {text}")
        errors = re.search(r"Socket errors.*|Non-2xx.*", text)
        return cls(
            float(rate[1]),
            int(count[1]),
            _milliseconds(latency["50"]),
            _milliseconds(latency["99"]),
            errors[0] if errors else "",
        )


def _milliseconds(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if found is None:
        raise ValueError(f"not a time of wrk: {text}")
    return float(found[1]) * _MS[found[2]]


async def wrk(
    port: int,
    *,
    seconds: int,
    connections: int = 64,
    threads: int = 1,
    close: bool = False,
    path: str = "/",
) -> Report:
    """Run wrk against a port of 127.0.0.1; with `close`, one request a connection."""
    command = [programs.need("wrk"), f"-t{threads}", f"-c{connections}", f"-d{seconds}s"]
    command += ["--latency", *(["-H", "Connection: close"] if close else [])]
    return Report.parse(await programs.run(*command, f"http://127.0.0.1:{port}{path}"))
