"""Sizes and shares have one shape, wherever people read them."""

import pytest

from tenantproxy.model.amounts import percent, size


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0B"), (512, "512B"), (1536, "1.5KiB"), (3 << 29, "1.5GiB"), (1 << 60, "1024.0PiB")],
)
def test_a_size_is_told_in_its_largest_unit(count, told):
    assert size(count) == told


@pytest.mark.parametrize(
    ("share", "told"),
    [
        (0, "0%"),
        (0.00012, "0.012%"),
        (0.001, "0.1%"),
        (0.01, "1%"),
        (0.0523, "5.2%"),
        (0.5, "50%"),
        (0.9999, "100%"),
        (1, "100%"),
        (3.0, "300%"),
    ],
)
def test_a_share_is_told_in_two_digits_or_one_behind_the_point(share, told):
    assert percent(share) == told
