"""Asks a Prometheus every query of every dashboard and rule, and says which have no data."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from grafana import queries
from tenantproxy.clock import monotonic_s
from tools.observe.scene import Scene

VALUES = {
    "__rate_interval": "10s",
    "__range": "1m",
}
CHOICES = {
    # The dashboards that show one tenant or one port are asked about these.
    "tenant.json": {"tenant": "shop", "listener": ".*"},
    "canary.json": {"tenant": "shop", "listener": "web"},
    "idle-and-wake.json": {"tenant": ".*", "listener": ".*"},
    "fleet.json": {},
}


@dataclass(frozen=True, slots=True)
class Question:
    """A query that must have an answer, and where it comes from."""

    where: str
    expr: str


def questions() -> Iterator[Question]:
    """Yield everything that is asked; of an alert also each side that it compares."""
    for asked in queries.of_boards():
        values = VALUES | CHOICES[asked.where.partition(":")[0]]
        yield Question(asked.where, asked.with_values(values))
    for where, selector, label in queries.of_variables():
        values = CHOICES[where.partition(":")[0]]
        expr = queries.Asked(where, f"group by ({label}) ({selector})").with_values(values)
        yield Question(where, expr)
    for asked in queries.of_rules():
        for part in queries.without_comparisons(asked.expr):
            yield Question(asked.where, part)


async def unanswered(scene: Scene, within_s: float) -> dict[Question, str]:
    """Ask until each question had an answer once; return those that had none, and why."""
    left = dict.fromkeys(questions(), "no data")
    until_s = monotonic_s() + within_s
    while left and monotonic_s() < until_s:
        for question in list(left):
            try:
                if await scene.query(question.expr):
                    del left[question]
            except ValueError as error:
                left[question] = str(error)
        await asyncio.sleep(1)
    return left
