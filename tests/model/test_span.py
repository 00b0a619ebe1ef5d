"""Times have one shape, wherever people read them."""

import pytest

from tenantproxy.model.span import span


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-1, "0s"),
        (0, "0s"),
        (0.0000123, "0.0123ms"),
        (0.2, "200ms"),
        (0.3124, "312ms"),
        (0.9996, "1s"),
        (2.0, "2s"),
        (2.5, "2.5s"),
        (30, "30s"),
        (60, "1m"),
        (90.7, "1m30s"),
        (300.0, "5m"),
        (7500, "2h5m"),
        (9 * 86_400, "9d"),
    ],
)
def test_a_time_is_told_in_its_two_largest_units(seconds, told):
    assert span(seconds) == told
