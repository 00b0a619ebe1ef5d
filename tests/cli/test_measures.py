"""Values of signals in the units that people read."""

import pytest

from tenantproxy.cli.measures import measure, percent
from tenantproxy.model.signal_names import SIGNAL_NAMES


@pytest.mark.parametrize(
    ("value", "signal", "shown"),
    [
        (0.052, "resets", "5.2%"),
        (0.0, "connect_failures", "0%"),
        (0.0123, "first_byte_p50", "12.3ms"),
        (75.0, "duration_p99", "1m15s"),
        (1_572_864.0, "bytes_out_p95", "1.5MiB"),
        (0.000085, "connect_time_p50", "0.085ms"),
        (0.214, "duration_shape", "214ms"),
        (2048.0, "bytes_in_shape", "2.0KiB"),
        (1234.5678, None, "1235"),
        (1234.5678, "of_my_own", "1235"),
        (None, "resets", "-"),
        (None, None, "-"),
    ],
)
def test_a_value_has_the_unit_of_its_signal(value, signal, shown):
    assert measure(value, signal) == shown


@pytest.mark.parametrize("signal", SIGNAL_NAMES)
def test_every_signal_can_be_shown(signal):
    assert measure(0.5, signal) not in ("", "-")


def test_percents_have_a_digit_behind_the_point_where_it_says_something():
    assert [percent(value) for value in (0, 25, 24.59, 100.0, None)] == [
        "0%",
        "25%",
        "24.6%",
        "100%",
        "-",
    ]
