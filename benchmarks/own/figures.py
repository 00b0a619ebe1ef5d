"""One measured number with its unit and its target, and what keeps and shows them."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number."""

    what: str
    value: float
    unit: str
    target: float | None = None
    """Not more than this."""

    def row(self) -> str:
        mark = "" if self.target is None else ("ok" if self.value <= self.target else "MISSED")
        target = "" if self.target is None else f"<= {self.target:g}"
        return f"  {self.what:58s} {self.value:12.2f} {self.unit:8s} {target:10s} {mark}"


def p50(values: Sequence[float]) -> float:
    return statistics.median(values)


def p99(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]


def keep(name: str, figures: list[Figure], *, quick: bool) -> None:
    """Write the figures of a benchmark to `results/NAME.json`, quick ones aside."""
    body = {
        "benchmark": name,
        "quick": quick,
        "kernel": ".".join(platform.release().split(".")[:2]),
        "python": platform.python_version(),
        "figures": [asdict(figure) for figure in figures],
    }
    folder = RESULTS / "quick" if quick else RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(body, indent=2) + "\n")
