"""Tables, and what is and is not coloured."""

import io
import re
import sys

import pytest

from tenantproxy.cli.output import Column, Table

COLUMNS = [
    Column("NAME", lambda item, _: item["name"]),
    Column("COUNT", lambda item, _: str(item["count"]), right=True),
    Column("STATE", lambda item, _: item.get("state", ""), state=True),
    Column("MORE", lambda item, _: "more", wide=True),
]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, out, *batches, wide=False):
    monkeypatch.setattr(sys, "stdout", out)
    table = Table(COLUMNS, wide=wide)
    for batch in batches:
        table.show([table.cells(item, 0) for item in batch])
    return out.getvalue()


def test_columns_are_aligned_and_lines_have_no_blanks_at_their_end(monkeypatch):
    items = [{"name": "a", "count": 5}, {"name": "longer", "count": 12345}]
    assert shown(monkeypatch, io.StringIO(), items) == (
        "NAME     COUNT   STATE\na            5\nlonger   12345\n"
    )


def test_rows_that_come_later_have_no_title_and_keep_the_widths(monkeypatch):
    first, later = [{"name": "longer", "count": 1}], [{"name": "b", "count": 2}]
    lines = shown(monkeypatch, io.StringIO(), first, later).splitlines()
    assert lines == ["NAME     COUNT   STATE", "longer       1", "b            2"]


def test_wide_shows_more_columns(monkeypatch):
    assert "more" in shown(monkeypatch, io.StringIO(), [{"name": "a", "count": 1}], wide=True)


def test_a_line_break_in_a_value_does_not_break_the_row(monkeypatch):
    out = shown(monkeypatch, io.StringIO(), [{"name": "a\nb", "count": 1}])
    assert "a b" in out


def test_colour_is_for_terminals_that_want_it(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    items = [{"name": "a", "count": 1, "state": "failed"}]
    assert "\x1b[" in shown(monkeypatch, Terminal(), items)
    assert "\x1b[" not in shown(monkeypatch, io.StringIO(), items)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in shown(monkeypatch, Terminal(), items)


@pytest.mark.parametrize(
    ("state", "colour"),
    [
        ("ok", "\x1b[32m"),
        ("asleep", None),
        ("panic, 3 unhealthy", "\x1b[31m"),
        ("no endpoints, 2 ejected", "\x1b[31m"),
        ("full", "\x1b[31m"),
        ("1 unhealthy, full", "\x1b[33m"),
        ("discovery fails", "\x1b[33m"),
    ],
)
def test_the_worst_of_several_words_gives_the_colour(monkeypatch, state, colour):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    out = shown(monkeypatch, Terminal(), [{"name": "a", "count": 1, "state": state}])
    assert re.findall(r"\x1b\[3\dm", out) == ([colour] if colour else [])
