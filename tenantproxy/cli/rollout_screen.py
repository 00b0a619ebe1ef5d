"""The live screen of a rollout: the page of `rollout status`, drawn again as it moves."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from tenantproxy import clock
from tenantproxy.cli.output import Item
from tenantproxy.cli.page import console_of, drawn
from tenantproxy.cli.rollout_follow import Look
from tenantproxy.cli.sections import Section
from tenantproxy.cli.told import recent
from tenantproxy.cli.told_rollout import told_rollout, told_rollout_shortly

EVENTS = 8
"""Of the newest; more would push out what is now."""


class Screen:
    """Owns the terminal while it is entered; `update` draws, and nothing else does."""

    def __init__(self) -> None:
        self._console = console_of(sys.stdout)
        self._live = Live(
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._events: dict[int, Item] = {}

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def update(self, look: Look) -> None:
        """Draw the rollout as it is now."""
        for event in (look.past or ()) if look.event is None else (look.event,):
            self._events[event["number"]] = event
        newest = [event for _, event in sorted(self._events.items())][-EVENTS:]
        shown = screen(look.item, newest, clock.wall_s(), self._console)
        self._live.update(shown, refresh=True)


def screen(item: Item, events: Sequence[Item], now_s: float, console: Console) -> RenderableType:
    """Return what fills the console with a rollout: all of it, or in a low one what matters most.

    What does not fit even then is left out from the end.

    Args:
        item: the rollout, as the API shows it.
        events: its own, oldest first.
        now_s: wall clock.
        console: its width and height bound what is drawn.
    """
    happened = [recent(events, now_s)] if events else []
    whole = told_rollout(item, now_s)
    if _filling(whole, console)[1]:
        return Group(*_filling([*whole, *happened], console)[0])
    return Group(*_filling([*told_rollout_shortly(item, now_s), *happened], console)[0])


def _filling(sections: Sequence[Section], console: Console) -> tuple[list[RenderableType], bool]:
    """Return as much of the sections as there is room for, and whether that is all."""
    room = console.height
    shown: list[RenderableType] = []
    for number, section in enumerate(sections):
        gap = 1 if number and section.title else 0
        part, lines, rows = _fitting(section, room - gap, console)
        if part is not None:
            shown += [Text(""), part] if gap else [part]
        if rows < len(section.rows):
            return shown, False
        room -= lines + gap
    return shown, True


def _fitting(section: Section, room: int, console: Console) -> tuple[Group | None, int, int]:
    """Return the part of a section that there is room for, its height, and how many rows it has."""
    rows = list(section.rows)
    while rows:
        part = drawn(Section(section.title, rows), colour=not console.no_color)
        lines = len(console.render_lines(part, pad=False))
        if lines <= room:
            return part, lines, len(rows)
        rows.pop()
    return None, 0, 0
