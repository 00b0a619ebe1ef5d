"""Units: what is written is what is meant, and comes back to the last bit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.config.units import (
    MAX_DURATION_S,
    format_duration,
    format_rate,
    format_share,
    format_share_rate,
    format_size,
    parse_duration_s,
    parse_rate,
    parse_share,
    parse_share_rate,
    parse_size_bytes,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("5s", 5.0),
        ("15m", 900.0),
        ("1h", 3600.0),
        ("30d", 2_592_000.0),
        ("0s", 0.0),
        ("1.5h", 5400.0),
        ("0.1s", 0.1),
        ("3ms", 0.003),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text, seconds):
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("5", "it has no unit, write 5s"),
        ("1h30m", "one number and one unit are needed, write 90m"),
        ("1d1h1m1s", "write 90061s"),
        ("5 s", "write for example 500ms"),
        ("-5s", "write for example"),
        ("5S", "write for example"),
        ("", "write for example"),
        ("s", "write for example"),
        ("5sec", "write for example"),
        ("٥s", "write for example"),  # noqa: RUF001 - a digit to Python, not to us
        ("1e3s", "write for example"),
        ("infs", "write for example"),
        ("5s\n", "write for example"),
        ("3651d", "longer than 3650d"),
        ("9" * 5000 + "s", "is not a duration"),
    ],
)
def test_what_is_no_duration_is_refused_with_what_to_write(text, said):
    with pytest.raises(ValueError, match=r"duration|longer") as caught:
        parse_duration_s(text)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (900.0, "15m"),
        (1.5, "1500ms"),
        (0.0, "0s"),
        (90.0, "90s"),
        (86_400.0, "1d"),
        (3600.0, "1h"),
        (0.0001, "0.0001s"),
        (30 * 86_400.0, "30d"),
    ],
)
def test_a_duration_is_shown_in_its_largest_whole_unit(seconds, text):
    assert format_duration(seconds) == text


@given(st.floats(0, MAX_DURATION_S))
def test_every_duration_comes_back_to_the_last_bit(seconds):
    assert parse_duration_s(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("10MiB", 10 << 20), ("1GB", 10**9), ("512B", 512), ("1.5KiB", 1536), ("1TiB", 1 << 40)],
)
def test_sizes_know_both_families_of_units(text, size_bytes):
    assert parse_size_bytes(text) == size_bytes


@pytest.mark.parametrize("text", ["10", "10M", "10 MiB", "1.5B", "-1B", "MiB", "10mib"])
def test_what_is_no_size_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="write for example 10MiB"):
        parse_size_bytes(text)


@given(st.integers(0, 1 << 60))
def test_every_size_comes_back(size_bytes):
    assert parse_size_bytes(format_size(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    ("text", "per_second"),
    [("200/s", 200.0), ("60/m", 1.0), ("50MiB/s", 50.0 * (1 << 20)), ("0.5/s", 0.5)],
)
def test_rates_are_counts_or_bytes_a_second(text, per_second):
    assert parse_rate(text) == per_second


@pytest.mark.parametrize("text", ["200", "200/day", "/s", "200 /s", "-1/s"])
def test_what_is_no_rate_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="write for example 200/s"):
        parse_rate(text)


@given(st.floats(0, 1e15, allow_subnormal=False))
def test_every_rate_comes_back(per_second):
    assert parse_rate(format_rate(per_second)) == per_second


@pytest.mark.parametrize(
    ("text", "per_second"),
    [("5%/m", 0.05 / 60), ("30%/s", 0.3), ("1%/h", 0.01 / 3600), ("0%/m", 0.0), ("100%/s", 1.0)],
)
def test_a_share_of_a_time_is_a_part_a_second(text, per_second):
    assert parse_share_rate(text) == pytest.approx(per_second, rel=1e-15)


@pytest.mark.parametrize("text", ["5%", "5/m", "5%/d", "101%/h", "%/m", "-1%/m", "5 %/m"])
def test_what_is_no_share_of_a_time_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="write for example 5%/m"):
        parse_share_rate(text)


@given(st.integers(0, 10_000), st.sampled_from("smh"))
def test_every_share_of_a_time_comes_back_to_the_last_bit(hundredths, unit):
    per_second = parse_share_rate(f"{hundredths / 100:.2f}%/{unit}")
    assert parse_share_rate(format_share_rate(per_second)) == per_second


def test_a_share_of_a_time_is_shown_by_the_minute_where_that_is_exact():
    assert format_share_rate(0.05 / 60) == "5%/m"
    assert format_share_rate(parse_share_rate("1%/s")) == "60%/m"
    assert format_share_rate(parse_share_rate("2%/s")) == "2%/s"
    assert format_share_rate(parse_share_rate("0.01%/h")) == "0.01%/h"
    assert format_share_rate(1 / 3) == "33.33333333333333%/s"


def test_a_part_of_something_else_may_be_above_all_of_it():
    assert parse_share("150%", 10.0) == 1.5
    with pytest.raises(ValueError, match=r'"1001%" is above 1000%'):
        parse_share("1001%", 10.0)


def test_a_share_is_a_percentage():
    assert parse_share("10%") == 0.1
    assert parse_share("100%") == 1.0
    assert parse_share("0.5%") == 0.005


@pytest.mark.parametrize("text", ["10", "101%", "-1%", "%", "0.1"])
def test_what_is_no_share_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="write for example 10%"):
        parse_share(text)


@given(st.floats(0, 1, allow_subnormal=False))
def test_every_share_comes_back(share):
    assert parse_share(format_share(share)) == share
