"""What a rollout measures, in the units that people read: `0.12%`, `12.3ms`, `1.5MiB`."""

from __future__ import annotations

from tenantproxy.cli import human
from tenantproxy.model.signal_names import SHARES, SIZES, TIMES, parse_signal

_MINUTE_S = 60.0


def measure(value: float | None, signal: str | None) -> str:
    """Return a value of a signal: a share, a time or a size; `-` for nothing seen."""
    if value is None:
        return "-"
    known = parse_signal(signal) if signal else None
    if known is None:
        return f"{value:.4g}"
    of, quantile = known
    if of in SHARES:
        return f"{value:.2%}"
    if quantile is not None and of in TIMES:
        return time(value)
    if quantile is not None and of in SIZES:
        return human.size(value)
    return f"{value:.2f}"


def time(seconds: float) -> str:
    """Return a short time to three digits: `85us`, `12.3ms`, `1.5s`; from a minute on `3m20s`."""
    for unit, size_s in (("us", 1e-6), ("ms", 1e-3)):
        if seconds < size_s * 999.5:
            return f"{seconds / size_s:.3g}{unit}"
    return f"{seconds:.3g}s" if seconds < _MINUTE_S else human.span(seconds)


def percent(value: float | None) -> str:
    """Return `25%`, `24.6%`; `-` for nothing seen."""
    return "-" if value is None else f"{round(value, 1):g}%"
