"""Every signal has names, and every name leads back to it."""

from typing import get_args

import pytest

from tenantproxy.model.rollout_spec import DEFAULT_CHECKS, QUANTILES, Signal
from tenantproxy.model.signal_names import SHARES, SIGNAL_NAMES, SIZES, TIMES, parse_signal


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("resets", ("resets", None)),
        ("first_byte_p99", ("first_byte", 0.99)),
        ("bytes_out_p50", ("bytes_out", 0.5)),
        ("duration_shape", ("duration", None)),
    ],
)
def test_a_name_says_the_signal_and_its_quantile(name, meant):
    assert parse_signal(name) == meant


@pytest.mark.parametrize(
    "name", ["", "first_byte", "first_byte_p98", "resets_p99", "resets_shape", "http_5xx", "Resets"]
)
def test_a_name_of_nothing_is_none(name):
    assert parse_signal(name) is None


def test_every_signal_has_a_kind_and_every_name_is_known():
    assert set(get_args(Signal)) == {*SHARES, *TIMES, *SIZES}
    assert len(SIGNAL_NAMES) == len(SHARES) + (len(TIMES) + len(SIZES)) * (len(QUANTILES) + 1)
    assert len(set(SIGNAL_NAMES)) == len(SIGNAL_NAMES)
    assert all(parse_signal(name) for name in SIGNAL_NAMES)


def test_checks_that_are_there_by_default_are_called_by_their_signal():
    assert all(parse_signal(check.name) == (check.signal, None) for check in DEFAULT_CHECKS)
