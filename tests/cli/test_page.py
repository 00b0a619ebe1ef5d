"""How sections are printed: wrapped on a terminal only, and in its last column."""

import io

import pytest
from rich.console import Console
from rich.text import Text

from tenantproxy.cli.page import console_of, drawn, print_page
from tenantproxy.cli.sections import Section


def printed(section, width, *, colour=False):
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=colour, _environ={"TERM": "xterm"})
    console.print(drawn(section, colour=colour))
    return out.getvalue().splitlines()


def test_titles_stand_above_rows_and_an_empty_line_between_sections(capsys):
    print_page([Section("", [("Name:", "a")]), Section("More", [("b", 1), ("cc", 22)])])
    assert capsys.readouterr().out == "Name:   a\n\nMore\n  b    1\n  cc   22\n"


def test_what_goes_to_a_file_is_not_wrapped(capsys):
    long = "word " * 200
    print_page([Section("", [("a", "b", long)])])
    assert capsys.readouterr().out == f"a   b   {long.rstrip()}\n"


def test_only_the_last_of_several_columns_is_wrapped():
    rows = [("first column", "second column", "third " * 6)]
    lines = printed(Section("", rows), 50)
    assert lines[0].startswith("first column   second column   third")
    assert len(lines) == 2
    assert all(line.startswith(" " * 31) for line in lines[1:])


def test_a_section_without_rows_is_its_title():
    assert printed(Section("Nothing", []), 40)[0] == "Nothing"


def test_cells_may_have_a_style():
    lines = printed(Section("", [("a", Text("bad", style="red"))]), 40, colour=True)
    assert "\x1b[31mbad" in lines[0]


@pytest.mark.parametrize("width", [None, 40])
def test_a_console_on_a_file_has_no_colour(width):
    out = io.StringIO()
    console = console_of(out, width=width)
    console.print(Text("x", style="red"))
    assert out.getvalue() == "x\n"
    assert console.width == (width or 10_000)
