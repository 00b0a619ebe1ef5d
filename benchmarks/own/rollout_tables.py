"""How good the judgement of canaries is: figures with their targets, and tables by samples.

`python -m benchmarks.own.rollout_tables` prints the tables of docs/judgement.md (10 minutes).
"""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import replace
from pathlib import Path

from benchmarks.own.canaries import Kind
from benchmarks.own.figures import Figure
from benchmarks.own.rollouts import SLOWER, STRICT, Case, share_caught
from tenantproxy.model.rollout_spec import DEFAULT_CHECKS

RUNS = 200
SAMPLES = (100, 200, 500, 1000, 2000, 5000)
GOOD = {
    "default checks": Case(),
    "default checks, 20 looks a step": Case(looks=20),
    "no margins, 50 samples": Case(checks=STRICT, samples=50),
    "no margins": Case(checks=STRICT),
    "no margins, 5,000 samples": Case(checks=STRICT, samples=5000),
    "no margins, 20 looks a step": Case(checks=STRICT, looks=20),
    "no margins, `failures_allowed: 0`": Case(checks=STRICT, failures_allowed=0),
}
"""Canaries that are stable's equal; 500 samples a step, 5 looks."""
BAD = {
    "5 points more resets, stable 0.2 %": Case(Kind(more_failures=0.05), failures=0.002),
    "5 points more resets, stable 1 %": Case(Kind(more_failures=0.05)),
    "3 times slower": Case(Kind(slower=3.0), checks=SLOWER),
}


async def rollouts(_folder: Path, *, quick: bool) -> list[Figure]:
    """Return shares of simulated rollouts that ended as they should not, in percent."""
    runs = 20 if quick else RUNS
    found = []
    for name, case in GOOD.items():
        share, _ = share_caught(case, runs)
        found.append(Figure(f"good, rolled back: {name}", 100 * share, "%", 2))
    for name, case in BAD.items():
        share, caught = share_caught(case, runs)
        hurt = [100 * one.hurt for one in caught]
        found.append(Figure(f"bad, not caught: {name}", 100 * (1 - share), "%", 5))
        found.append(Figure("  clients of the step hurt, p50", statistics.median(hurt), "%"))
    return found


def _goods() -> None:
    print("| identical canary | rolled back |\n|---|---|")
    for name, case in GOOD.items():
        _, caught = share_caught(case, RUNS)
        print(f"| {name} | {len(caught)} of {RUNS} |", flush=True)


def _bads() -> None:
    print("| canary | caught | in step | at look | clients of the step hurt, p50 and most |")
    print("|---|---|---|---|---|")
    for name, case in BAD.items():
        share, caught = share_caught(case, RUNS)
        hurt = [100 * one.hurt for one in caught]
        print(
            f"| {name} | {100 * share:.1f} % | {_spread(one.step for one in caught)} "
            f"| {_spread(one.looks for one in caught)} "
            f"| {statistics.median(hurt):.2f} % and {max(hurt):.1f} % |",
            flush=True,
        )


def _spread(numbers) -> str:
    counts = Counter(numbers)
    return ", ".join(f"{n}: {counts[n]}" for n in sorted(counts))


def _row(name: str, case: Case) -> None:
    cells = []
    for samples in SAMPLES:
        share, _ = share_caught(replace(case, samples=samples), RUNS)
        cells.append(f"{100 * share:.0f} %")
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _head(what: str) -> None:
    print(f"| {what} | {' | '.join(f'{samples:,}' for samples in SAMPLES)} |")
    print(f"|---{'|---' * len(SAMPLES)}|")


def main() -> None:
    _goods()
    print()
    _bads()
    print()
    _head("stable's resets, the canary's, the checks")
    for failures in (0.002, 0.01):
        for margin in (0.0, 0.01):
            checks = tuple(replace(check, over_stable=margin) for check in DEFAULT_CHECKS)
            for points in (0.01, 0.02, 0.05, 0.1):
                if points > margin:
                    kind = Kind(more_failures=points)
                    more = f"{100 * points:g} point{'s' if points > 0.01 else ''} more"
                    name = f"{100 * failures:g} %, {more}, `over_stable: {100 * margin:g}%`"
                    _row(name, Case(kind, checks=checks, failures=failures))
    print()
    _head("the canary, the check")
    for slower in (1.5, 2.0, 3.0):
        for check in SLOWER:
            if check.quantile is None or slower > 1 + (check.over_stable or 0):
                name = f"{slower:g} times slower, `{check.name}`"
                _row(name, Case(Kind(slower=slower), checks=(check,)))


if __name__ == "__main__":
    main()
