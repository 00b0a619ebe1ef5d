"""Durations, sizes, rates and shares as people write them, and back.

One number and one unit, nothing between them: `15m`, `10MiB`, `200/s`, `10%`.
Every `parse_x(format_x(value))` is `value` again, to the last bit.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

MAX_DURATION_S = 3650 * 86_400.0
"""Ten years: more is a slip of the pen, and times added to it must stay exact."""

MAX_SHOWN = 40
WHOLE_PERCENT = 100

_SECONDS = {
    "d": Decimal(86_400),
    "h": Decimal(3_600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
}
_BYTES = {
    "TiB": 1 << 40,
    "GiB": 1 << 30,
    "MiB": 1 << 20,
    "KiB": 1 << 10,
    "TB": 10**12,
    "GB": 10**9,
    "MB": 10**6,
    "kB": 10**3,
    "KB": 10**3,
    "B": 1,
}
_NUMBER = r"([0-9]{1,20}(?:\.[0-9]{1,400})?)"
_DURATION = re.compile(_NUMBER + r"(ms|s|m|h|d)")
_SIZE = re.compile(_NUMBER + r"(TiB|GiB|MiB|KiB|TB|GB|MB|kB|KB|B)")
_RATE = re.compile(_NUMBER + r"(TiB|GiB|MiB|KiB|TB|GB|MB|kB|KB|B)?/(s|m|h)")
_SHARE = re.compile(_NUMBER + "%")
_SHARE_RATE = re.compile(_NUMBER + "%/(s|m|h)")
_COMPOUND = re.compile(r"(?:[0-9]{1,9}(?:d|h|ms|m|s)){2,5}")
_PART = re.compile(r"([0-9]+)(d|h|ms|m|s)")


def parse_duration_s(text: str) -> float:
    """Return seconds for `500ms`, `5s`, `15m`, `1h` or `30d`; decimals may be used.

    Raises:
        ValueError: it is not a duration, or longer than `MAX_DURATION_S`.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{_quoted(text)} is not a duration, {_better_duration(text)}")
    seconds = float(Decimal(match[1]) * _SECONDS[match[2]])
    if seconds > MAX_DURATION_S:
        raise ValueError(f"{_quoted(text)} is longer than 3650d, the longest duration there is")
    return seconds


def format_duration(seconds: float) -> str:
    """Return the shortest common form: `15m` for 900, `1500ms` for 1.5, `90s` for 90."""
    if seconds == 0:
        return "0s"
    exact = Decimal(repr(float(seconds)))
    for unit, size in _SECONDS.items():
        count = exact / size
        if count == count.to_integral_value():
            return f"{count:.0f}{unit}"
    return f"{exact:f}s"


def parse_size_bytes(text: str) -> int:
    """Return bytes for `512B`, `64KiB`, `10MiB` or `1GB`; KiB is 1024 and kB is 1000.

    Raises:
        ValueError: it is not a size, or not a whole number of bytes.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{_quoted(text)} is not a size, write for example 10MiB or 1GB")
    size = Decimal(match[1]) * _BYTES[match[2]]
    if size != size.to_integral_value():
        raise ValueError(f"{_quoted(text)} is not a whole number of bytes, write for example 10MiB")
    return int(size)


def format_size(size_bytes: int) -> str:
    """Return the shortest exact form: `10MiB`, `1GB`, `1001B`."""
    fits = [
        f"{size_bytes // one}{unit}" for unit, one in _BYTES.items() if size_bytes % one == 0
    ] or ["0B"]
    return min(fits, key=len) if size_bytes else "0B"


def parse_rate(text: str) -> float:
    """Return a second's worth of `200/s`, `6000/m`, or bytes for `50MiB/s`.

    Raises:
        ValueError: it is not a rate.
    """
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{_quoted(text)} is not a rate, write for example 200/s or 50MiB/s")
    return float(Decimal(match[1]) * _BYTES[match[2] or "B"] / _SECONDS[match[3]])


def format_rate(per_second: float) -> str:
    """Return it as `200/s`, plain numbers only."""
    return f"{_plain(per_second)}/s"


def parse_share(text: str, most: float = 1.0) -> float:
    """Return 0.1 for `10%`; from 0 to `most`.

    Raises:
        ValueError: it is not a share, or above `most`.
    """
    match = _SHARE.fullmatch(text)
    if match is None:
        raise ValueError(f"{_quoted(text)} is not a share, write for example 10%")
    share = float(Decimal(match[1]) / 100)
    if share > most:
        raise ValueError(f"{_quoted(text)} is above {format_share(most)}, write for example 10%")
    return share


def format_share(share: float) -> str:
    """Return `10%` for 0.1."""
    return f"{_plain_decimal(Decimal(repr(float(share))) * 100)}%"


def parse_share_rate(text: str) -> float:
    """Return the part of a whole in a second that `5%/m` is; of one time unit at most all.

    Raises:
        ValueError: it is not such a rate, or above 100% of its unit.
    """
    match = _SHARE_RATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{_quoted(text)} is not a share of a time, write for example 5%/m")
    percent, seconds = Fraction(match[1]), Fraction(_SECONDS[match[2]])
    if percent > WHOLE_PERCENT:
        raise ValueError(f"{_quoted(text)} is above 100%/{match[2]}, write for example 5%/m")
    return float(percent / WHOLE_PERCENT / seconds)


def format_share_rate(per_second: float) -> str:
    """Return `5%/m`, of a minute if that can be said to the last bit with two decimals."""
    for unit in ("m", "s", "h"):
        percent = round(Decimal(repr(float(per_second))) * _SECONDS[unit] * WHOLE_PERCENT, 2)
        text = f"{_plain_decimal(percent)}%/{unit}"
        if percent <= WHOLE_PERCENT and parse_share_rate(text) == per_second:
            return text
    return f"{format_share(per_second)}/s"


def _quoted(text: str) -> str:
    return f'"{text}"' if len(text) <= MAX_SHOWN else f'"{text[:MAX_SHOWN]}…"'


def _plain(number: float) -> str:
    return _plain_decimal(Decimal(repr(float(number))))


def _plain_decimal(number: Decimal) -> str:
    """Without exponent and without zeros at the end."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _better_duration(text: str) -> str:
    """Say what to write: users of Go and Prometheus know `1h30m`, so do that sum for them."""
    if text.isascii() and text.isdigit():
        return f"it has no unit, write {text}s for seconds"
    if _COMPOUND.fullmatch(text):
        total = sum(Decimal(n) * _SECONDS[unit] for n, unit in _PART.findall(text))
        return f"one number and one unit are needed, write {format_duration(float(total))}"
    return "write for example 500ms, 5s, 15m, 1h or 30d"
