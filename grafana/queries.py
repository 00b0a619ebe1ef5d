"""Finds every PromQL query of dashboards and rules, and the metrics and labels that it names.

Parsed by promql-parser, which is Prometheus' grammar, not by patterns of ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser as promql
import yaml

FOLDER = Path(__file__).parent
RULES = FOLDER / "rules" / "tenantproxy.yaml"

_COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})


@dataclass(frozen=True, slots=True)
class Asked:
    """A query and the place where it stands."""

    where: str
    expr: str
    """As written, with Grafana's variables."""

    def with_values(self, values: Mapping[str, str]) -> str:
        """Return the query with `$name` and `${name}` replaced; longer names first."""
        expr = self.expr
        for name in sorted(values, key=len, reverse=True):
            expr = expr.replace(f"${{{name}}}", values[name]).replace(f"${name}", values[name])
        return expr


def boards() -> dict[str, dict[str, Any]]:
    """Return the committed dashboards by file name."""
    files = sorted((FOLDER / "dashboards").glob("*.json"))
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in files}


def rules() -> list[dict[str, Any]]:
    """Return every recording and alerting rule."""
    read = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [rule for group in read["groups"] for rule in group["rules"]]


def of_boards() -> Iterator[Asked]:
    """Yield the queries of every panel and annotation."""
    for file, board in boards().items():
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                yield Asked(f"{file}: {panel['title']}", target["expr"])
        for mark in board.get("annotations", {}).get("list", ()):
            yield Asked(f"{file}: annotation {mark['name']}", mark["expr"])


def of_variables() -> Iterator[tuple[str, str, str]]:
    """Yield place, selector and label of every variable that is filled by `label_values`."""
    for file, board in boards().items():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                inside = variable["query"].removeprefix("label_values(").removesuffix(")")
                selector, _, label = inside.rpartition(",")
                yield f"{file}: variable {variable['name']}", selector.strip(), label.strip()


def of_rules() -> Iterator[Asked]:
    """Yield the expressions of every rule."""
    for rule in rules():
        name = rule.get("alert") or rule["record"]
        yield Asked(f"rule {name}", " ".join(rule["expr"].split()))


def without_comparisons(expr: str) -> Iterator[str]:
    """Yield what an alert compares: it has data also while nothing is wrong.

    Of `a > 1 and b < 2` that is `a` and `b`, and of `absent(a)` it is `a`.
    """
    yield from (part.prettify() for part in _compared(promql.parse(expr)))


def selectors(expr: str) -> list[promql.VectorSelector]:
    """Return the vector selectors of a query."""
    return [part for part in _parts(expr) if isinstance(part, promql.VectorSelector)]


def metrics(expr: str) -> set[str]:
    """Return the names of the metrics and records that a query reads."""
    return {selector.name for selector in selectors(expr) if selector.name}


def labels(expr: str) -> set[str]:
    """Return the labels that a query matches on, or groups or joins by."""
    found = {matcher.name for one in selectors(expr) for matcher in one.matchers.matchers}
    for part in _parts(expr):
        modifier = getattr(part, "modifier", None)
        if isinstance(part, promql.AggregateExpr) and modifier is not None:
            found.update(modifier.labels)
        elif isinstance(part, promql.BinaryExpr) and modifier is not None and modifier.matching:
            found.update(modifier.matching.labels)
    return found


def _parts(expr: str) -> list[Any]:
    found: list[Any] = []
    promql.walk(promql.parse(expr), found.append)
    return found


def _compared(expr: Any) -> Iterator[Any]:
    if isinstance(expr, promql.ParenExpr):
        yield from _compared(expr.expr)
    elif isinstance(expr, promql.BinaryExpr) and str(expr.op) in _COMPARISONS:
        yield from _compared(expr.lhs)
        if not isinstance(expr.rhs, promql.NumberLiteral):
            yield expr.rhs
    elif isinstance(expr, promql.BinaryExpr) and str(expr.op) in {"and", "or", "unless"}:
        yield from _compared(expr.lhs)
        yield from _compared(expr.rhs)
    elif isinstance(expr, promql.Call) and expr.func.name == "absent":
        yield from expr.args
    else:
        yield expr
