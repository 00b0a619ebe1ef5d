"""Colour: only for a terminal, and not when the person said no."""

from __future__ import annotations

import os
from typing import IO, Any

import click


def wants_colour(stream: IO[Any]) -> bool:
    """Tell whether colour may be sent to this stream (https://no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(stream.isatty())


def draws(stream: IO[Any]) -> bool:
    """Tell whether a screen may be drawn on this stream: it is a terminal that has a cursor."""
    return bool(stream.isatty()) and os.environ.get("TERM", "") not in ("", "dumb")


def styled(text: str, stream: IO[Any], **style: Any) -> str:
    """Return the text with a style, where the stream wants one."""
    return click.style(text, **style) if wants_colour(stream) else text
