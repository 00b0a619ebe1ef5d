"""What a plain YAML scalar means, where YAML 1.1 and 1.2 agree; a trap where they do not."""

from __future__ import annotations

import re
from dataclasses import dataclass

Scalar = str | int | float | bool | None

MAX_DIGITS = 19
"""No number of the document comes near; more would cost time that grows with the square."""


@dataclass(frozen=True, slots=True)
class Trap:
    """A scalar that means one thing to one YAML parser and another to the next."""

    message: str
    hint: str
    what: str
    """As the end of a sentence: `a number in base 60`."""


_WORDS: dict[str, Scalar] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_SWITCHES = {
    w: value
    for n, value in (("yes", "true"), ("on", "true"), ("no", "false"), ("off", "false"))
    for w in (n, n.title(), n.upper())
}
_NUMERIC_START = frozenset("-+.0123456789")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_OCTAL = re.compile(r"[-+]?0o?[0-9_]+")
_TRAPS = (
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+"), "a power of ten"),
    (re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"), "a number in base 60"),
    (re.compile(r"[-+]?0b[01_]+"), "a binary number"),
    (re.compile(r"0x[0-9a-fA-F_]+"), "a hexadecimal number"),
)
_UNDERSCORES = re.compile(
    r"(?=.*_)[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
)


def resolve(text: str) -> Scalar | Trap:
    """Return the value of a plain scalar; a text comes back as the same object."""
    if text in _WORDS:
        return _WORDS[text]
    if text in _SWITCHES:
        value = _SWITCHES[text]
        return Trap(
            f"`{text}` is {value} to some YAML parsers and text to others",
            f'write {value}, or "{text}" in quotes if text is meant',
            f"a word for {value}",
        )
    return _number(text) if text[0] in _NUMERIC_START else text


def _number(text: str) -> Scalar | Trap:
    if _INT.fullmatch(text):
        return int(text) if len(text) <= MAX_DIGITS else _trap(text, "a number too long to be used")
    if _OCTAL.fullmatch(text):
        return _trap(text, "an octal number", "" if "o" in text else text.lstrip("0") or "0")
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if _UNDERSCORES.fullmatch(text):
        return _trap(text, "a number with underscores", text.replace("_", ""))
    what = next((what for pattern, what in _TRAPS if pattern.fullmatch(text)), None)
    return text if what is None else _trap(text, what)


def _trap(text: str, what: str, plain: str = "") -> Trap:
    number = f"write {plain} if the number is meant, or " if plain else "write "
    return Trap(
        f"`{text}` is {what} to some YAML parsers and not to others",
        f'{number}"{text}" in quotes if text is meant',
        what,
    )
