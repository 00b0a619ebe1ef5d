"""Ways to show a rollout that is followed: a line for each event, or a record for each change."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol

import click

from tenantproxy.cli import human
from tenantproxy.cli.columns import full_name
from tenantproxy.cli.output import Item, echo_json, echo_yaml
from tenantproxy.cli.rollout_follow import Look
from tenantproxy.cli.told_rollout import name_of_rollout, where

_GAP = "   "
_COUNTED = ("weight_seen", "stable", "canary", "checks_total")
"""What changes with every connection; a record for each of those would be a flood."""
_TIMES = ("since", "step_since", "step_until", "rollback_until")
"""Never change alone, and may be a millisecond apart from one look to the next."""


class Show(Protocol):
    """Is told every look."""

    def update(self, look: Look) -> None:
        """Show what is new in it."""
        ...


class Lines:
    """Writes where the rollout is, then a line for each of its events."""

    def __init__(self, write: Callable[[str], None] = click.echo) -> None:
        self._write = write
        self._last: tuple[str, int] | None = None

    def update(self, look: Look) -> None:
        """Write a line if there was an event, or if it moved on though none was seen."""
        now = (look.item["state"], look.item["step"])
        if look.event is not None:
            event = look.event
            self._line(event["at"], event["event"], human.text(event["reason"]))
        elif now != self._last:
            item = look.item
            pair = f"{item['from']} -> {item['to']}"
            self._line(name_of_rollout(item), pair, item["state"], where(item))
        self._last = now

    def _line(self, *parts: str) -> None:
        self._write(_GAP.join(" ".join(part.split()) for part in parts))
        sys.stdout.flush()


class Records:
    """Writes the whole rollout, for a program, each time something of it but counters changed."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._last: Item | None = None

    def update(self, look: Look) -> None:
        """Write it if it changed: one line of JSON, a YAML document, or its name."""
        aside = {*_COUNTED, *_TIMES}
        now = {key: value for key, value in look.item.items() if key not in aside}
        if now == self._last:
            return
        self._last = now
        if self._output == "json":
            echo_json(look.item, one_line=True)
        elif self._output == "yaml":
            echo_yaml(look.item, more=True)
        else:
            click.echo(full_name(look.item, "rollouts"))
        sys.stdout.flush()
