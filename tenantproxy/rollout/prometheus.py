"""A judge that is a query of Prometheus: one number, within bounds or not.

Source: prometheus.io, HTTP API, instant queries. Whatever speaks that API will
do: Thanos, Mimir, VictoriaMetrics.
"""

from __future__ import annotations

import json
import math
from typing import Any

from tenantproxy.errors import NoVerdict
from tenantproxy.model.findings import Result, Subject
from tenantproxy.model.rollout_spec import OutsideCheck
from tenantproxy.rollout.http import Http, Reply, address
from tenantproxy.rollout.template import fill
from tenantproxy.rollout.words import number, one_line, span

_OK = 200
_NO_POST = (405, 501)
"""Some proxies in front of it let only GET pass."""


async def ask(http: Http, check: OutsideCheck, about: Subject) -> tuple[Result, str]:
    """Return what the query says, and the number with its bounds.

    Raises:
        NoVerdict: no answer, or none that is one number.
    """
    url = _endpoint(check.url)
    form = {"query": fill(check.query, about), "timeout": span(check.timeout_s)}
    reply = await http.ask("POST", url, form=form)
    if reply.status in _NO_POST:
        reply = await http.ask("GET", url, params=form)
    return verdict(check, value_of(reply))


def _endpoint(base: str) -> str:
    """Return where instant queries go; a path before it and parameters of its own stay."""
    url = address(base)
    return str((url / "api/v1/query").with_query(url.query))


def verdict(check: OutsideCheck, value: float | None) -> tuple[Result, str]:
    """Say whether a number is within the bounds, both included; None and NaN are no data."""
    if value is None:
        return "no_data", "the query gives nothing"
    if math.isnan(value):
        return "no_data", "the query gives NaN"
    if check.max is not None and value > check.max:
        return "failed", f"{_apart(value, check.max)}, at most {number(check.max)}"
    if check.min is not None and value < check.min:
        return "failed", f"{_apart(value, check.min)}, at least {number(check.min)}"
    bounds = ((check.min, "at least"), (check.max, "at most"))
    said = " and ".join(f"{word} {number(bound)}" for bound, word in bounds if bound is not None)
    return "passed", ", ".join(filter(None, (number(value), said)))


def value_of(reply: Reply) -> float | None:
    """Return the one number of an answer, or None when the result is empty.

    Raises:
        NoVerdict: it is an error, or another number of numbers.
    """
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        answer = None
    match answer:
        case {"status": "error", "error": str(text)}:
            raise NoVerdict(f"Prometheus says: {one_line(text, 160)}")
        case {"status": "success", "data": {"resultType": str(kind), "result": list(found)}} if (
            reply.status == _OK
        ):
            return _number_in(kind, found)
    if reply.status != _OK:
        raise NoVerdict(f"answered {reply.status}")
    if not reply.whole:
        raise NoVerdict("its answer is longer than 64 KiB: let the query give one series")
    raise NoVerdict("its answer is not one of Prometheus")


def _number_in(kind: str, found: list[Any]) -> float | None:
    match kind, found:
        case "vector", []:
            return None
        case ("scalar", [_, str(text)]) | ("vector", [{"value": [_, str(text)]}]):
            try:
                return float(text)
            except ValueError:
                raise NoVerdict("its value is not a number") from None
        case "vector", [_]:
            raise NoVerdict("the query gives a histogram, needs a number: take a quantile of it")
        case "vector", _:
            raise NoVerdict(f"gives {len(found)} series, needs one: wrap it in sum()")
    raise NoVerdict(f"the query gives a {one_line(kind, 20)}, needs one number")


def _apart(value: float, bound: float) -> str:
    """Return the value with as many digits as it takes to tell it from the bound."""
    return number(value) if number(value) != number(bound) else repr(value)
