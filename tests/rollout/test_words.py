"""What strangers say becomes one short line; times are written as Prometheus reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantproxy.rollout.words import MOST_CHARS, number, one_line, span


@given(st.text(max_size=2 * MOST_CHARS) | st.text("a \n\x1b\u202e", max_size=20 * MOST_CHARS))
def test_a_reason_is_one_line_that_can_be_printed_and_is_short(text):
    line = one_line(text)
    assert line.isprintable()
    assert len(line) <= MOST_CHARS
    assert line == line.strip()


@given(st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), max_size=200))
def test_what_fits_stays_as_it_is(text):
    assert one_line(text) == text


def test_lines_and_marks_become_single_blanks():
    assert one_line(" no:\r\n\tnot \x1b[31mnow\x00 \u2028ever\u202e ") == "no: not [31mnow ever"


def test_what_is_too_long_says_so():
    assert one_line("word " * 100) == ("word " * 39 + "wo").strip() + "..."
    assert one_line("a" * 201) == "a" * 197 + "..."
    assert one_line("\n" * 100_000 + "late") == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(10, "10s"), (1.5, "1500ms"), (0.25, "250ms"), (3600, "3600s"), (0.0001, "1ms")],
)
def test_a_duration_is_a_whole_number_with_a_unit(seconds, text):
    assert span(seconds) == text


def test_numbers_have_six_digits():
    assert [number(one) for one in (0.012, 1 / 3, 1e9, 250.0)] == [
        "0.012",
        "0.333333",
        "1e+09",
        "250",
    ]
