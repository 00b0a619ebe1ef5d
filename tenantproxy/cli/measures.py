"""What a rollout measures, in the units that its reasons have: `5.2%`, `12.3ms`, `1.5MiB`."""

from __future__ import annotations

from tenantproxy.model.amounts import percent as model_percent
from tenantproxy.model.amounts import size
from tenantproxy.model.signal_names import SHARES, TIMES, parse_signal
from tenantproxy.model.span import span


def measure(value: float | None, signal: str | None) -> str:
    """Return a value of a signal, which is a share, a time or a size; `-` for nothing seen.

    A shape has none of its own; what stands for it is the median.
    """
    if value is None:
        return "-"
    known = parse_signal(signal) if signal else None
    if known is None:
        return f"{value:.4g}"
    if known[0] in SHARES:
        return model_percent(value)
    return span(value) if known[0] in TIMES else size(value)


def percent(value: float | None) -> str:
    """Return what is counted in percents already: `25%`, `24.6%`; `-` for nothing seen."""
    return "-" if value is None else model_percent(value / 100)
