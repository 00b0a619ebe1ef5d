"""One test, two sizes: small in every run, whole under the marker `trial`."""

from __future__ import annotations

from typing import Any

import pytest


def sizes(names: str, quick: Any, full: Any, *, timeout_s: float = 300) -> pytest.MarkDecorator:
    """Parametrise a test by `names` with the quick values and with the issue's own."""
    return pytest.mark.parametrize(
        names,
        [
            pytest.param(*_tuple(quick), id="quick"),
            pytest.param(
                *_tuple(full),
                id="full",
                marks=[pytest.mark.trial, pytest.mark.timeout(timeout_s)],
            ),
        ],
    )


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
