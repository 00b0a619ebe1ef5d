"""The names of signals: `resets`, `first_byte_p99`, `duration_shape`."""

from __future__ import annotations

from typing import get_args

from tenantproxy.model.rollout_spec import QUANTILES, Signal

SHARES: tuple[Signal, ...] = ("connect_failures", "resets", "early_closes")
"""Judged as parts of all connections."""
TIMES: tuple[Signal, ...] = ("connect_time", "first_byte", "duration")
"""Judged by a quantile or by their shape, in seconds."""
SIZES: tuple[Signal, ...] = ("bytes_in", "bytes_out")
"""Judged by a quantile or by their shape, in bytes."""


def _names() -> dict[str, tuple[Signal, float | None]]:
    signals: tuple[Signal, ...] = get_args(Signal)
    names: dict[str, tuple[Signal, float | None]] = {}
    for signal in signals:
        if signal in SHARES:
            names[signal] = (signal, None)
            continue
        for quantile in QUANTILES:
            names[f"{signal}_p{quantile * 100:.0f}"] = (signal, quantile)
        names[f"{signal}_shape"] = (signal, None)
    return names


_NAMES = _names()

SIGNAL_NAMES: tuple[str, ...] = tuple(_NAMES)
"""All that `parse_signal` knows, in the order in which they are worth reading."""


def parse_signal(name: str) -> tuple[Signal, float | None] | None:
    """Return the signal and the quantile of a name; None: there is no such signal.

    The quantile is one of `QUANTILES`; it is None of shares, and of shapes, which are all other
    signals without a quantile.
    """
    return _NAMES.get(name)
