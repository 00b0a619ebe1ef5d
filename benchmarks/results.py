"""What was measured, as values and as JSON: samples, their medians, ratios and spread."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Target:
    """What a peer is to reach."""

    peer: str
    limit: float
    of: str = "ratio"
    """`ratio`: to the baseline, as the median of pairs; `value`: the number itself."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One column of a table."""

    key: str
    title: str
    more_is_better: bool = False
    ratio: bool = False
    """Whether the table also gives the ratio to the baseline."""
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one workload with one peer."""

    peer: str
    round: int
    values: dict[str, float]
    notes: tuple[str, ...] = ()
    """What makes the numbers less than they seem: errors, or a load that was the limit."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of several values, and the ends."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """Return None for no values; infinite ones count."""
        found = sorted(values)
        return cls(statistics.median(found), found[0], found[-1]) if found else None


@dataclass(slots=True)
class Workload:
    """All samples of one workload."""

    name: str
    title: str
    metrics: tuple[Metric, ...]
    samples: list[Sample] = field(default_factory=list)
    x: float | None = None
    """How much there is of what grows, if this is one point of a line."""

    def peers(self) -> list[str]:
        """Return who was measured, in order of first appearance in a round."""
        return list(dict.fromkeys(sample.peer for sample in self.samples))

    def spread(self, peer: str, key: str) -> Spread | None:
        return Spread.of(s.values[key] for s in self.samples if s.peer == peer and key in s.values)

    def ratio(self, peer: str, key: str, baseline: str) -> Spread | None:
        """Return the ratio to the baseline, pair by pair: of the same round each."""
        base = {
            s.round: s.values[key] for s in self.samples if s.peer == baseline and key in s.values
        }
        return Spread.of(
            s.values[key] / base[s.round]
            for s in self.samples
            if s.peer == peer and key in s.values and base.get(s.round)
        )

    def notes(self, peer: str) -> list[str]:
        """Return each note once, with the number of rounds if it was not all of them."""
        mine = [s for s in self.samples if s.peer == peer]
        counted: dict[str, int] = {}
        for sample in mine:
            for note in sample.notes:
                counted[note] = counted.get(note, 0) + 1
        return [
            note if times == len(mine) else f"{note} ({times} of {len(mine)} rounds)"
            for note, times in counted.items()
        ]


@dataclass(slots=True)
class Family:
    """What one name of the command line measured; one file of JSON."""

    name: str
    quick: bool
    workloads: list[Workload] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """Peers that were not measured, and why."""
    machine: dict[str, str] = field(default_factory=dict)
    """Kernel, Python, rounds and seconds of a run, versions of the peers."""

    def to_json(self) -> str:
        body = asdict(self)
        for workload in body["workloads"]:
            for sample in workload["samples"]:
                sample["values"] = {key: _rounded(v) for key, v in sample["values"].items()}
        return json.dumps(body, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        body: dict[str, Any] = json.loads(text)
        workloads = [
            Workload(
                one["name"],
                one["title"],
                tuple(
                    Metric(**(m | {"targets": tuple(Target(**t) for t in m["targets"])}))
                    for m in one["metrics"]
                ),
                [Sample(**(s | {"notes": tuple(s["notes"])})) for s in one["samples"]],
                one["x"],
            )
            for one in body["workloads"]
        ]
        return cls(body["name"], body["quick"], workloads, body["skipped"], body["machine"])

    def keep(self, folder: Path = RESULTS) -> Path:
        """Write `NAME.json`; quick results go aside, for they say little."""
        path = folder / ("quick" if self.quick else "") / f"{self.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.to_json())
        return path


def _rounded(value: float) -> float:
    """Four digits are more than is reproducible; infinity stays (a request without an answer)."""
    return value if value == 0 or math.isinf(value) else float(f"{value:.5g}")
