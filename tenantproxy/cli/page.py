"""Prints sections of rows for a person, as wide as the terminal is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import IO, Any

import click
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from tenantproxy.cli.sections import Section
from tenantproxy.cli.terminal import wants_colour

_WIDE_ENOUGH = 10_000
"""Columns when nobody's terminal says otherwise: nothing is wrapped in a file."""


def console_of(out: IO[Any], *, width: int | None = None) -> Console:
    """Return what draws on a stream: in colour only where that is wanted, wrapped on a terminal."""
    return Console(
        file=out,
        width=width or (None if out.isatty() else _WIDE_ENOUGH),
        no_color=not wants_colour(out),
        highlight=False,
        markup=False,
        emoji=False,
    )


def drawn(section: Section, *, colour: bool) -> Group:
    """Return a section as it is drawn: its title, and its rows in columns under it.

    Of several columns only the last is wrapped when all are too wide.
    """
    grid = Table.grid(padding=(0, 3, 0, 0))
    columns = max((len(row) for row in section.rows), default=0)
    for number in range(columns):
        grid.add_column(no_wrap=columns > 2 and number < columns - 1, overflow="fold")  # noqa: PLR2004 - a key and its value
    for row in section.rows:
        first = _text(row[0])
        if section.title:
            first = Text("  ") + first
        grid.add_row(first, *map(_text, row[1:]))
    title = [Text(section.title, style="bold" if colour else "")] if section.title else []
    return Group(*title, grid)


def print_page(sections: Sequence[Section]) -> None:
    """Print sections to standard output, with an empty line between two."""
    out = sys.stdout
    console = console_of(out)
    colour = wants_colour(out)
    for number, section in enumerate(sections):
        with console.capture() as captured:
            console.print(drawn(section, colour=colour))
        lines = [line.rstrip() for line in captured.get().splitlines()]
        click.echo("\n".join(["", *lines] if number else lines), file=out)


def _text(cell: Any) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))
