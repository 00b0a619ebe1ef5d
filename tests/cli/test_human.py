"""Numbers and times for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.cli import human


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0B"), (1023, "1023B"), (1024, "1.0KiB"), (1536, "1.5KiB"), (5 << 40, "5.0TiB")],
)
def test_sizes(count, shown):
    assert human.size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0s"),
        (0.9, "0s"),
        (59, "59s"),
        (60, "1m"),
        (200, "3m20s"),
        (7500, "2h5m"),
        (777600, "9d"),
    ],
)
def test_spans(seconds, shown):
    assert human.span(seconds) == shown


def test_one_is_told_in_the_singular():
    assert [human.counted(number, "check") for number in range(3)] == [
        "0 checks",
        "1 check",
        "2 checks",
    ]


@given(st.integers(0, 10**9))
def test_a_span_never_overstates_and_its_second_unit_is_the_next_smaller(seconds):
    units = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
    total, number = 0, ""
    for letter in human.span(seconds):
        if letter.isdigit():
            number += letter
        else:
            total += int(number) * units[letter]
            number = ""
    assert total <= seconds
    assert seconds - total < (3_600 if seconds >= 86_400 else 60)


def test_times_relative_to_now():
    assert human.since(None, 0) == "-"
    assert human.since("1970-01-01T00:01:00.000Z", 65) == "5s"
    assert human.until("1970-01-01T00:01:00.000Z", 0) == "1m"


def test_any_value_is_one_line():
    assert human.text(None) == "-"
    assert human.text(True) == "yes"
    assert human.text({"a": 1}) == "a=1"
    assert human.text(["a", "b"]) == "a, b"
    assert human.text({}) == human.text([]) == "-"
    assert human.text(0) == "0"
