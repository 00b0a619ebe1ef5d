"""Makes what strangers say fit to be shown: one line, printable, short."""

from __future__ import annotations

MOST_CHARS = 200


def one_line(text: str, most_chars: int = MOST_CHARS) -> str:
    """Return the printable characters with single blanks between words, and `...` for the rest.

    What `str.isprintable` refuses (control characters, line ends, marks that turn the direction of
    text) becomes a blank: reasons go to terminals and logs.
    """
    # Whatever is cut off later need not be looked at now.
    start = text[: 16 * most_chars]
    words = "".join(char if char.isprintable() else " " for char in start).split()
    line = " ".join(words)
    if len(line) <= most_chars and len(start) == len(text):
        return line
    return f"{line[: most_chars - 3].rstrip()}..." if line else ""


def span(seconds: float) -> str:
    """Return a duration as Prometheus and people write it: `10s`, `1500ms`, and never `0`.

    Source: prometheus.io, querying basics, durations: whole numbers with a unit.
    """
    ms = max(round(seconds * 1000), 1)
    return f"{ms}ms" if ms % 1000 else f"{ms // 1000}s"


def number(value: float) -> str:
    """Return a number with six digits."""
    return f"{value:.6g}"
