"""What goes to standard output, in the form that `-o` asks for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from tenantproxy.cli.terminal import styled

Item = Mapping[str, Any]
_GAP = "   "
_COLOURS = {
    "open": "green",
    "ok": "green",
    "succeeded": "green",
    "opening": "yellow",
    "running": "yellow",
    "paused": "yellow",
    "promoting": "yellow",
    "rolling_back": "red",
    "rolled_back": "red",
    "aborted": "red",
    "discovery fails": "yellow",
    "full": "red",
    "no endpoints": "red",
    "panic": "red",
    "failed": "red",
    "refused": "red",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table; `cell(item, now_s)` is its text."""

    title: str
    cell: Callable[[Item, float], str]
    wide: bool = False
    """Shown with `-o wide` only."""
    right: bool = False
    state: bool = False
    """Coloured by what it says."""


class Table:
    """Prints rows under their titles; rows that come later keep the columns' widths."""

    def __init__(self, columns: Sequence[Column], *, wide: bool) -> None:
        self._columns = [column for column in columns if wide or not column.wide]
        self._widths: list[int] = []

    def cells(self, item: Item, now_s: float) -> tuple[str, ...]:
        """Return the texts of one row."""
        return tuple(" ".join(column.cell(item, now_s).split()) for column in self._columns)

    def show(self, rows: Sequence[tuple[str, ...]]) -> None:
        """Print rows; the first time, the titles above them."""
        titles = tuple(column.title for column in self._columns)
        first = not self._widths
        every = [titles, *rows] if first else list(rows)
        widths = self._widths or [0] * len(titles)
        self._widths = [
            max([width, *map(len, texts)])
            for width, texts in zip(widths, zip(*every, strict=True), strict=True)
        ]
        out = sys.stdout
        lines = [self._line(row, plain=first and row is titles) for row in every]
        if lines:
            click.echo("\n".join(lines), file=out)

    def _line(self, row: tuple[str, ...], *, plain: bool) -> str:
        out = sys.stdout
        parts = []
        for column, text, width in zip(self._columns, row, self._widths, strict=True):
            padded = text.rjust(width) if column.right else text.ljust(width)
            if column.state and not plain:
                padded = styled(padded, out, fg=colour_of(text))
            parts.append(padded)
        return _GAP.join(parts).rstrip()


def colour_of(text: str) -> str | None:
    """Return the colour of a state, or of the first of several; `2 unhealthy` is yellow."""
    first = text.partition(",")[0]
    return "yellow" if first[:1].isdigit() else _COLOURS.get(first)


def echo_json(value: Any, *, one_line: bool = False) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=None if one_line else 2))


def echo_yaml(value: Any, *, more: bool = False) -> None:
    """Print a value as YAML; with `more`, as one document of several."""
    from tenantproxy.config.render import to_yaml  # noqa: PLC0415 - keeps `--help` fast

    text = to_yaml(value)
    click.echo(("---\n" if more else "") + text, nl=False)


def echo_value(value: Any, output: str) -> None:
    """Print a value as YAML when that is asked for, and as JSON otherwise."""
    if output == "yaml":
        echo_yaml(value)
    else:
        echo_json(value)


def structured(output: str) -> bool:
    """Tell whether the whole answer is to be printed, for a program to read."""
    return output in ("json", "yaml")


def talk(message: str) -> None:
    """Say something to the person: on standard error, so that pipes get data only."""
    click.echo(message, err=True)
