"""What the YAML parser says, in words for the person who wrote the text."""

from __future__ import annotations

import re

import yaml

from tenantproxy.errors import Problem

MAX_DEPTH = 64
TOO_DEEP = f"nested more than {MAX_DEPTH} deep", "check the brackets"
"""What is wrong, and the hint."""

_PHRASES: tuple[tuple[str, str, str], ...] = (
    (
        "mapping values are not allowed",
        "a `:` is not possible here",
        "check the indentation, and put text that contains `: ` in quotes",
    ),
    (
        "found a tab character",
        "a tab is used for indentation",
        "indent with spaces, YAML does not take tabs",
    ),
    (
        "did not find expected ',' or ']'",
        "the list in [ ] is not closed before this",
        "add the missing `]` or `,`",
    ),
    (
        "did not find expected ',' or '}'",
        "the mapping in { } is not closed before this",
        "add the missing `}` or `,`",
    ),
    (
        "found unexpected end of stream",
        "the text ends inside a quoted value",
        "add the missing quote",
    ),
    (
        "unknown escape character",
        "a backslash stands before a character that needs none",
        "use single quotes, or write \\\\ for a backslash",
    ),
    (
        "did not find expected '-' indicator",
        "a list goes on with something that is no list item",
        "check the indentation; every item of a list starts with `- `",
    ),
    (
        "did not find expected key",
        "a key was expected here",
        "check the indentation and the quotes of the lines above",
    ),
    (
        "could not find expected ':'",
        "the line above has a key without `:`",
        "write `key: value`",
    ),
    ("exceeded maximum nesting depth", *TOO_DEEP),  # PyYAML's own, far above ours; since 6.0.4
    (
        "incompatible YAML document",
        "this version of YAML is not known",
        "remove the %YAML line",
    ),
)


_NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""The rest of YAML 1.2, 5.1."""


class Refused(Exception):
    """A YAML text that cannot be read further; carries the problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def from_yaml_error(error: Exception, text: str, file: str | None) -> Problem:
    """Return the parser's error as a problem with its place."""
    if isinstance(error, yaml.MarkedYAMLError):
        return _marked(error, text, file)
    if isinstance(error, yaml.reader.ReaderError):
        bad = _NOT_PRINTABLE.search(text)
        at = bad.start() if bad else 0
    else:  # a lone surrogate, which no file has but a JSON body may
        at = getattr(error, "start", 0)
    line, column = _place(text, at)
    code = f"U+{ord(text[at]):04X}" if at < len(text) else "?"
    message = f"the character {code} is not allowed in YAML"
    return Problem(message, "", file, line, column, "remove it, or save the file as UTF-8 text")


def _marked(error: yaml.MarkedYAMLError, text: str, file: str | None) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    said = error.problem or error.context or "this is not YAML"
    if "cannot start any token" in said:
        message, hint = _bad_start(text, line, column)
        return Problem(message, "", file, line, column, hint)
    for part, words, hint in _PHRASES:
        if part in said:
            start = error.context_mark
            tail = ""
            if start is not None and start.line + 1 != line and "closed" in words:
                tail = f"; it starts on line {start.line + 1}"
            return Problem(f"{words}{tail}", "", file, line, column, hint)
    message = f"this is not YAML: {said}"
    return Problem(message, "", file, line, column, "check the lines above for a missing quote")


def _bad_start(text: str, line: int, column: int) -> tuple[str, str]:
    lines = text.split("\n")
    rest = lines[line - 1][column - 1 :] if line <= len(lines) else ""
    if rest.startswith("\t"):
        return "a tab is used for indentation", "indent with spaces, YAML does not take tabs"
    return f"a value cannot start with `{rest[:1]}`", "put the value in quotes"


def _place(text: str, at: int) -> tuple[int, int]:
    before = text[:at]
    return before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1
