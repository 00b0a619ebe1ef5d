"""Parts of `describe` that several kinds of objects share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tenantproxy.cli import human
from tenantproxy.cli.output import Item

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Rows under a title; the first section of an object has none."""

    title: str
    rows: Sequence[Row]


def traffic(item: Item, now_s: float) -> Section:
    """Return what went through a tenant, a listener or an upstream."""
    last = item["last_activity"]
    rows: list[Row] = [
        ("connections", f"{item['connections']} now, {item['connections_total']} in all"),
        ("bytes", f"{human.size(item['bytes_in'])} in, {human.size(item['bytes_out'])} out"),
        ("last activity", f"{human.since(last, now_s)} ago" if last else "never"),
    ]
    rows += [(key, human.pairs(item[key])) for key in ("closed", "rejected") if key in item]
    return Section("Traffic", rows)


def titled(key: str) -> str:
    """Return the key of an answer as a person writes it: `Last reload success`."""
    return key.replace("_", " ").capitalize()
