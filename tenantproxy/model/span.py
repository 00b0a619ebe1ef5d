"""The length of a time in the words of reasons and of the command line."""

from __future__ import annotations


def span(seconds: float) -> str:
    """Return it in its two largest units: `200ms`, `2.5s`, `4s`, `3m20s`, `2h5m`, `9d`.

    From a minute on parts of a second are left out.
    """
    if 0 < seconds < 0.9995:  # noqa: PLR2004 - more is told as 1s
        return f"{seconds * 1000:.3g}ms"
    if 0 < seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.3g}s"
    whole = max(0, int(seconds))
    for unit_s, unit, lower_s, lower in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= unit_s:
            rest = whole % unit_s // lower_s
            return f"{whole // unit_s}{unit}" + (f"{rest}{lower}" if rest else "")
    return f"{whole}s"
