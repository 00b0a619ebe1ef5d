"""How the lines of a diff are printed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from tenantproxy.cli.output import Item, talk
from tenantproxy.cli.terminal import styled

_SIGNS = {"add": ("+", "green"), "remove": ("-", "red"), "change": ("~", "yellow")}


def show_changes(changes: Sequence[Item]) -> None:
    """Print one line for each change, or say that there is none."""
    out = sys.stdout
    for change in changes:
        sign, colour = _SIGNS.get(change["op"], ("?", "white"))
        click.echo(styled(line(sign, change), out, fg=colour), file=out)
    if not changes:
        talk("no change")


def line(sign: str, change: Item) -> str:
    """Return `~ split acme/web: web-v1=95 -> web-v1=90`."""
    before, after = _text(change.get("before")), _text(change.get("after"))
    kind, name = change["kind"], change["name"]
    head = f"{sign} {name}" if name.startswith(f"{kind}.") else f"{sign} {kind} {name}"
    match bool(before), bool(after):
        case True, True:
            return f"{head}: {before} -> {after}"
        case False, False:
            return head
        case _:
            return f"{head}: {before or after}"


def _text(value: Any) -> str:
    return " ".join(str(value or "").split())
